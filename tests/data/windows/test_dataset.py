import pickle
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from kronos.config.data import DataConfig
from kronos.data import CandleSet, Statistics, WindowDataset, split_candles
from kronos.data.windows.candle_set import SymbolRows, compute_small_calendar
from kronos.data.windows.dataset import keep_batch
from kronos.data.windows.splits import WindowStarts
from kronos.errors import DataError


def make_config(lookback: int = 10, horizon: int = 4, train: float = 0.6, val: float = 0.2) -> DataConfig:
    return DataConfig(
        data_path="x.csv",
        lookback_window=lookback,
        predict_window=horizon,
        train_ratio=train,
        val_ratio=val,
        test_ratio=1 - train - val,
    )


def make_candles(n_rows: int = 100, seed: int = 0, **symbol: object) -> CandleSet:
    generator = np.random.default_rng(seed)
    values = (10 + generator.standard_normal((n_rows, 6)).cumsum(0)).astype(np.float32)
    instants = pd.date_range("2024-06-18 09:35", periods=n_rows, freq="5min").as_unit("us").asi8
    rows = SymbolRows("made", "made", 0, n_rows, 300_000_000, 288, True, 0, offset_rows=(0,), offsets=(0,))
    return CandleSet(values, instants, compute_small_calendar(instants), (replace(rows, **symbol),))


def starts(rows: range) -> WindowStarts:
    return WindowStarts(np.array([rows.start]), np.array([len(rows)]), rows.step)


def test_a_batch_is_what_a_row_loop_would_give() -> None:
    candles, config = make_candles(), make_config()
    batch = WindowDataset(candles, starts(range(3, 60, 2)), config).__getitems__([0, 5, 20])
    for i, start in enumerate([3, 13, 43]):
        window = candles.values[start : start + 14].astype(np.float64)
        mean, std = window[:10].mean(0), window[:10].std(0)
        expected = np.clip((window - mean) / (std + 1e-5), -5, 5)
        np.testing.assert_allclose(batch["candles"][i], expected, atol=1e-4)
        np.testing.assert_array_equal(batch["stamp"][i], candles.calendar[start : start + 14])
        assert batch["window"][i] == start
    assert batch["candles"].dtype == batch["stamp"].dtype == torch.float32


def test_many_origins_know_nothing_of_what_follows_them() -> None:
    """Each window is normalised by the candles before its own origin; a changed later candle changes no other one."""
    candles, config = make_candles(), make_config(lookback=16)
    dataset = WindowDataset(candles, starts(range(40)), config).with_many_origins()
    batch = dataset.__getitems__(range(40))
    n_known = batch["n_known"].tolist()
    assert set(n_known) == {8, 10, 12, 14, 16}
    for i, n in enumerate(n_known):
        window = candles.values[i : i + 20].astype(np.float64)
        mean, std = window[:n].mean(0), window[:n].std(0)
        np.testing.assert_allclose(batch["candles"][i], np.clip((window - mean) / (std + 1e-5), -5, 5), atol=1e-4)
    shuffled = dataset.__getitems__([7, 3])
    torch.testing.assert_close(shuffled["candles"], batch["candles"][[7, 3]])
    copy = pickle.loads(pickle.dumps(dataset))
    torch.testing.assert_close(copy[5]["candles"], batch["candles"][5])
    plain = WindowDataset(candles, starts(range(40)), config)
    assert copy.content_hash() == dataset.content_hash() != plain.content_hash() and "n_known" not in plain[0]


def test_one_item_and_workers_give_the_same() -> None:
    dataset = WindowDataset(make_candles(), starts(range(30)), make_config())
    torch.testing.assert_close(dataset[7]["candles"], dataset.__getitems__([6, 7])["candles"][1])
    for n_workers in (0, 2):
        batches = list(DataLoader(dataset, batch_size=8, collate_fn=keep_batch, num_workers=n_workers))
        assert np.concatenate([batch["window"] for batch in batches]).tolist() == list(range(30))


@settings(deadline=None, max_examples=50)
@given(start=st.integers(0, 80), scale=st.floats(-1e3, 1e3), column=st.integers(0, 5))
def test_a_perturbed_future_leaves_the_lookback_bit_identical(start: int, scale: float, column: int) -> None:
    candles, config = make_candles(), make_config()
    perturbed = candles.values.copy()
    perturbed[start + 10 :, column] += np.float32(scale)
    other = replace(candles, values=perturbed)
    before, after = (
        WindowDataset(c, starts(range(start, start + 1)), config)[0]["candles"][:10] for c in (candles, other)
    )
    assert torch.equal(before, after)


