"""Tokens computed once and kept: the same model as without, never stale, never half a file, and never in the way."""

import logging
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import DataLoader

from kronos import KronosTokenizer, load_config
from kronos.config import Config
from kronos.config.data import DataConfig
from kronos.config.training import TrainingConfig
from kronos.data import WindowDataset, load_candles, split_candles
from kronos.data.windows.dataset import keep_batch
from kronos.files import DIGEST_BYTES, append_digest
from kronos.training import run_pipeline
from kronos.training.inputs import token_cache, tokens
from kronos.training.inputs.token_cache import prune_tokens
from kronos.training.inputs.tokens import TokenInputs, cache_tokens, locate_tokens, tokenise_splits
from tests.conftest import GOLDEN
from tests.training.test_distributed import TORCHRUN, launch
from tests.training.test_stage import Killed, equal, interrupt_at, read_metrics


@pytest.fixture
def tokenizer() -> KronosTokenizer:
    return KronosTokenizer.from_pretrained(GOLDEN / "tokenizer").eval()


@pytest.fixture
def config(tiny_config: Path) -> Config:
    return load_config(tiny_config)


@pytest.fixture
def windows(config: Config) -> WindowDataset:
    candles = load_candles(config.data, config.repairs).candles
    return WindowDataset(candles, split_candles(candles, config.data)["train"].starts, config.data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all batches that were encoded."""
    sizes: list[int] = []
    encode = tokens.encode_candles
    monkeypatch.setattr(tokens, "encode_candles", lambda tokenizer, x: sizes.append(len(x)) or encode(tokenizer, x))
    return sizes


def run(tiny_config: Path, *overrides: str, skip_existing: bool = False):
    return run_pipeline(load_config(tiny_config, ["experiment.train_tokenizer=false", *overrides]), skip_existing)


def weights_and_figures(folder: Path) -> tuple[dict, dict, list]:
    figures = [(line["step"], line.get("loss"), line.get("val_loss")) for line in read_metrics(folder)]
    last = max(folder.glob("checkpoints/checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    return load_file(folder / "best_model/model.safetensors"), load_file(last / "model.safetensors"), figures


def assert_same(first: tuple[dict, dict, list], second: tuple[dict, dict, list]) -> None:
    assert equal(first[0], second[0]) and equal(first[1], second[1]) and first[2] == second[2]


def test_kept_tokens_are_those_of_encode(windows: WindowDataset, tokenizer: KronosTokenizer, folder: Path) -> None:
    kept = cache_tokens(windows, tokenizer, folder, 16, "train")
    order = [5, 60, 0, 5, 33]
    batch, plain = kept.__getitems__(order), windows.__getitems__(order)
    for key, expected in zip(("s1_ids", "s2_ids"), tokenizer.encode(plain["candles"], half=True)):
        assert torch.equal(batch[key], expected) and batch[key].dtype == expected.dtype
    assert torch.equal(batch["stamp"], plain["stamp"]) and batch["window"].tolist() == plain["window"].tolist()
    assert len(kept) == len(windows) == 61 and batch.keys() == {"s1_ids", "s2_ids", "stamp", "window"}
    (file,) = folder.iterdir()
    assert file.stat().st_size == 61 * 24 * 4 + 32


@pytest.mark.slow
def test_workers_and_pickles_read_the_same(windows: WindowDataset, tokenizer: KronosTokenizer, folder: Path) -> None:
    kept = cache_tokens(windows, tokenizer, folder, 16, "train")
    expected = kept.__getitems__(range(61))["s1_ids"]
    loader = DataLoader(kept, 16, collate_fn=keep_batch, num_workers=2)
    assert torch.equal(torch.cat([batch["s1_ids"] for batch in loader]), expected)
    assert torch.equal(pickle.loads(pickle.dumps(kept)).__getitems__(range(61))["s1_ids"], expected)
    assert len(pickle.dumps(kept)) < 2 * len(pickle.dumps(windows.candles))


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [[], pytest.param(["training.num_workers=2", "training.accumulation_steps=2"], marks=pytest.mark.slow)],
)
def test_the_same_model_with_and_without(
    tiny_config: Path, tmp_path: Path, encoded: list[int], caplog: pytest.LogCaptureFixture, overrides: list[str]
) -> None:
    with caplog.at_level(logging.DEBUG, logger="kronos"):
        run(tiny_config, "training.token_cache=false", *overrides)
    assert "cached" not in caplog.text and not (tmp_path / "runs/cache").exists()
    folder = tmp_path / "runs/tiny/basemodel"
    expected, in_each_epoch = weights_and_figures(folder), sum(encoded)
    encoded.clear()
    with caplog.at_level(logging.DEBUG, logger="kronos"):
        run(tiny_config, *overrides)
    assert_same(weights_and_figures(folder), expected)
    assert sum(encoded) == 61 + 17 < in_each_epoch
    assert f"tokenised 61 train windows once and cached them in {tmp_path / 'runs/cache/tokens'}" in caplog.text
    encoded.clear()
    with caplog.at_level(logging.DEBUG, logger="kronos"):
        run(tiny_config, *overrides)
    assert_same(weights_and_figures(folder), expected)
    assert not encoded and "tokens of 17 validation windows were read from the cache" in caplog.text


@pytest.mark.slow
def test_bf16_training_encodes_in_float32(tiny_config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs/tiny/basemodel"
    run(tiny_config, "training.precision=bf16", "training.token_cache=false")
    expected = weights_and_figures(folder)
    run(tiny_config, "training.precision=bf16")
    assert_same(weights_and_figures(folder), expected)
    tokenizer = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer").eval()
    candles = torch.randn(4, 24, 6)
    with torch.autocast("cpu", torch.bfloat16):
        s1_ids, s2_ids = tokens.encode_candles(tokenizer, candles)
    plain = tokenizer.encode(candles, half=True)
    assert torch.equal(s1_ids, plain[0]) and torch.equal(s2_ids, plain[1])


@pytest.mark.slow
def test_interrupted_equals_uninterrupted_though_the_cache_was_deleted(
    tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs/tiny/basemodel"
    run(tiny_config, "training.save_steps=2")
    expected = weights_and_figures(folder)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, 5)
        run(tiny_config, "training.save_steps=2")
    for file in (tmp_path / "runs/cache/tokens").iterdir():
        file.unlink()
    run(tiny_config, "training.save_steps=2", skip_existing=True)
    assert_same(weights_and_figures(folder), expected)


def test_another_input_is_another_file(windows: WindowDataset, tokenizer: KronosTokenizer, folder: Path) -> None:
    def vary(**changes: object) -> WindowDataset:
        given = {"candles": windows.candles, "starts": windows.starts, "config": windows.config} | changes
        return WindowDataset(**given)

    values = windows.candles.values.copy()
    values[3, 2] += 1
    sizes = [{"clip": 4.0}, {"lookback_window": 15}, {"lookback_window": 15, "predict_window": 9}]
    variants = [
        vary(candles=replace(windows.candles, values=values)),
        *(vary(config=windows.config.override(size)) for size in sizes),
        vary(starts=replace(windows.starts, first=windows.starts.first + 1)),
        vary(starts=replace(windows.starts, stride=2)),
    ]
    paths = [locate_tokens(each, tokenizer, folder).path for each in (windows, *variants)]
    with torch.no_grad():
        tokenizer.embed.bias[0] += 1e-6
    paths.append(locate_tokens(windows, tokenizer, folder).path)
    assert len(set(paths)) == len(paths) == 8
    assert locate_tokens(vary(), tokenizer, folder).path == paths[-1]


@pytest.mark.parametrize("damage", ["cut", "one bit", "longer", "empty"])
def test_a_damaged_file_is_computed_anew(
    windows: WindowDataset, tokenizer: KronosTokenizer, folder: Path, encoded: list[int], damage: str
) -> None:
    file = cache_tokens(windows, tokenizer, folder, 16, "train").file.path
    whole = file.read_bytes()
    flipped = whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:]
    file.write_bytes({"cut": whole[:-40], "one bit": flipped, "longer": whole + b"0", "empty": b""}[damage])
    encoded.clear()
    cache_tokens(windows, tokenizer, folder, 16, "train")
    assert sum(encoded) == 61 and file.read_bytes() == whole and list(folder.iterdir()) == [file]


@pytest.mark.parametrize(("place", "token"), [(0, -1), (5, 2**15 - 1), (24, 2**6)])
def test_tokens_that_no_vocabulary_has_are_computed_anew(
    windows: WindowDataset, tokenizer: KronosTokenizer, folder: Path, encoded: list[int], place: int, token: int
) -> None:
    file = cache_tokens(windows, tokenizer, folder, 16, "train").file.path
    whole = file.read_bytes()
    planted = np.frombuffer(whole[:-DIGEST_BYTES], np.int16).copy()
    planted[place] = token
    file.write_bytes(planted.tobytes())
    append_digest(file)
    encoded.clear()
    cache_tokens(windows, tokenizer, folder, 16, "train")
    assert sum(encoded) == 61 and file.read_bytes() == whole


def test_a_run_that_is_killed_leaves_no_file_of_that_name(
    windows: WindowDataset, tokenizer: KronosTokenizer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(tokens, "encode_candles", fail)
        cache_tokens(windows, tokenizer, folder, 16, "train")
    assert list(folder.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 kB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("room_is_asked_for", [True, False])
def test_a_full_disk_is_said_and_training_goes_on(
    tiny_config: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    room_is_asked_for: bool,
) -> None:
    """The train tokens take 5.9 kB of 16; the disk is filled up before they are written, or while they are."""
    (small_disk / "other").write_bytes(bytes(12_000))
    if not room_is_asked_for:
        usage = SimpleNamespace(free=1 << 30)
        monkeypatch.setattr(token_cache, "shutil", SimpleNamespace(disk_usage=lambda _: usage))
    with caplog.at_level(logging.WARNING):
        result = run(tiny_config, f"data.cache_dir={small_disk}", "training.token_cache=true")
    assert result.records["basemodel"].finished
    assert f"tokens cannot be cached in {small_disk}/tokens (data.cache_dir): No space left on device" in caplog.text
    assert [path.stat().st_size for path in (small_disk / "tokens").iterdir()] in ([], [17 * 24 * 4 + 32])


def test_a_folder_that_cannot_be_written_is_said(
    windows: WindowDataset, tokenizer: KronosTokenizer, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.touch()
    with caplog.at_level(logging.WARNING):
        assert cache_tokens(windows, tokenizer, folder, 16, "train") is None
    assert "tokens cannot be cached in" in caplog.text and "File exists" in caplog.text


def test_tokens_are_kept_only_where_they_fit_and_pay(
    config: Config,
    windows: WindowDataset,
    tokenizer: KronosTokenizer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def kept(**training: object) -> list[bool]:
        changed = config.override({f"training.{key}": value for key, value in training.items()})
        splits = tokenise_splits(changed, tokenizer, windows, windows)
        for path in config.data.cache_dir.glob("tokens/*"):
            path.unlink()
        return ["s1_ids" in split[0] for split in splits]

    assert kept() == [True, True]
    assert kept(token_cache=False) == [False, False]
    assert kept(max_steps=3) == [False, True]  # 48 windows drawn of 61; validation comes back
    assert kept(max_steps=3, token_cache=True) == [True, True]
    assert kept(max_steps=4) == [True, True]
    n_bytes = 61 * 24 * 4
    monkeypatch.setattr(token_cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=4 * n_bytes - 1))
    with caplog.at_level(logging.DEBUG, logger="kronos"):
        assert kept() == [False, False]
    assert "more than a quarter of the free disk space" in caplog.text
    assert kept(token_cache=True) == [True, True]
    monkeypatch.setattr(token_cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=4 * n_bytes))
    assert kept() == [True, True]
    monkeypatch.setattr(token_cache.psutil, "virtual_memory", lambda: SimpleNamespace(available=n_bytes - 1))
    assert kept() == [False, False]


def test_old_files_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_cache, "MAX_TOTAL_BYTES", 250)
    ages = {"used": 50, "new": 1, "next": 2, "third": 3, ".half": 0.5, ".left": 2, "old": 31}
    for name, days in ages.items():
        path = tmp_path / f"{name}.tokens"
        path.write_bytes(bytes(10 if name.startswith(".") else 100))
        os.utime(path, (time.time() - days * 86_400,) * 2)
    prune_tokens(tmp_path, [tmp_path / "used.tokens"])
    assert {path.stem for path in tmp_path.iterdir()} == {"used", "new", ".half"}


def test_window_numbers_stay_on_the_cpu(tokenizer: KronosTokenizer) -> None:
    """Noise is drawn without reading anything back from the device; from this one nothing can be read."""
    ids = torch.zeros(3, 24, dtype=torch.long, device="meta")
    batch = {"s1_ids": ids, "s2_ids": ids, "stamp": torch.zeros(3, 24, 5, device="meta"), "window": np.array([1, 2, 3])}
    inputs = TokenInputs(tokenizer, TrainingConfig(seed=1), DataConfig(data_path=Path("x.csv")))(batch, 5)
    assert inputs["s1_uniforms"].shape == (3, 23) and inputs["s1_uniforms"].device.type == "meta"


def test_teacher_forcing_uses_the_true_s1(tokenizer: KronosTokenizer) -> None:
    ids = torch.zeros(3, 24, dtype=torch.long)
    batch = {"s1_ids": ids, "s2_ids": ids, "stamp": torch.zeros(3, 24, 5), "window": np.array([1, 2, 3])}
    training, data = TrainingConfig(teacher_forcing=True), DataConfig(data_path=Path("x.csv"))
    assert "s1_uniforms" not in TokenInputs(tokenizer, training, data)(batch, 5)


@pytest.mark.slow
def test_two_ranks_share_the_work_and_agree(tiny_config: Path, tmp_path: Path) -> None:
    """One file, the same as one rank's; and where one rank cannot write, neither keeps anything or waits for the other."""
    worker = Path(__file__).with_name("token_worker.py")
    for launcher, folder in (([sys.executable], tmp_path / "one"), (TORCHRUN, tmp_path / "two")):
        done = launch(*launcher, worker, tiny_config, folder)
        assert done.returncode == 0, done.stderr
    (one,), (two,) = (list((tmp_path / folder).glob("*.tokens")) for folder in ("one", "two"))
    assert one.name == two.name and one.read_bytes() == two.read_bytes()
    encoded = [int((tmp_path / "two" / f"rank{rank}").read_text()) for rank in (0, 1)]
    assert sum(encoded) == 61 and min(encoded) >= 29
    for failing in (0, 1):
        done = launch(*TORCHRUN, worker, tiny_config, tmp_path / f"failed{failing}", failing, timeout=120)
        assert done.returncode == 0, done.stderr
        assert [(tmp_path / f"failed{failing}" / f"rank{rank}").read_text() for rank in (0, 1)] == ["none", "none"]
        assert not list((tmp_path / f"failed{failing}").glob("*.tokens"))
        assert not list((tmp_path / f"failed{failing}").glob(".*.tokens"))


def test_the_same_for_each_size_of_batch(windows: WindowDataset, tokenizer: KronosTokenizer, folder: Path) -> None:
    kept = [cache_tokens(windows, tokenizer, folder / str(size), size, "train") for size in (1, 7, 16, 61, 64)]
    files = {each.file.path.read_bytes() for each in kept}
    assert len(files) == 1 and np.frombuffer(files.pop()[:-32], np.int16).max() > 1
