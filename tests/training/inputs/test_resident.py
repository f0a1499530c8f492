"""Batches gathered on the device: the same as those of the loader, through every kind of window, and exact on resuming."""

from pathlib import Path

import numpy as np
import pytest
import torch

from kronos import KronosTokenizer, load_config
from kronos.config import Config
from kronos.data import WindowDataset, load_candles, split_candles
from kronos.data.windows.dataset import Batch
from kronos.data.windows.normalize import Statistics
from kronos.training.inputs import resident
from kronos.training.inputs.replay import ReplayDataset
from kronos.training.inputs.resident import ResidentInputs, hold_on_device
from kronos.training.inputs.tokens import cache_tokens
from tests.conftest import GOLDEN
from tests.training.inputs.test_replay import combine
from tests.training.runs import Killed, equal, interrupt_at, read_figures, run, weights

ON_DEVICE = "training.data_on_device=true"


@pytest.fixture
def config(tiny_config: Path) -> Config:
    return load_config(tiny_config, [ON_DEVICE])


@pytest.fixture
def splits(config: Config) -> tuple[WindowDataset, WindowDataset]:
    candles = load_candles(config.data, config.repairs).candles
    found = split_candles(candles, config.data)
    train, val = (WindowDataset(candles, found[name].starts, config.data) for name in ("train", "val"))
    return train, val


def pass_on(batch: Batch, step: int | None) -> Batch:
    return batch


def assert_same_batches(config: Config, train: WindowDataset, val: WindowDataset, numbers: list[int]) -> None:
    """Compare what a model gets from the loader and from the device, in training and in validation."""
    held_train, held_val, inputs = hold_on_device(config, "basemodel", train, val, pass_on)
    assert isinstance(inputs, ResidentInputs) and len(held_train) == len(train) and len(held_val) == len(val)
    for plain, held, step in ((train, held_train, 0), (val, held_val, None)):
        indices = numbers if step == 0 else [3, 0, 3]
        expected, small = plain.__getitems__(indices), held.__getitems__(indices)
        assert small.keys() == {"index", "window"} and held.describe(small["window"]) == plain.describe(small["window"])
        batch = inputs(small, step)
        assert batch.keys() == expected.keys() | {"index"}
        for key, value in expected.items():
            if key == "window":
                assert np.array_equal(batch[key], value)
                continue
            assert batch[key].dtype == value.dtype and batch[key].shape == value.shape
            torch.testing.assert_close(batch[key], value, rtol=2e-7, atol=1e-12)


@pytest.mark.parametrize("many_origins", [False, True])
def test_candles(config: Config, splits: tuple[WindowDataset, WindowDataset], many_origins: bool) -> None:
    train, val = splits
    assert_same_batches(config, train.with_many_origins() if many_origins else train, val, [5, 60, 0, 5])


def test_tokens(config: Config, splits: tuple[WindowDataset, WindowDataset], tmp_path: Path) -> None:
    tokenizer = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer").eval()
    train, val = (cache_tokens(each, tokenizer, tmp_path, 16, "split") for each in splits)
    assert_same_batches(config, train, val, [5, 60, 0, 5])
    assert_same_batches(config, splits[0], val, [5, 60, 0, 5])  # with training.augment


@pytest.mark.parametrize("many_origins", [False, True])
def test_windows_of_other_candles(config: Config, many_origins: bool) -> None:
    train = combine(300)
    train = train.with_many_origins() if many_origins else train
    assert isinstance(train, ReplayDataset)
    assert_same_batches(config, train, train.own, [5, len(train) + 3, 0, len(train), 7])


def test_tokens_of_other_candles(config: Config, tmp_path: Path) -> None:
    tokenizer = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer").eval()
    plain = combine(300)
    own, other = (cache_tokens(each, tokenizer, tmp_path, 16, "train") for each in (plain.own, plain.other))
    assert own and other
    train = ReplayDataset(own, other)
    assert_same_batches(config, train, own, [5, len(train) + 3, 0, len(train), 7])


def test_a_constant_feature_and_tiny_prices() -> None:
    candles = torch.full((1, 8, 6), 1e-9)
    candles[0, :, 0] = torch.linspace(1e-9, 2e-9, 8)
    candles[0, :, 5] = 0.0
    statistics = Statistics.compute(candles[:, :5].numpy())
    normalised, scale = resident.normalise_windows(candles, torch.tensor([5]), 5.0)
    np.testing.assert_allclose(normalised, statistics.normalise(candles.numpy(), 5.0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(scale, statistics.scale[:, 0], rtol=1e-6)


def test_what_stays_with_the_loader(config: Config, splits: tuple[WindowDataset, WindowDataset]) -> None:
    for off in ("null", "false"):  # by default only a GPU holds them
        unchanged = hold_on_device(
            config.override({"training.data_on_device": None if off == "null" else False}),
            "tokenizer",
            *splits,
            pass_on,
        )
        assert unchanged == (*splits, pass_on)


def test_what_does_not_fit_stays_with_the_loader(
    config: Config,
    splits: tuple[WindowDataset, WindowDataset],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    n_bytes = resident.count_bytes(*splits)
    assert n_bytes == 120 * (6 * 4 + 5) + (61 + 17) * 16
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (4 * n_bytes - 1, 0))
    assert "more than a quarter" in resident._describe_unfit(n_bytes, torch.device("cuda"))
    assert not resident._describe_unfit(n_bytes - 1, torch.device("cuda"))

    def run_out(*args: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(resident, "ResidentInputs", run_out)
    assert hold_on_device(config, "tokenizer", *splits, pass_on) == (*splits, pass_on)
    assert "tokenizer  gathers its batches on the CPU (training.data_on_device)" in caplog.text


CASES = {
    "cached tokens": [],
    "tokens of each step, in parts": ["training.augment=[mirror,scale]", "training.accumulation_steps=2"],
    "many origins": ["training.loss_on=origins", "training.num_workers=2"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_run_has_the_same_losses(tiny_config: Path, run_dir: Path, name: str) -> None:
    figures = []
    for place in ("false", "true"):
        run(tiny_config, f"training.data_on_device={place}", *CASES[name])
        figures.append([read_figures(run_dir / stage) for stage in ("tokenizer", "basemodel")])
    for plain, held in zip(*figures):
        assert [line[0] for line in plain] == [line[0] for line in held]
        for first, second in zip(plain, held):
            kinds = [figure is None for figure in first]
            assert kinds == [figure is None for figure in second]
            assert np.nan_to_num(np.array(first, float)) == pytest.approx(
                np.nan_to_num(np.array(second, float)), rel=1e-4
            )


@pytest.mark.slow
def test_resuming_is_exact(tiny_config: Path, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ["model_paths.base_path=" + str(tmp_path / "whole"), ON_DEVICE]
    run(tiny_config, *whole, stages=["basemodel"])
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)
        with pytest.raises(Killed):
            run(tiny_config, ON_DEVICE, stages=["basemodel"])
    run(tiny_config, ON_DEVICE, stages=["basemodel"], skip_existing=True)
    expected = tmp_path / "whole/tiny/basemodel"
    assert equal(weights(run_dir / "basemodel"), weights(expected))
    assert read_figures(run_dir / "basemodel") == read_figures(expected)
