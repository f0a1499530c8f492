"""The times of day at which origins lie: a stride that visits all of them, and how many it visited."""

import math

import numpy as np

from kronos.candles import Array
from kronos.data import CandleSet
from kronos.data.windows.candle_set import DAY
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.records import Note

FEW_SHARE = 0.5  # fewer clock times than this share of those that so many origins could visit are few


def choose_stride(candles: CandleSet, at_least: int) -> int:
    """Return the smallest stride from `at_least` on that visits all times of day.

    A stride with no common factor with the number of candles a day moves on to another time of day with each origin, until
    it has visited all of them. Symbols with different sessions get one stride that suits all of them.
    """
    sizes = {symbol.candles_a_day for symbol in candles.symbols if is_intraday(symbol.interval)}
    stride = at_least
    while any(math.gcd(stride, size) > 1 for size in sizes):
        stride += 1
    return stride


def is_intraday(interval: int) -> bool:
    """Whether candles with an interval, in microseconds, have a time of day."""
    return 0 < interval < DAY


def count_clock_times(origins: Origins) -> dict[str, int]:
    """Count origins by the local time of day of their last known candle, "09:35"; empty for daily and longer candles."""
    times, counts = np.unique(_read_clocks(origins.candles, origins.rows), return_counts=True)
    return {_format_clock(int(time)): int(count) for time, count in zip(times, counts)}


def count_all_clock_times(origins: Origins) -> int:
    """Return how many different times of day the candles of the origins' symbols have; 0 for daily and longer candles."""
    candles = origins.candles
    used = [candles.symbols[number] for number in np.unique(candles.symbol_numbers(origins.rows))]
    rows = np.concatenate([np.arange(symbol.start, symbol.stop) for symbol in used])
    return len(np.unique(_read_clocks(candles, rows)))


def note_few_clock_times(origins: Origins, stride: int) -> list[Note]:
    """Return a note if the stride leaves out most of the times of day that so many origins could visit."""
    better = choose_stride(origins.candles, stride)
    n_visited, n_all = len(count_clock_times(origins)), count_all_clock_times(origins)
    if better == stride or n_visited >= FEW_SHARE * min(n_all, len(origins)):
        return []
    values = {"n": n_visited, "n_all": n_all, "stride": stride, "better": better}
    return [Note(code="few_clock_times", values=values)]


def find_local_times(candles: CandleSet, rows: Array) -> Array:
    """Return the local times (R,) of rows (R,) of any symbols, int64 microseconds since 1970."""
    numbers, times = candles.symbol_numbers(rows), np.empty(len(rows), np.int64)
    for number in np.unique(numbers):
        own = numbers == number
        times[own] = candles.local_at(candles.symbols[number], rows[own])
    return times


def _read_clocks(candles: CandleSet, rows: Array) -> Array:
    """Return the times of day, in microseconds, of the rows of intraday symbols."""
    intraday = np.array([is_intraday(symbol.interval) for symbol in candles.symbols], bool)
    return find_local_times(candles, rows[intraday[candles.symbol_numbers(rows)]]) % DAY


def _format_clock(microseconds: int) -> str:
    seconds = microseconds // 1_000_000
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    return f"{clock}:{seconds % 60:02d}" if seconds % 60 else clock
