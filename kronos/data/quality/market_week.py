"""The market's week as the candles show it, and the candles that are missing by it.

A *slot* is a weekday and a time of day on the grid of the interval, by the clock of the exchange. Which slots are open
is decided for every week anew, by the weeks around it, so that a market may change its hours. A gap is a place where
open slots passed without a candle; nights, lunch breaks and weekends are none. All times are microseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kronos.candles import Array

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
MONTH = 146097 * DAY // 4800  # the mean of the calendar
# Weeks begin on Sunday, when clocks are changed, so that all days of a week have the same hours.
FIRST_WEEKDAY = 4  # 1970-01-01 was a Thursday
WEEKDAYS, WEEKEND = slice(1, 6), slice(0, 7, 6)
N_AROUND = 4  # weeks before and after that decide; where the hours change, a week's own kind is in the majority
N_FEW = 4  # a slot met fewer times does not decide alone
BLOCK_CELLS = 1 << 20  # slots judged at once, at some 12 bytes each
STRETCH = 32  # candles; three such blocks, in each of which most keep to one interval, make a long stretch
_Columns = tuple[Array, Array, Array]


@dataclass(frozen=True)
class MarketHours:
    """The rhythm of a file of candles."""

    interval: int  # the most common difference of consecutive candles, in whole days if a day or more; 0 if none
    regular: bool  # False: the candles keep to no grid (tick bars, dollar bars, random times) and have no gaps
    candles_a_day: int  # the median over days with candles, at least 1
    never_closes: bool  # rests at no hour of the week that the data show, a day at least (daily candles: a week)


@dataclass(frozen=True)
class Gaps:
    """Where candles are missing, (G,) int64 each."""

    rows: Array  # the first row after each gap, ascending
    missing: Array  # candles, at least 1, that the market's week has between row - 1 and row
    # Days of the local calendar between the two on which the market normally trades; 0 where candles are longer. Where
    # they are too sparse to be expected at a given time, the candles of a usual day are missing on each such day.
    days: Array


class IntervalChange(NamedTuple):
    """Where the interval, in microseconds, changes; row: the first one that the next follows by the new interval."""

    row: int
    before: int
    after: int


def infer_market_hours(instants: Array, local: Array) -> MarketHours:
    """Read the rhythm off the candles.

    Args:
        instants: (N,) int64 true times, strictly increasing.
        local: (N,) int64 the same by the clock of the exchange, which may repeat or skip an hour.
    """
    if len(instants) < 2:
        return MarketHours(0, False, 1, False)
    interval, share, median = _find_mode(np.diff(instants))
    if median >= DAY - HOUR:  # when clocks are changed, a day has 23 or 25 hours
        dates = np.diff(local // DAY)
        interval, share, _ = _find_mode(dates[dates > 0])
        interval *= DAY
    recent = local[-1000:]  # by chance, times of day recur in long histories of irregular candles too
    recurring = 2 * len(np.unique(recent % DAY)) <= len(recent)
    per_day = np.diff(_find_changes(local // DAY), append=len(local))
    regular = interval > 0 and bool(share >= 0.5 or recurring)
    return MarketHours(interval, regular, int(np.median(per_day)), _never_closes(local, interval))


def find_gaps(instants: Array, local: Array, pattern: MarketHours) -> Gaps:
    """Find the places where candles are missing by the market's own week.

    In a week, a slot is open if it was seen on most of the same weekdays with candles in the weeks around, and a
    weekday is a market day if most of them had candles. Holidays look the same as halts; early closes are gaps, too. A
    change of hours in the first or the last two weeks of the data may make a false gap of the hours concerned.
    """
    blocks = [(np.zeros(0, np.int64),) * 3]
    if pattern.regular and pattern.interval > DAY:
        blocks.append(_find_long(local, pattern.interval))
    elif pattern.regular and len(instants) > 1:
        grid = _lay_grid(local, max(pattern.interval, SECOND))
        n_weeks = max(BLOCK_CELLS // grid.n_week, 2 * N_AROUND)
        for week in range(0, len(grid.weeks), n_weeks):
            blocks.append(_find_in_weeks(grid, week, week + n_weeks, instants, local, pattern))
    return Gaps(*(np.concatenate(parts) for parts in zip(*blocks)))


def find_interval_changes(instants: Array) -> list[IntervalChange]:
    """Find where a long stretch of candles at one interval is followed by a long stretch at another."""
    majorities = _find_majorities(np.diff(instants))
    blocks = np.flatnonzero(majorities)
    changes: list[IntervalChange] = []
    before, last = 0, 0  # the interval of the stretch so far and its last block
    for stretch in np.split(blocks, _find_changes(majorities[blocks])[1:]):
        if len(stretch) < 3:
            continue
        after = int(majorities[stretch[0]])
        if before not in (0, after):
            start = last * STRETCH
            differences = np.diff(instants[start : (stretch[0] + 1) * STRETCH + 1])
            scores = np.cumsum(differences == before) - np.cumsum(differences == after)
            changes.append(IntervalChange(start + len(scores) - int(scores[::-1].argmax()), before, after))
        before, last = after, int(stretch[-1])
    return changes


def _find_majorities(differences: Array) -> Array:
    """Return for every whole block of STRETCH differences the value of more than half of them, or 0."""
    blocks = differences[: len(differences) // STRETCH * STRETCH].reshape(-1, STRETCH)
    medians = np.partition(blocks, STRETCH // 2, axis=1)[:, STRETCH // 2]  # what has a majority is the median
    return np.where(2 * np.count_nonzero(blocks == medians[:, None], axis=1) > STRETCH, medians, 0)


def _find_mode(values: Array) -> tuple[int, float, int]:
    """Return the most common value, of equally common ones the least, its share, and the median; values is sorted."""
    if not len(values):
        return 0, 0.0, 0
    values.sort()
    starts = _find_changes(values)
    counts = np.diff(starts, append=len(values))
    best = counts.argmax()
    return int(values[starts[best]]), int(counts[best]) / len(values), int(values[len(values) // 2])


def _find_changes(values: Array) -> Array:
    """Return 0 and the indices at which a value differs from the one before."""
    return np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)


def _find_long(local: Array, interval: int) -> _Columns:
    step = MONTH if 28 * DAY < interval <= 33 * DAY else interval
    missing = np.ceil(np.diff(local) / step - 0.5).astype(np.int64) - 1
    rows = np.flatnonzero(missing > 0)
    return rows + 1, missing[rows], np.zeros_like(rows)


@dataclass(frozen=True)
class _Grid:
    step: int  # the length of a slot
    n_week: int  # slots in a week
    weeks: Array  # (K,) numbers of the weeks with candles
    cells: Array  # (N,) slots of the candles, counted on through the weeks with candles

    def observe(self, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Return masks of weeks with candles, also outside: slots (M, 7, S) and days (M, 7) seen, days (M, 7) spanned."""
        n_slots = self.n_week // 7
        rows = slice(*np.searchsorted(self.cells, [start * self.n_week, stop * self.n_week]))
        flat = np.zeros((stop - start) * self.n_week, bool)
        flat[self.cells[rows] - start * self.n_week] = True
        seen: Array = flat.reshape(-1, 7, n_slots)
        days = np.arange(7 * start, 7 * stop).reshape(-1, 7)
        first, last = self.cells[[0, -1]] // n_slots
        return seen, np.asarray(seen.any(2)), (days >= first) & (days <= last)


