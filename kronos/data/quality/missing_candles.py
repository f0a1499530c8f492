"""Candles that are missing by the market's own week.

A gap is a place where open slots passed without a candle. Nights, lunch breaks and weekends are no gaps. All times are
microseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kronos.candles import Array
from kronos.data.quality.market_hours import DAY, SECOND, MarketHours
from kronos.data.quality.market_week import N_AROUND, Grid, decide_weeks, lay_grid

MONTH = 146097 * DAY // 4800  # the mean of the calendar
BLOCK_CELLS = 1 << 20  # slots decided at once, at some 16 bytes each
_Columns = tuple[Array, Array, Array]


@dataclass(frozen=True)
class Gaps:
    """Where candles are missing, (G,) int64 each."""

    rows: Array  # the first row after each gap, ascending
    missing: Array  # candles, at least 1, that the market's week has between row - 1 and row
    # Days of the local calendar between the two on which the market normally trades; 0 if candles are longer than a day.
    # In a series too sparse for expected times, each such day misses the candles of a usual day.
    days: Array


def find_gaps(instants: Array, local: Array, hours: MarketHours) -> Gaps:
    """Find the places where candles are missing by the market's own week.

    In a week, a slot is open if it was seen on most of the same weekdays with candles in the weeks around, and a
    weekday is a market day if most of them had candles. Holidays look like halts; early closes are gaps too. A change of
    hours in the first or the last two weeks of the data may cause a false gap in the hours concerned.
    """
    blocks = [(np.zeros(0, np.int64),) * 3]
    if hours.regular and hours.interval > DAY:
        blocks.append(_find_long(local, hours.interval))
    elif hours.regular and len(instants) > 1:
        grid = lay_grid(local, max(hours.interval, SECOND))
        n_weeks = max(BLOCK_CELLS // grid.n_week, 2 * N_AROUND)
        for week in range(0, len(grid.weeks), n_weeks):
            blocks.append(_find_in_weeks(grid, week, week + n_weeks, instants, local, hours))
    return Gaps(*(np.concatenate(parts) for parts in zip(*blocks)))


def _find_long(local: Array, interval: int) -> _Columns:
    step = MONTH if 28 * DAY < interval <= 33 * DAY else interval
    missing = np.ceil(np.diff(local) / step - 0.5).astype(np.int64) - 1
    rows = np.flatnonzero(missing > 0)
    return rows + 1, missing[rows], np.zeros_like(rows)


def _find_in_weeks(grid: Grid, start: int, stop: int, instants: Array, local: Array, hours: MarketHours) -> _Columns:
    """Find the gaps that begin in the weeks with candles from start to stop; rows, missing and days as in Gaps."""
    stop = min(stop, len(grid.weeks))
    first, last = np.searchsorted(grid.cells, np.array([start, stop]) * grid.n_week)
    rows = np.flatnonzero(np.diff(instants[first : last + 1]) > hours.interval) + first + 1
    evidence = grid.observe(start - N_AROUND, min(stop + 1, len(grid.weeks)) + N_AROUND)
    open_, trades = decide_weeks(evidence)
    missing, n_slots, days = (_count(grid, rows, start, mask) for mask in (open_, np.ones_like(open_), trades))
    # While the market is open throughout, elapsed time is more exact than slots: slots are at least a second, may not
    # divide the day, and the clock skips some of them and shows others twice.
    elapsed = instants[rows] - instants[rows - 1]
    unclear = (elapsed != local[rows] - local[rows - 1]) | (hours.interval < SECOND)
    unclear |= (DAY % grid.step != 0) & (n_slots > 0)
    exact = np.rint(elapsed / hours.interval).astype(np.int64) - 1
    by_slots = missing * grid.step // min(hours.interval, grid.step)
    missing = np.where(unclear & (missing == n_slots), exact, by_slots)
    missing = np.where((missing == 0) & (days > 0), days * hours.candles_a_day, missing)
    gaps = missing > 0
    return rows[gaps], missing[gaps], days[gaps]


def _count(grid: Grid, rows: Array, start: int, mask: Array) -> Array:
    """Count the slots or days of a mask, for the weeks from start on, between row - 1 and row."""
    flat = mask.reshape(len(mask), -1)
    below = np.zeros((len(flat), flat.shape[1] + 1), np.int32)
    np.cumsum(flat, axis=1, out=below[:, 1:])
    left, right = grid.cells[rows - 1] // grid.n_week, grid.cells[rows] // grid.n_week
    unit = grid.n_week // flat.shape[1]
    before = below[left - start, grid.cells[rows - 1] % grid.n_week // unit + 1]
    after = below[right - start, grid.cells[rows] % grid.n_week // unit]
    # Weeks without candles are like the one before them.
    n_weeks = grid.weeks[right] - grid.weeks[left]
    return np.asarray(np.maximum(below[left - start, -1] * n_weeks + after - before, 0))
