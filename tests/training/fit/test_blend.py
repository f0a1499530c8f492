"""Blending: the rule that chooses the share, and what is in which folder after it, also after a kill."""

import json
import logging
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from kronos import Kronos, KronosTokenizer, load_config
from kronos.model.pretrained import hash_weights
from kronos.stage_record import StageRecord
from kronos.training import stage as stage_module
from kronos.training.fit import blend as blend_module
from kronos.training.fit.blend import (
    HORIZONS_A_STRETCH,
    SHARES,
    blend_weights,
    choose_share,
    compare_shares,
    number_stretches,
)
from kronos.training.pipeline import prepare_inputs
from kronos.training.saved.blend_record import read_blend
from tests.conftest import GOLDEN, write_tiny_config
from tests.training.runs import Killed, equal, read_metrics, run, weights
from tests.training.test_distributed import TORCHRUN, launch

BASE = ["basemodel"]
BLEND = "training.blend=true"
LORA = "training.lora={r: 2}"


@pytest.mark.parametrize(
    ("losses", "errors", "share"),
    [
        ([2.0, 1.9, 1.8, 1.7, 1.6], [0.01] * 4 + [0.0], 1.0),
        ([2.0, 1.9, 1.8, 1.7, 1.6], [0.5] * 4 + [0.0], 0.0),
        ([2.0, 1.9, 1.8, 1.75, 1.8], [0.1, 0.1, 0.06, 0.0, 0.1], 0.75),
        ([2.0, 1.9, 1.8, 1.75, 1.8], [0.25, 0.1, 0.06, 0.0, 0.1], 0.0),  # no better than one standard error
        ([2.0, 2.0, 2.0, 2.0, 2.0], [0.0] * 5, 0.0),  # a tie goes to the pretrained side
        ([2.0, 2.1, 2.2, 2.3, 2.4], [0.0] + [0.01] * 4, 0.0),
        ([2.0, 1.0, 1.0, 1.0, 1.0], [None] * 5, 0.0),  # one stretch cannot tell
    ],
)
def test_the_rule(losses: list[float], errors: list[float | None], share: float) -> None:
    assert choose_share(losses, errors) == share