def _lay_grid(local: Array, step: int) -> _Grid:
    n_slots = -(-DAY // step)
    cells = (local // DAY + FIRST_WEEKDAY) * n_slots
    cells += local % DAY // step  # every day begins anew
    n_week = 7 * n_slots
    starts = _find_changes(cells // n_week)
    weeks = cells[starts] // n_week
    cells -= np.repeat((weeks - np.arange(len(weeks))) * n_week, np.diff(starts, append=len(local)))
    return _Grid(step, n_week, weeks, cells)


def _never_closes(local: Array, interval: int) -> bool:
    if not 0 < interval <= DAY:
        return False
    step = max(interval, HOUR)
    grid = _lay_grid(local, step if DAY % step == 0 else DAY)
    first, last = grid.cells[[0, -1]]
    n_met = np.full(grid.n_week, len(grid.weeks))
    n_met[: first % grid.n_week] -= 1
    n_met[last % grid.n_week + 1 :] -= 1
    n_seen = np.bincount(grid.cells[_find_changes(grid.cells)] % grid.n_week, minlength=grid.n_week)
    long = last - first + 1 >= max(grid.n_week // 7, 7)
    return bool(long and (2 * n_seen > n_met)[n_met > 0].all())


def _find_in_weeks(grid: _Grid, start: int, stop: int, instants: Array, local: Array, pattern: MarketHours) -> _Columns:
    """Find the gaps that begin in the weeks with candles from start to stop; rows, missing and days as in Gaps."""
    stop = min(stop, len(grid.weeks))
    first, last = np.searchsorted(grid.cells, np.array([start, stop]) * grid.n_week)
    rows = np.flatnonzero(np.diff(instants[first : last + 1]) > pattern.interval) + first + 1
    open_, trades = _judge(*grid.observe(start - N_AROUND, min(stop + 1, len(grid.weeks)) + N_AROUND))
    missing, n_slots, days = (_count(grid, rows, start, mask) for mask in (open_, np.ones_like(open_), trades))
    # What slots do not tell, time does, where the market is open throughout: slots are at least a second, may not
    # divide the day, and the clock skips some and shows others twice.
    elapsed = instants[rows] - instants[rows - 1]
    unclear = (elapsed != local[rows] - local[rows - 1]) | (pattern.interval < SECOND)
    unclear |= (DAY % grid.step != 0) & (n_slots > 0)
    exact = np.rint(elapsed / pattern.interval).astype(np.int64) - 1
    by_slots = missing * grid.step // min(pattern.interval, grid.step)
    missing = np.where(unclear & (missing == n_slots), exact, by_slots)
    missing = np.where((missing == 0) & (days > 0), days * pattern.candles_a_day, missing)
    found = missing > 0
    return rows[found], missing[found], days[found]


def _count(grid: _Grid, rows: Array, start: int, mask: Array) -> Array:
    """Count what the mask, of slots or days in the weeks from start on, holds between row - 1 and row."""
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


def _judge(seen: Array, active: Array, spanned: Array) -> tuple[Array, Array]:
    """Decide which slots are open (n, 7, S) and which days are market days (n, 7), in all but N_AROUND outer weeks."""
    n_seen, n_active, n_spanned = (_add_around(mask) for mask in (seen, active, spanned))
    seen, active = seen[N_AROUND:-N_AROUND], active[N_AROUND:-N_AROUND]
    trades = _classify_days(n_active, n_spanned)
    open_: Array = 2 * n_seen > n_active[..., None]
    shown, n, of = np.asarray(seen[:, WEEKDAYS].any(1)), n_seen[:, WEEKDAYS], n_active[:, WEEKDAYS, None]
    weekdays = open_[:, WEEKDAYS]  # a view
    # Where a candle is missing beside a change of hours, the others are in balance; the days of its week decide. (Not of
    # the hour at which Friday alone closes, that the other days always show.)
    in_balance = np.asarray(4 * n.sum(1) <= 3 * of.sum(1))
    weekdays |= (2 * n + 1 >= of) & (shown & in_balance)[:, None]
    # What most days do not show, some weekday shows by chance; to count, it must do so clearly.
    weekdays &= (4 * n > 3 * of) | np.asarray(2 * n.sum(1) > of.sum(1))[:, None]
    few = trades & (n_active < N_FEW)
    if few.any():
        np.copyto(open_, _classify_few(n_seen, n_active, trades), where=few[..., None])
    open_ &= trades[..., None]
    _follow_clocks(open_, trades, seen)
    # Near the ends of the data new hours are in the minority: what no day of a week shows is closed in that week.
    short = active[:, WEEKDAYS].sum(1) < N_FEW
    weekdays &= (shown | short[:, None])[:, None]
    return open_, trades


def _add_around(mask: Array) -> Array:
    """Add up N_AROUND weeks before, the week itself and as many after, for every week that has them."""
    n_weeks = len(mask) - 2 * N_AROUND
    return np.asarray(sum(mask[i : i + n_weeks].view(np.uint8) for i in range(2 * N_AROUND + 1)))


def _classify_days(n_active: Array, n_spanned: Array) -> Array:
    trades: Array = 2 * n_active > n_spanned
    # One miss in a week or two is taken for a holiday; but a market that works on Sunday may rest on Friday.
    most = 2 * n_active[:, WEEKDAYS].sum(1) > n_spanned[:, WEEKDAYS].sum(1)
    holiday = np.asarray((n_spanned <= 2) & (n_spanned - n_active == 1) & most[:, None])
    holiday[:, WEEKEND] = False
    holiday[:, 5] &= trades[:, 0] == trades[:, 6]
    trades |= holiday
    return trades


def _classify_few(n_seen: Array, n_active: Array, trades: Array) -> Array:
    """Decide for slots met a few times, (n, 7, S): by all weekdays or the weekend; by every day in a seven-day market."""
    open_: Array = np.empty(n_seen.shape, bool)
    for kind in (WEEKDAYS, WEEKEND):
        every_day = trades.all(1) & (n_active[:, kind].sum(1) < N_FEW)
        n_met = np.where(every_day, n_active.sum(1), n_active[:, kind].sum(1))
        n_shown = np.where(every_day[:, None], n_seen.sum(1), n_seen[:, kind].sum(1))
        open_[:, kind] = (2 * n_shown > n_met[:, None])[:, None]
    before = np.maximum.accumulate(n_seen, axis=2) > 0
    after = np.maximum.accumulate(n_seen[..., ::-1], axis=2)[..., ::-1] > 0
    # What a weekday never shows beside a day of rest is closed, as Friday's late and Sunday's early hours.
    works_before, works_after = (np.roll(trades, by, axis=1)[..., None] for by in (1, -1))
    open_ &= (before | works_before) & (after | works_after)
    return open_


def _follow_clocks(open_: Array, trades: Array, seen: Array) -> None:
    """Move the hours by one, in place, in weeks that then agree better with the candles seen.

    So it is with data in UTC that begin or end soon after the exchange's change of clocks, which is in the minority.
    """
    odd = np.flatnonzero((seen & ~open_).any((1, 2)))  # weeks with candles in closed slots
    hour = max(open_.shape[2] // 24, 1)
    for by in (hour, -hour):
        moved = np.roll(open_[odd].reshape(len(odd), open_[0].size), by, axis=1).reshape(-1, *open_.shape[1:])
        n_common, n_moved = (np.count_nonzero(seen[odd] & mask, axis=2) for mask in (open_[odd], moved))
        n_missed, n_missed_then = (np.count_nonzero(mask & ~seen[odd], axis=2) for mask in (open_[odd], moved))
        # Friday of a market that closes for the weekend only shows as much either way, and follows the others.
        as_good = (n_moved >= n_common) & (n_missed_then <= n_missed)
        week, day = np.nonzero(as_good & (n_moved > n_common).any(1)[:, None])
        open_[odd[week], day] = moved[week, day]
        trades[odd[week], day] = moved[week, day].any(1)
