"""The times of day at which origins lie: a stride that visits all of them, and how many it visited."""

import math
from collections.abc import Iterator

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
    clocks = _read_clocks(origins.candles, origins.rows)
    times, counts = np.unique(np.concatenate([np.empty(0, np.int64), *clocks]), return_counts=True)
    return {_format_clock(int(time)): int(count) for time, count in zip(times, counts)}


def count_all_clock_times(origins: Origins) -> int:
    """Return how many different times of day the candles of the origins' symbols have; 0 for daily and longer candles."""
    candles = origins.candles
    used = [candles.symbols[number] for number in np.unique(candles.symbol_numbers(origins.rows))]
    rows = np.concatenate([np.arange(symbol.start, symbol.stop) for symbol in used])
    clocks = [np.unique(clock) for clock in _read_clocks(candles, rows)]
    return len(np.unique(np.concatenate([np.empty(0, np.int64), *clocks])))


def note_few_clock_times(origins: Origins, stride: int) -> list[Note]:
    """Return a note if the stride leaves out most of the times of day that so many origins could visit."""
    better = choose_stride(origins.candles, stride)
    n_visited, n_all = len(count_clock_times(origins)), count_all_clock_times(origins)
    if better == stride or n_visited >= FEW_SHARE * min(n_all, len(origins)):
        return []
    values = {"n": n_visited, "n_all": n_all, "stride": stride, "better": better}
    return [Note(code="few_clock_times", values=values)]


def _read_clocks(candles: CandleSet, rows: Array) -> Iterator[Array]:
    """Yield the times of day, in microseconds, of the rows of each intraday symbol."""
    numbers = candles.symbol_numbers(rows)
    for number in np.unique(numbers):
        symbol = candles.symbols[number]
        if is_intraday(symbol.interval):
            yield candles.local_at(symbol, rows[numbers == number]) % DAY


def _format_clock(microseconds: int) -> str:
    seconds = microseconds // 1_000_000
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}"
    return f"{clock}:{seconds % 60:02d}" if seconds % 60 else clock
