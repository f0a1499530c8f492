"""Many symbols, gaps, jumps, dates, embargo, held-out symbols: which windows there are."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kronos.config.data import DataConfig
from kronos.data import CandleSet, Split, WindowDataset, split_candles
from kronos.data.windows.candle_set import SymbolRows, compute_small_calendar
from kronos.data.windows.splits import WindowStarts
from kronos.errors import DataError

FIVE_MINUTES = 300_000_000
DAY = 288  # candles
LOOKBACK, HORIZON = 10, 4
WINDOW = LOOKBACK + HORIZON


def make_set(*lengths: int, first_days: tuple[int, ...] = (), **changes: dict[str, object]) -> CandleSet:
    """Symbols s0, s1, … of 24-hour candles; changes: fields of a symbol by its name, rows counted within the symbol."""
    start = pd.DatetimeIndex(["2024-06-01"]).as_unit("us").asi8[0]
    symbols, instants, row = [], [], 0
    for i, n in enumerate(lengths):
        first = start + (first_days[i] if first_days else 0) * DAY * FIVE_MINUTES
        rows = SymbolRows(f"s{i}", f"s{i}.csv", 0, n, FIVE_MINUTES, DAY, True, 0, offset_rows=(0,), offsets=(0,))
        symbols.append(replace(rows, **changes.get(f"s{i}", {})).shift(row))
        times = first + FIVE_MINUTES * np.arange(n)
        for gap, missing in zip(symbols[-1].gap_rows, symbols[-1].gap_missing):
            times[gap - row :] += FIVE_MINUTES * missing
        instants.append(times)
        row += n
    values = 10 + np.random.default_rng(0).standard_normal((row, 6)).cumsum(0).astype(np.float32)
    times = np.concatenate(instants)
    return CandleSet(values.astype(np.float32), times, compute_small_calendar(times), tuple(symbols))


def make_config(**keys: object) -> DataConfig:
    small = {"lookback_window": LOOKBACK, "predict_window": HORIZON, "train_ratio": 0.6, "val_ratio": 0.2}
    return DataConfig(**{"data_path": "x.csv", "test_ratio": 0.2} | small | keys)


def all_starts(split: Split) -> np.ndarray:
    return split.starts.take(np.arange(len(split)))


def gaps(*pairs: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    return {
        "gap_rows": tuple(r for r, _ in pairs),
        "gap_missing": tuple(n for _, n in pairs),
        "gap_days": (0,) * len(pairs),
    }


@settings(deadline=None, max_examples=150)
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=5),
    days=st.lists(st.integers(0, 2), min_size=5, max_size=5),
    breaks=st.lists(st.tuples(st.integers(1, 399), st.integers(1, 40)), max_size=6, unique_by=lambda b: b[0]),
    jumps=st.lists(st.integers(1, 399), max_size=3, unique=True),
    max_gap=st.sampled_from([None, 0, 5, 20]),
    embargo=st.sampled_from([0, 3, 30]),
    stride=st.sampled_from([1, 7]),
    held_out=st.booleans(),
)
def test_no_window_crosses_a_symbol_a_split_a_forbidden_gap_or_a_jump(
    lengths, days, breaks, jumps, max_gap, embargo, stride, held_out
) -> None:
    own = sorted((row, n) for row, n in breaks if row < lengths[0])
    first = gaps(*own) | {"jump_rows": tuple(sorted(row for row in jumps if row < lengths[0]))}
    candles = make_set(*lengths, first_days=tuple(days), s0=first)
    held = {"test_symbols": (f"s{len(lengths) - 1}",)} if held_out and len(lengths) > 1 else {}
    config = make_config(max_gap=max_gap, embargo=embargo, train_stride=stride, **held)
    try:
        splits = split_candles(candles, config)
    except DataError as error:
        assert "windows" in str(error)
        return
    limit = DAY if max_gap is None else max_gap
    barred = [row for row, n in own if n > limit] + list(first["jump_rows"])
    for split in splits.values():
        starts = all_starts(split)
        assert len(starts) == len(split) == len(set(starts.tolist()))
        symbols = [candles.symbol_at(start) for start in starts]
        assert all(s.start <= start and start + WINDOW <= s.stop for start, s in zip(starts, symbols))
        for row in barred:
            assert not ((starts < row) & (row < starts + WINDOW)).any()
        bounds = split.symbol_bounds
        assert bounds[0] == 0 and bounds[-1] == len(split) and (np.diff(bounds) >= 0).all()
        for low, high in itertools.pairwise(bounds):
            assert len({candles.symbol_at(start).symbol for start in starts[low:high]}) <= 1
        if held:
            assert (split.name == "test") or held["test_symbols"][0] not in {s.symbol for s in symbols}
    # Train ends, in time, before anything that a later split forecasts; held-out symbols apart.
    shared = {
        name: np.array(
            [s for s in all_starts(split) if candles.symbol_at(s).symbol not in held.get("test_symbols", ())], int
        )
        for name, split in splits.items()
    }
    for earlier, later in (("train", "val"), ("val", "test")):
        if len(shared[earlier]) and len(shared[later]):
            last = candles.instants[shared[earlier] + WINDOW - 1].max()
            assert last < candles.instants[shared[later] + LOOKBACK].min()


def test_every_lost_window_is_accounted_for() -> None:
    candles = make_set(300, 300, s0=gaps((50, 9), (100, 1)) | {"jump_rows": (120,)})
    plain = split_candles(make_set(300, 300), make_config())["train"]
    split = split_candles(candles, make_config(max_gap=5, train_stride=3))["train"]
    assert split.dropped["gaps"] == WINDOW - 1 and split.dropped["jumps"] == WINDOW - 1
    assert len(plain) == len(split) + sum(split.dropped.values()) + (plain.rows - split.rows)
    assert plain.dropped == {}
    assert split.independent < len(split)


def test_independent_windows_share_no_candle() -> None:
    splits = split_candles(make_set(100), make_config())
    assert splits["train"].independent == 60 // WINDOW
    assert splits["val"].independent == 20 // HORIZON


def test_boundaries_are_moments_common_to_all_symbols() -> None:
    candles = make_set(1000, 400, first_days=(0, 2))
    splits = split_candles(candles, make_config())
    for name, share in (("train", 0.6), ("val", 0.2), ("test", 0.2)):
        assert splits[name].rows == pytest.approx(1400 * share, abs=3)
    horizon_starts = candles.instants[all_starts(splits["val"]) + LOOKBACK]
    train_ends = candles.instants[all_starts(splits["train"]) + WINDOW - 1]
    assert train_ends.max() < horizon_starts.min()


def test_splits_by_date() -> None:
    candles = make_set(10 * DAY)
    splits = split_candles(candles, make_config(train_end="2024-06-05", val_end="2024-06-07 12:00"))
    assert [split.rows for split in splits.values()] == [5 * DAY, DAY + DAY // 2 + 1, 3 * DAY + DAY // 2 - 1]
    assert list(split_candles(candles, make_config(train_end="2024-06-05"))) == ["train", "val"]
    assert list(split_candles(candles, make_config(train_end="2024-06-05", test_symbols=()))) == ["train", "val"]


def test_dates_are_those_of_the_exchange() -> None:
    """A file with zones: its day begins at its own midnight."""
    offset = 8 * 3600 * 1_000_000
    candles = make_set(10 * DAY, s0={"offsets": (offset,)})
    rows = split_candles(candles, make_config(train_end="2024-06-05"))["train"].rows
    assert rows == 5 * DAY - 8 * 12


def test_a_day_ends_at_one_moment_for_all_symbols() -> None:
    """Hong Kong's day ends before New York's: there both end."""
    hours = 3600 * 1_000_000
    candles = make_set(10 * DAY, 10 * DAY, s0={"offsets": (8 * hours,)}, s1={"offsets": (-5 * hours,)})
    splits = split_candles(candles, make_config(train_end="2024-06-05"))
    last = candles.instants[all_starts(splits["train"]) + WINDOW - 1].max()
    assert last < candles.instants[all_starts(splits["val"]) + LOOKBACK].min()
    assert splits["train"].rows == 2 * (5 * DAY - 8 * 12)


def test_the_embargo_takes_no_horizon_after_a_boundary() -> None:
    candles = make_set(300)
    plain, apart = (split_candles(candles, make_config(embargo=n)) for n in (0, 15))
    assert len(apart["train"]) == len(plain["train"])
    for name in ("val", "test"):
        assert apart[name].starts[0] == plain[name].starts[0] + 15
        assert apart[name].dropped == {"the embargo": 15}


def test_whole_symbols_are_held_out() -> None:
    candles = make_set(300, 300, 300)
    splits = split_candles(candles, make_config(val_symbols=("s1",), test_symbols=("s2",), test_ratio=0.2))
    symbols = {name: {candles.symbol_at(s).symbol for s in all_starts(split)} for name, split in splits.items()}
    assert symbols == {"train": {"s0"}, "val": {"s0", "s1"}, "test": {"s0", "s2"}}
    assert all_starts(splits["test"]).max() + WINDOW == 900
    with pytest.raises(DataError, match=r"no symbol s9\. The candles hold s0, s1, s2"):
        split_candles(candles, make_config(test_symbols=("s9",)))


def test_a_market_that_closes_may_rest_longer_than_one_that_never_does() -> None:
    for never_closes, lost in ((True, WINDOW - 1), (False, 0)):
        symbol = gaps((60, DAY + 1)) | {"never_closes": never_closes}
        split = split_candles(make_set(300, s0=symbol), make_config())["train"]
        assert split.dropped.get("gaps", 0) == lost


def test_no_window_at_all_says_why() -> None:
    everywhere = gaps(*((row, 9) for row in range(10, 290, 10)))
    with pytest.raises(DataError, match=r"no train window in 180 train candles .*windows left out: .* to gaps"):
        split_candles(make_set(300, s0=everywhere), make_config(max_gap=2))


def test_validation_may_be_capped() -> None:
    candles = make_set(500, 300)
    whole = split_candles(candles, make_config())["val"]
    capped = split_candles(candles, make_config(val_windows=20))["val"]
    assert len(capped) == 20 and capped.dropped == {"the cap": len(whole) - 20}
    assert set(all_starts(capped)) <= set(all_starts(whole)) and np.ptp(np.diff(capped.symbol_bounds)) <= 20
    assert capped.starts[0] == whole.starts[0] and capped.starts[-1] == whole.starts[-1]
    for low, high in itertools.pairwise(capped.symbol_bounds):
        assert len({candles.symbol_at(start).symbol for start in all_starts(capped)[low:high]}) <= 1
    assert len(split_candles(candles, make_config(val_windows=10**6))["val"]) == len(whole)


def test_starts_behave_like_a_sequence() -> None:
    starts = WindowStarts(np.array([5, 20]), np.array([3, 2]), stride=4)
    assert [starts[i] for i in range(len(starts))] == [5, 9, 13, 20, 24] and starts[-1] == 24
    with pytest.raises(IndexError):
        starts[5]


def test_batches_of_many_symbols_are_those_of_each_alone() -> None:
    candles = make_set(200, 200)
    config = make_config()
    split = split_candles(candles, config)["train"]
    batch = WindowDataset(candles, split.starts, config, split.symbol_bounds).__getitems__(range(len(split)))
    for i, symbol in enumerate(candles.symbols):
        rows = slice(symbol.start, symbol.stop)
        moved = symbol.shift(0)
        alone = CandleSet(candles.values[rows], candles.instants[rows], candles.calendar[rows], (moved,))
        starts = all_starts(split)[split.symbol_bounds[i] : split.symbol_bounds[i + 1]]
        other = WindowDataset(
            alone, WindowStarts(starts - symbol.start, np.ones(len(starts), int)), config
        ).__getitems__(range(len(starts)))
        part = slice(split.symbol_bounds[i], split.symbol_bounds[i + 1])
        assert (batch["candles"][part] == other["candles"]).all() and (batch["stamp"][part] == other["stamp"]).all()
