"""Which windows an epoch takes."""

import numpy as np
import pytest

from kronos.config.data import DataConfig
from kronos.data import WindowDataset, split_candles
from kronos.data.windows.splits import count_epoch_windows
from kronos.training.inputs.sampler import WindowSampler
from tests.data.windows.test_splits import make_config, make_set


def make(*lengths: int, **keys: object) -> tuple[WindowDataset, DataConfig]:
    candles, config = make_set(*lengths), make_config(**keys)
    split = split_candles(candles, config)["train"]
    return WindowDataset(candles, split.starts, config, split.symbol_bounds), config


def draw(dataset: WindowDataset, config: DataConfig, epoch: int = 0, batch: int = 8, seed: int = 1) -> list[int]:
    sampler = WindowSampler(dataset, config, batch, seed)
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert len(drawn) == len(sampler) and len(drawn) % batch == 0
    return drawn


def test_each_window_at_most_once_in_whole_batches_another_order_each_epoch() -> None:
    dataset, config = make(200)
    drawn = draw(dataset, config)
    assert len(drawn) == len(dataset) // 8 * 8 == len(set(drawn)) and max(drawn) < len(dataset)
    assert drawn == draw(dataset, config) != draw(dataset, config, epoch=1) != draw(dataset, config, seed=2)


def test_the_cap_takes_others_each_epoch() -> None:
    dataset, config = make(200, windows_per_epoch=20)
    first, second = draw(dataset, config), draw(dataset, config, epoch=1)
    assert count_epoch_windows(len(dataset), config) == 20 and len(first) == 16 and set(first) != set(second)
    assert count_epoch_windows(len(dataset), config.override({"windows_per_epoch": 10**9})) == len(dataset)


def test_independent_windows_are_spread_over_all_candles() -> None:
    """An epoch forecasts each candle about once, each epoch from other origins; a short file still fills a step."""
    dataset, config = make(400, windows_per_epoch="independent")
    unit = config.predict_window
    assert count_epoch_windows(len(dataset), config) == -(-len(dataset) // unit)
    drawn = [sorted(draw(dataset, config, epoch, batch=2)) for epoch in range(3 * unit)]
    assert all(len(each) == len(dataset) // unit // 2 * 2 and np.diff(each).min() >= 1 for each in drawn)
    assert max(np.diff(each).max() for each in drawn) < 3 * unit  # none is left out for long
    assert len({window for each in drawn for window in each}) > 0.9 * len(dataset)
    assert len(draw(dataset, config, batch=20)) == 4 * 20 > -(-len(dataset) // unit)  # never fewer steps than four
    assert len(draw(dataset, config, batch=len(dataset) - 1)) == len(dataset) - 1


@pytest.mark.parametrize("cap", [None, 64])
def test_symbols_have_equal_shares(cap: int | None) -> None:
    dataset, config = make(1000, 100, 300, balance_symbols=True, windows_per_epoch=cap)
    drawn = np.array(draw(dataset, config))
    symbols = np.searchsorted(dataset.symbol_bounds, drawn, side="right") - 1
    counts = np.bincount(symbols, minlength=3)
    present = np.diff(dataset.symbol_bounds) > 0
    assert present.sum() >= 2 and np.ptp(counts[present]) <= 1 and (counts[~present] == 0).all()
    for symbol in np.flatnonzero(present):
        _, times = np.unique(drawn[symbols == symbol], return_counts=True)
        assert np.ptp(times) <= 1  # none is repeated before all were drawn
    assert not (np.diff(symbols) == 0).all()  # mixed within the epoch