@given(
    n_rows=st.integers(1, 400),
    lookback=st.integers(2, 60),
    horizon=st.integers(1, 20),
    train=st.floats(0.2, 0.7),
    val=st.floats(0.1, 0.25),
)
def test_no_horizon_leaves_its_split(n_rows: int, lookback: int, horizon: int, train: float, val: float) -> None:
    config = make_config(lookback, horizon, train, val)
    try:
        splits = split_candles(make_candles(n_rows), config)
    except DataError as error:
        assert str(n_rows) in str(error)
        return
    assert sum(split.rows for split in splits.values()) == n_rows
    begin = 0
    for name, split in splits.items():
        first, last = split.starts[0], split.starts[-1]
        assert first >= (0 if name == "train" else begin - lookback)
        assert first + lookback >= begin  # the horizon begins within the split
        begin += split.rows
        assert last + lookback + horizon == begin  # and ends within it, the last row used
    assert splits["train"].starts[-1] + config.window <= splits["train"].rows


def test_a_validation_lookback_reaches_back_into_train_rows() -> None:
    splits = split_candles(make_candles(), make_config(lookback=30))
    assert splits["val"].starts[0] == 60 - 30


@pytest.mark.parametrize(
    ("n_rows", "words"),
    [
        (19, r"19 rows, of which train gets 11 .* needs at least 14 .* at least 23 rows"),
        (23, None),
        (9, "9 rows"),
    ],
)
def test_too_few_rows(n_rows: int, words: str | None) -> None:
    if words is None:
        split_candles(make_candles(n_rows), make_config())
    else:
        with pytest.raises(DataError, match=words):
            split_candles(make_candles(n_rows), make_config())


def test_too_few_validation_rows() -> None:
    with pytest.raises(DataError, match=r"val gets 3 \(val_ratio 0.03\), but it needs at least 4 .* at least \d+ rows"):
        split_candles(make_candles(100), make_config(train=0.67, val=0.03))


@given(n_rows=st.integers(1, 60), val=st.sampled_from([0.02, 0.1, 0.25]), train=st.sampled_from([0.5, 0.7]))
def test_the_number_of_rows_asked_for_is_enough_and_no_more(n_rows: int, val: float, train: float) -> None:
    config = make_config(train=train, val=val)
    try:
        split_candles(make_candles(n_rows), config)
    except DataError as error:
        enough = int(re.search(r"at least (\d+) rows", str(error))[1])
        split_candles(make_candles(enough), config)
        with pytest.raises(DataError):
            split_candles(make_candles(enough - 1), config)


def test_statistics_round_trip_and_published_epsilon() -> None:
    lookback = make_candles().values[None, :10]
    statistics = Statistics.compute(lookback)
    np.testing.assert_allclose(statistics.denormalise(statistics.normalise(lookback, 5.0)), lookback, rtol=1e-5)
    np.testing.assert_allclose(statistics.scale[0, 0], lookback[0].std(0, dtype=np.float64) + 1e-5, rtol=1e-6)


@given(scale=st.floats(1e-9, 1e9), feature=st.integers(0, 5))
def test_statistics_do_not_depend_on_the_price_level(scale: float, feature: int) -> None:
    lookback = np.abs(make_candles().values[None, :10].astype(np.float64)) + 1
    normal, scaled = (Statistics.compute(x).normalise(x, 5.0)[..., feature] for x in (lookback, lookback * scale))
    np.testing.assert_allclose(normal, scaled, atol=1e-3)


def test_reference_epsilon_is_absolute() -> None:
    lookback = 1e-5 * (1 + 0.01 * np.random.default_rng(0).standard_normal((1, 50, 6)))
    assert np.abs(Statistics.compute(lookback).normalise(lookback, 5.0)).max() > 1
    assert np.abs(Statistics.compute(lookback, reference_epsilon=True).normalise(lookback, 5.0)).max() < 0.1


def test_constant_and_zero_features_are_finite() -> None:
    lookback = np.zeros((1, 10, 6))
    lookback[..., :4] = 7.0
    assert (Statistics.compute(lookback).normalise(lookback, 5.0) == 0).all()