def test_errors_are_those_of_means_of_stretches() -> None:
    generator = np.random.default_rng(0)
    stretches = np.repeat(np.arange(40), 25)
    common = generator.normal(size=1000)
    shift = np.repeat(generator.normal(size=40), 25)  # what the windows of a stretch share
    losses = np.stack([common + shift, common])
    means, errors = compare_shares(losses, stretches)
    lowest = means.argmin()
    blocks = (losses[1 - lowest] - losses[lowest]).reshape(40, 25).mean(1)
    assert errors[1 - lowest] == pytest.approx(1.0129 * blocks.std(ddof=1) / math.sqrt(40), rel=1e-3)
    assert errors[lowest] == 0 and np.allclose(means, losses.mean(1))
    assert errors[1 - lowest] > 3 * (losses[1] - losses[0]).std() / math.sqrt(1000)
    assert np.isinf(compare_shares(losses, np.zeros(1000, np.int64))[1]).all()


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_never_chosen(broken: float) -> None:
    losses = np.random.default_rng(0).normal(size=40) + np.array([[2.0], [1.0], [broken], [1.5], [broken]])
    means, errors = compare_shares(losses, np.arange(40) // 4)
    assert choose_share(means.tolist(), errors.tolist()) == SHARES[1]


def test_a_stretch_of_one_window_is_no_second_stretch() -> None:
    losses = np.random.default_rng(0).normal(size=(2, 17))
    _, errors = compare_shares(losses, np.repeat([0, 1], [16, 1]))
    assert errors.max() > 10 * losses.std()


@pytest.mark.parametrize("n_windows", [96, 240, 960])
def test_overlapping_windows_do_not_count_as_new_evidence(n_windows: int) -> None:
    """Without any difference, a mean of overlapping horizons is beyond one error about as often as it should be, in 32%."""
    generator, horizon, beyond = np.random.default_rng(0), 24, []
    stretches = np.arange(n_windows) // (HORIZONS_A_STRETCH * horizon)
    for _ in range(500):
        noise = generator.normal(size=n_windows + horizon - 1)  # of single candles
        losses = np.stack([np.convolve(noise, np.full(horizon, 1 / horizon), "valid"), np.zeros(n_windows)])
        means, errors = compare_shares(losses, stretches)
        beyond.append(np.ptp(means) > errors.max())
    assert 0.28 < np.mean(beyond) < 0.42


def test_stretches_are_of_time_over_all_symbols(tiny_config: Path) -> None:
    windows = prepare_inputs(load_config(tiny_config)).windows["val"]
    starts = windows.starts.take(np.arange(len(windows)))
    expected = (starts - starts[0]) // 5
    assert number_stretches(windows.candles, starts, 5).tolist() == expected.tolist()
    shuffled = np.random.default_rng(0).permutation(len(starts))
    again = number_stretches(windows.candles, np.concatenate([starts, starts])[shuffled], 5)
    assert again.tolist() == np.concatenate([expected, expected])[shuffled].tolist()


def test_blended_weights() -> None:
    first, second = Kronos.from_pretrained(GOLDEN / "predictor"), Kronos.from_pretrained(GOLDEN / "predictor")
    with torch.no_grad():
        second.head.proj_s1.weight.mul_(1.7)
    states = first.state_dict(), second.state_dict()
    for share, state in ((0.0, states[0]), (1.0, states[1])):
        assert equal(blend_weights(first, second, share), state)
    blended = blend_weights(first, second, 0.25)
    name = "head.proj_s1.weight"
    assert torch.allclose(blended.pop(name), 0.75 * states[0][name] + 0.25 * states[1][name])
    assert all(torch.equal(tensor, states[0][other]) for other, tensor in blended.items())  # to the bit


@pytest.fixture(scope="module")
def trained_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished base model on the pretrained tokenizer, and with LoRA beside it."""
    folder = tmp_path_factory.mktemp("trained")
    config = write_tiny_config(folder)
    run(config, stages=BASE)
    run(config, LORA, "model_paths.exp_name=lora", stages=BASE)
    return folder / "runs"


@pytest.fixture
def base_run(trained_base: Path, run_dir: Path) -> Path:
    return Path(shutil.copytree(trained_base / "tiny", run_dir))


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch):
    """Make the rule choose a share, and count what is measured."""

    def force(share: float) -> list[int]:
        measured: list[int] = []
        measure = blend_module.measure_windows
        monkeypatch.setattr(blend_module, "choose_share", lambda *figures: share)
        monkeypatch.setattr(
            blend_module, "measure_windows", lambda *given: measured.append(len(given[2])) or measure(*given)
        )
        monkeypatch.setattr(stage_module, "_train", lambda *given: pytest.fail("trained again"))
        return measured

    return force


def pretrained() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "predictor" / "model.safetensors")


def unblended(run_dir: Path) -> dict[str, torch.Tensor]:
    return load_file(run_dir / "basemodel" / "unblended_model" / "model.safetensors")


def mix(trained: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    start = pretrained()
    return {name: torch.lerp(start[name], trained[name], share) for name in start}


@pytest.mark.slow
def test_a_blend_replaces_the_best_model_and_nothing_is_lost(
    tiny_config: Path, base_run: Path, choose, caplog: pytest.LogCaptureFixture
) -> None:
    trained, measured = weights(base_run / "basemodel"), choose(0.5)
    with caplog.at_level(logging.INFO, logger="kronos"):
        record = run(tiny_config, BLEND, stages=BASE, skip_existing=True).records["basemodel"]
    assert measured == [17] * len(SHARES)
    assert equal(unblended(base_run), trained) and equal(weights(base_run / "basemodel"), mix(trained, 0.5))
    assert record.blend == 0.5 and StageRecord.read(base_run / "basemodel") == record
    blend = read_blend(base_run / "basemodel")
    lines = {line["step"]: line for line in read_metrics(base_run / "basemodel") if "val_horizon_loss" in line}
    assert blend.share == 0.5 and blend.figures.losses[0] == pytest.approx(lines[0]["val_horizon_loss"], rel=1e-5)
    assert blend.figures.losses[-1] == pytest.approx(lines[record.best_step]["val_horizon_loss"], rel=1e-5)
    assert "50% fine-tuned and 50% pretrained weights" in caplog.text and "unblended_model" in caplog.text
    with safe_open(base_run / "basemodel" / "best_model" / "model.safetensors", "pt") as opened:
        assert opened.metadata()["tokenizer_sha256"] == record.tokenizer_hash
    assert run(tiny_config, BLEND, stages=BASE, skip_existing=True).records["basemodel"] == record
    assert len(measured) == len(SHARES)  # the figures are reused
    record = run(tiny_config, stages=BASE, skip_existing=True).records["basemodel"]
    assert record.blend is None and equal(weights(base_run / "basemodel"), trained)
    assert not (base_run / "basemodel" / "unblended_model").exists() and read_blend(base_run / "basemodel") is None


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_both_ends_are_kept_to_the_bit(tiny_config: Path, base_run: Path, choose, share: float) -> None:
    trained = weights(base_run / "basemodel")
    choose(share)
    record = run(tiny_config, BLEND, stages=BASE, skip_existing=True).records["basemodel"]
    assert record.blend == share
    assert equal(weights(base_run / "basemodel"), trained if share else pretrained())
    assert (base_run / "basemodel" / "unblended_model").exists() is (share == 0)
    assert share or equal(unblended(base_run), trained)


@pytest.mark.parametrize("n_writes", [0, 2, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3, 4))])
def test_a_kill_between_the_steps_is_survived(
    tiny_config: Path, base_run: Path, choose, monkeypatch: pytest.MonkeyPatch, n_writes: int
) -> None:
    """Before the hashes of best_model are dropped; before anything is moved; with the trained model in both places; before blend.json; before stage.json."""
    trained, written = weights(base_run / "basemodel"), []
    choose(0.25)

    def counting(write):
        def write_or_die(*given) -> None:
            if len(written) == n_writes:
                raise Killed
            written.append(given)
            write(*given)

        return write_or_die

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(blend_module, "save_model", counting(blend_module.save_model))
        patched.setattr(blend_module, "write_sealed", counting(blend_module.write_sealed))
        patched.setattr(StageRecord, "write", counting(StageRecord.write))
        run(tiny_config, BLEND, stages=BASE, skip_existing=True)
    again = Path(shutil.copytree(base_run, base_run.with_name("again")))
    record = run(tiny_config, BLEND, stages=BASE, skip_existing=True).records["basemodel"]
    assert equal(unblended(base_run), trained) and equal(weights(base_run / "basemodel"), mix(trained, 0.25))
    assert StageRecord.read(base_run / "basemodel") == record and record.blend == 0.25
    run(tiny_config, "model_paths.exp_name=again", stages=BASE, skip_existing=True)  # or without the blend after all
    assert equal(weights(again / "basemodel"), trained) and not (again / "basemodel" / "unblended_model").exists()


def test_a_kill_while_the_fine_tuned_model_returns_is_survived(
    tiny_config: Path, base_run: Path, choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = weights(base_run / "basemodel")
    choose(0.75)
    run(tiny_config, BLEND, stages=BASE, skip_existing=True)

    def die(*given: object, **options: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(blend_module.shutil, "rmtree", die)
        run(tiny_config, stages=BASE, skip_existing=True)
    assert run(tiny_config, stages=BASE, skip_existing=True).records["basemodel"].blend is None
    assert equal(weights(base_run / "basemodel"), trained)


@pytest.mark.slow
def test_lora_is_blended_merged(tiny_config: Path, trained_base: Path, run_dir: Path, choose) -> None:
    shutil.copytree(trained_base / "lora", run_dir)
    trained = weights(run_dir / "basemodel")
    assert not equal(trained, pretrained())
    choose(0.5)
    run(tiny_config, BLEND, LORA, stages=BASE, skip_existing=True)
    assert equal(weights(run_dir / "basemodel"), mix(trained, 0.5)) and equal(unblended(run_dir), trained)


def test_other_tokens_are_not_blended(
    tiny_config: Path, base_run: Path, run_dir: Path, tmp_path: Path, choose, caplog: pytest.LogCaptureFixture
) -> None:
    trained, tokenizer = weights(base_run / "basemodel"), KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")
    record_path = base_run / "basemodel" / "stage.json"
    for part, is_blended in (("decoder", True), ("encoder", False)):
        with torch.no_grad():
            getattr(tokenizer, part)[0].ffn.w1.weight.mul_(1.1)
        tokenizer.save_pretrained(tmp_path / "tokenizer")
        record = json.loads(record_path.read_text()) | {"tokenizer_hash": hash_weights(tokenizer)}
        record_path.write_text(json.dumps(record))
        choose(0.5)
        with caplog.at_level(logging.INFO, logger="kronos"):
            given = f"model_paths.finetuned_tokenizer={tmp_path / 'tokenizer'}"
            record = run(tiny_config, BLEND, given, stages=BASE, skip_existing=True).records["basemodel"]
        assert record.blend == (0.5 if is_blended else None)
        assert ("not blended" in caplog.text) is not is_blended
    assert read_blend(base_run / "basemodel").obstacle == "other_tokens"
    assert equal(weights(base_run / "basemodel"), trained)  # restored


@pytest.mark.parametrize(
    ("overrides", "obstacle"),
    [
        (["experiment.pre_trained_predictor=false"], "from_scratch"),
        (["model_paths.pretrained_predictor={other}"], "other_start"),
    ],
)
def test_what_is_not_blended(
    tiny_config: Path, base_run: Path, tmp_path: Path, choose, overrides: list[str], obstacle: str
) -> None:
    (tmp_path / "other").symlink_to(GOLDEN / "predictor")
    choose(0.5)
    given = [override.format(other=tmp_path / "other") for override in overrides]
    record = run(tiny_config, BLEND, *given, stages=BASE, skip_existing=True).records["basemodel"]
    assert record.blend is None and read_blend(base_run / "basemodel").obstacle == obstacle


TOO_FAST = "training.predictor_learning_rate=9.0"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheduler", "rate"), [("cosine", 9.0), ("constant", 1.0)]
)  # the last step is best, or the first
def test_the_best_trained_model_is_blended_even_if_it_is_worse(
    tiny_config: Path, run_dir: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str, rate: float
) -> None:
    monkeypatch.setattr(blend_module, "choose_share", lambda *figures: 0.25)
    too_fast = f"training.predictor_learning_rate={rate}"
    given = [too_fast, f"training.lr_scheduler={scheduler}", "training.eval_steps=1"]
    record = run(tiny_config, BLEND, *given, stages=BASE).records["basemodel"]
    assert not record.improved and record.blend == 0.25
    folder = run_dir / "basemodel"
    trained = load_file(folder / "trained_model" / "model.safetensors")
    assert equal(weights(folder), mix(trained, 0.25)) and equal(unblended(run_dir), pretrained())
    lines = [line for line in read_metrics(folder) if "val_loss" in line and line["step"] > 0]
    best = min(lines, key=lambda line: line["val_loss"])
    assert (lines.index(best) == len(lines) - 1) is (scheduler == "cosine")
    assert read_blend(folder).figures.losses[-1] == pytest.approx(best["val_horizon_loss"], rel=1e-4)
    for given, share in ((["training.blend=false"], None), ([BLEND], 0.25)):
        again = run(tiny_config, too_fast, *given, stages=BASE, skip_existing=True).records["basemodel"]
        assert again.blend == share and equal(weights(folder), mix(trained, share or 0.0))
        assert (folder / "unblended_model").exists() is (share is not None)


@pytest.mark.slow
def test_a_worse_model_that_was_not_kept_cannot_be_blended(tiny_config: Path, run_dir: Path) -> None:
    run(tiny_config, TOO_FAST, stages=BASE)
    assert not (run_dir / "basemodel" / "trained_model").exists()
    run(tiny_config, TOO_FAST, BLEND, stages=BASE, skip_existing=True)
    assert read_blend(run_dir / "basemodel").obstacle == "no_trained_model"
    assert equal(weights(run_dir / "basemodel"), pretrained())


@pytest.mark.slow
def test_two_ranks_choose_what_one_does(tiny_config: Path, base_run: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copytree(base_run, base_run.with_name("alone")))
    run(tiny_config, BLEND, "model_paths.exp_name=alone", stages=BASE, skip_existing=True)
    worker = tmp_path / "worker.py"
    worker.write_text(TWO_RANKS)
    done: subprocess.CompletedProcess[str] = launch(*TORCHRUN, worker, tiny_config)
    assert done.returncode == 0, done.stderr
    assert (base_run / "basemodel" / "blend.json").read_text() == (alone / "basemodel" / "blend.json").read_text()
    assert equal(weights(base_run / "basemodel"), weights(alone / "basemodel"))


TWO_RANKS = """
import os, sys
from accelerate import PartialState
from kronos import load_config
from kronos.training import run_pipeline
from kronos.training.arguments import start_process
on = ["experiment.train_tokenizer=false", "training.batch_size=8", "training.blend=true"]
config = load_config(sys.argv[1], on)
start_process(config, int(os.environ["WORLD_SIZE"]))
run_pipeline(config, True)
PartialState().destroy_process_group()
"""
