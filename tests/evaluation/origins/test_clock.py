"""The times of day of origins: which stride visits all of them, and what is noted if few are visited."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kronos import load_config
from kronos.data import CandleSet, load_candles
from kronos.data.windows.candle_set import DAY
from kronos.evaluation.origins.clock import (
    choose_stride,
    count_all_clock_times,
    count_clock_times,
    note_few_clock_times,
)
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.records import Note
from tests.conftest import ROOT

MINUTE = 60_000_000


@pytest.fixture
def candles(tiny_config: Path) -> CandleSet:
    """3,360 candles of five minutes, 48 a day."""
    config = load_config(tiny_config, [f"data.data_path={ROOT / 'data' / 'synthetic_5min.csv'}"])
    found, _ = load_candles(config.data, config.repairs)
    assert found.symbols[0].candles_a_day == 48
    return found


def with_sessions(candles: CandleSet, *sessions: tuple[int, int]) -> CandleSet:
    """The candles of symbols with so many candles a day at an interval in microseconds."""
    symbol = candles.symbols[0]
    return replace(
        candles, symbols=tuple(replace(symbol, candles_a_day=size, interval=each) for size, each in sessions)
    )


@pytest.mark.parametrize(
    ("sessions", "horizon", "stride"),
    [
        ([(48, 5 * MINUTE)], 48, 49),
        ([(48, 5 * MINUTE)], 6, 7),
        ([(48, 5 * MINUTE)], 47, 47),
        ([(288, 5 * MINUTE)], 48, 49),
        ([(4, 60 * MINUTE)], 4, 5),
        ([(48, 5 * MINUTE), (78, 5 * MINUTE)], 24, 25),  # 2, 3 and 13 divide a day
        ([(48, 5 * MINUTE), (50, 5 * MINUTE)], 25, 29),
        ([(1, DAY)], 20, 20),
        ([(1, 7 * DAY)], 4, 4),
    ],
)
def test_the_stride_shares_no_factor_with_the_day(
    candles: CandleSet, sessions: list[tuple[int, int]], horizon: int, stride: int
) -> None:
    assert choose_stride(with_sessions(candles, *sessions), horizon) == stride


def take(candles: CandleSet, stride: int, n: int | None = None) -> Origins:
    rows = np.arange(100, len(candles) - 48, stride)[:n]
    return Origins(candles, rows, lookback=16, horizon=48)


def test_the_chosen_stride_visits_all_times_evenly_and_the_horizon_one(candles: CandleSet) -> None:
    every = take(candles, 7)
    counts = count_clock_times(every)
    assert len(counts) == count_all_clock_times(every) == 48
    assert next(iter(counts)) == "09:35" and list(counts)[-1] == "15:00" and list(counts) == sorted(counts)
    assert sum(counts.values()) == len(every) and max(counts.values()) - min(counts.values()) <= 1
    assert note_few_clock_times(every, 7) == []
    one = take(candles, 48)
    assert len(count_clock_times(one)) == 1
    note = Note(code="few_clock_times", values={"n": 1, "n_all": 48, "stride": 48, "better": 49})
    assert note_few_clock_times(one, 48) == [note]
    assert note_few_clock_times(take(candles, 12, n=4), 12) == [], "four origins cannot visit more"


def test_several_symbols_and_seconds(candles: CandleSet) -> None:
    """A second exchange opens 90 seconds later; the candles of a symbol without origins do not count."""
    (symbol,) = candles.symbols
    half, offset = len(candles) // 2, 90_000_000
    later = replace(symbol, start=half, offset_rows=(half,), offsets=(offset,))
    both = replace(candles, symbols=(replace(symbol, stop=half), later))
    origins = Origins(both, np.array([100, half + 100]), lookback=16, horizon=8)
    assert list(count_clock_times(origins).values()) == [1, 1] and count_all_clock_times(origins) == 96
    assert [len(clock) for clock in count_clock_times(origins)] == [5, 8]
    assert count_all_clock_times(origins.take(np.array([0]))) == 48


def test_daily_candles_have_no_time_of_day(candles: CandleSet) -> None:
    origins = take(with_sessions(candles, (1, DAY)), 48)
    assert count_clock_times(origins) == {} and count_all_clock_times(origins) == 0
    assert note_few_clock_times(origins, 48) == []
