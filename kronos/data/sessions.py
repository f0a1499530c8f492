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
WEEK = 7 * DAY
MONTH = 146097 * DAY // 4800  # the mean of the calendar
# Weeks begin on Sunday, when clocks are changed, so that all days of a week have the same hours.
FIRST_WEEKDAY = 4  # 1970-01-01 was a Thursday
WEEKDAYS, WEEKEND = slice(1, 6), slice(0, 7, 6)
N_AROUND = 4  # weeks before and after that decide; where the hours change, a week's own kind is in the majority
N_FEW = 4  # a slot met fewer times does not decide alone
BLOCK_CELLS = 1 << 20  # slots judged at once, at some 12 bytes each
STRETCH = 32  # candles; two such blocks make a long stretch


@dataclass(frozen=True)
class Pattern:
    """The rhythm of a file of candles."""

    interval: int  # the most common difference of consecutive candles; whole days if that; 0 for fewer than two
    regular: bool  # False: the candles keep to no grid (tick bars, dollar bars, random times) and have no gaps
    candles_a_day: int  # the median over days with candles, at least 1
    never_closes: bool  # rests at no hour of the week that the data show, a day at least (daily candles: a week)


@dataclass(frozen=True)
class Gaps:
    """Where candles are missing, (G,) int64 each.

    rows: the first row after each gap, ascending. missing: candles (at least 1) that the market's week has between
    row - 1 and row; where candles are too sparse to expect any at a given time, those of a usual day for each of days.
    days: days of the local calendar without a candle between the two on which the market normally trades; 0 where
    candles are longer than a day and show no such days.
    """

    rows: Array
    missing: Array
    days: Array


class IntervalChange(NamedTuple):
    """Where the interval, in microseconds, changes; row: the first one that the next follows by the new interval."""

    row: int
    before: int
    after: int


def find_pattern(instants: Array, local: Array) -> Pattern:
    """Read the rhythm off the candles.

    Args:
        instants: (N,) int64 true times, strictly increasing.
        local: (N,) int64 the same by the clock of the exchange, which may repeat or skip an hour.
    """
    if len(instants) < 2:
        return Pattern(0, False, 1, False)
    interval, share, median = _find_mode(np.diff(instants))
    if median >= DAY - HOUR:  # when clocks are changed, a day has 23 or 25 hours
        dates = np.diff(local // DAY)
        interval, share, _ = _find_mode(dates[dates > 0])
        interval *= DAY
    recent = local[-1000:]  # by chance, times of day recur in long histories of irregular candles too
    recurring = 2 * len(np.unique(recent % DAY)) <= len(recent)
    per_day = np.diff(_find_changes(local // DAY), append=len(local))
    regular = interval > 0 and bool(share >= 0.5 or recurring)
    return Pattern(interval, regular, int(np.median(per_day)), _never_closes(local, interval))


def find_gaps(instants: Array, local: Array, pattern: Pattern) -> Gaps:
    """Find the places where candles are missing by the market's own week.

    In a week, a slot is open if it was seen on most of the same weekdays with candles in the weeks around, and a
    weekday is a market day if most of them had candles. Holidays look the same as halts; early closes are gaps, too.

    Args:
        instants, local: as for `find_pattern`. pattern: what it returned.
    """
    blocks = [(np.zeros(0, np.int64),) * 3]
    interval = pattern.interval
    if pattern.regular and len(instants) > 1:
        if (local[1:] < local[:-1]).any():
            local = np.maximum.accumulate(local)  # of what the clock shows twice, the second time adds nothing
        if interval >= WEEK or (interval > DAY and _is_steady(local, interval)):
            blocks.append(_find_long(local, interval))
        else:
            grid = _lay_grid(local, min(max(interval, SECOND), DAY))
            n_weeks = max(BLOCK_CELLS // grid.n_week, 2 * N_AROUND)
            for week in range(0, len(grid.weeks), n_weeks):
                blocks.append(_find_in_weeks(grid, week, week + n_weeks, instants, local, pattern))
    return Gaps(*(np.concatenate(parts) for parts in zip(*blocks)))


def find_interval_changes(instants: Array) -> list[IntervalChange]:
    """Find where a long stretch of candles at one interval is followed by a long stretch at another.

    Long is some hundred candles, most of which are followed by the next after that interval.
    """
    piece = STRETCH << 15
    pieces = [_find_majorities(np.diff(instants[i : i + piece + 1])) for i in range(0, max(len(instants), 1), piece)]
    majorities = np.concatenate(pieces)
    blocks = np.flatnonzero(majorities)
    changes: list[IntervalChange] = []
    before, last = 0, 0  # the interval of the stretch so far and its last block
    for stretch in np.split(blocks, _find_changes(majorities[blocks])[1:]):
        if len(stretch) < 2:
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
    sample, counts = np.unique(values[:: len(values) // 1000 + 1], return_counts=True)
    guess = int(sample[counts.argmax()])
    count = np.count_nonzero(values == guess)
    if 2 * count > len(values):  # saves the sorting
        return guess, count / len(values), guess
    values.sort()
    starts = _find_changes(values)
    counts = np.diff(starts, append=len(values))
    best = counts.argmax()
    return int(values[starts[best]]), int(counts[best]) / len(values), int(values[len(values) // 2])


def _find_changes(values: Array) -> Array:
    """Return 0 and the indices at which a value differs from the one before."""
    return np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)


def _is_steady(local: Array, interval: int) -> bool:
    return bool(np.mean(np.diff(local) == interval) > 0.9)


def _find_long(local: Array, interval: int) -> tuple[Array, Array, Array]:
    if 28 * DAY <= interval <= 35 * DAY and not _is_steady(local, interval):
        interval = MONTH
    missing = np.rint(np.diff(local) / interval).astype(np.int64) - 1
    rows = np.flatnonzero(missing > 0)
    return rows + 1, missing[rows], np.zeros_like(rows)


@dataclass(frozen=True)
class _Grid:
    """places: (N,) slots of the candles, counted on through the weeks. step: length of a slot. n_slots: in a day.
    weeks: (K,) numbers of the weeks with candles. starts: (K + 1,) their first rows, and N."""

    places: Array
    step: int
    n_slots: int
    weeks: Array
    starts: Array

    @property
    def n_week(self) -> int:
        return 7 * self.n_slots

    def observe(self, start: int, stop: int) -> tuple[Array, Array, Array]:
        """Look at the weeks with candles from start to stop, which may lie outside.

        Returns:
            Masks of slots with candles (M, 7, S), days with candles (M, 7), and days that the data span (M, 7).
        """
        first, last = max(start, 0), min(stop, len(self.weeks))
        seen = np.zeros((stop - start) * self.n_week, bool)
        origins = (self.weeks[first:last] - np.arange(first, last) + start) * self.n_week
        counts = np.diff(self.starts[first : last + 1])
        seen[self.places[self.starts[first] : self.starts[last]] - np.repeat(origins, counts)] = True
        seen = seen.reshape(-1, 7, self.n_slots)
        spanned = np.zeros((stop - start) * 7, bool)
        spanned[(first - start) * 7 : (last - start) * 7] = True
        if first == 0:
            spanned[: (self.places[0] - origins[0]) // self.n_slots] = False
        if last == len(self.weeks):
            spanned[(self.places[-1] - origins[-1]) // self.n_slots + 1 :] = False
        return seen, seen.any(2), spanned.reshape(-1, 7)


def _lay_grid(local: Array, step: int) -> _Grid:
    n_slots = -(-DAY // step)
    if DAY % step == 0:
        places = local // step
    else:  # every day begins anew
        places, times = np.divmod(local, DAY)
        times //= step
        places *= n_slots
        places += times
    places += FIRST_WEEKDAY * n_slots
    weeks = places // (7 * n_slots)
    starts = _find_changes(weeks)
    return _Grid(places, step, n_slots, weeks[starts], np.append(starts, len(local)))


def _never_closes(local: Array, interval: int) -> bool:
    if not 0 < interval <= DAY:
        return False
    step = max(interval, HOUR)
    grid = _lay_grid(local, step if DAY % step == 0 else DAY)
    first, last = int(grid.places[0]), int(grid.places[-1])
    n_met = np.full(grid.n_week, len(grid.weeks))
    n_met[: first % grid.n_week] -= 1
    n_met[last % grid.n_week + 1 :] -= 1
    n_seen = np.bincount(grid.places[_find_changes(grid.places)] % grid.n_week, minlength=grid.n_week)
    long = last - first + 1 >= (grid.n_slots if grid.n_slots > 1 else 7)
    return long and bool((2 * n_seen > n_met)[n_met > 0].all())


def _find_in_weeks(
    grid: _Grid, start: int, stop: int, instants: Array, local: Array, pattern: Pattern
) -> tuple[Array, Array, Array]:
    """Find the gaps that begin in the weeks with candles from start to stop; rows, missing and days as in Gaps."""
    stop = min(stop, len(grid.weeks))
    first, last = grid.starts[start], grid.starts[stop]
    rows = np.flatnonzero(np.diff(instants[first : last + 1]) > pattern.interval) + first + 1
    open_, trades = _judge(*grid.observe(start - N_AROUND, min(stop + 1, len(grid.weeks)) + N_AROUND))
    missing, days = _count_between(grid, rows, start, open_, 1), _count_between(grid, rows, start, trades, grid.n_slots)

    n_between = grid.places[rows] - grid.places[rows - 1] - 1
    all_open = missing >= n_between
    elapsed = instants[rows] - instants[rows - 1]
    # What slots do not tell, time does, where the market is open throughout: slots are whole seconds, may not divide
    # the day, and the clock skips some and shows others twice.
    unclear = (elapsed != local[rows] - local[rows - 1]) | (pattern.interval < SECOND)
    unclear |= (DAY % grid.step != 0) & (n_between > 0)
    exact = np.rint(elapsed / pattern.interval).astype(np.int64) - 1
    missing = np.where(all_open & unclear, exact, missing * grid.step // min(pattern.interval, grid.step))
    missing = np.where((missing == 0) & (days > 0), days * pattern.candles_a_day, missing)
    found = missing > 0
    return rows[found], missing[found], days[found]


def _count_between(grid: _Grid, rows: Array, start: int, mask: Array, unit: int) -> Array:
    """Count what the mask (weeks from start, …) holds between row - 1 and row; unit: slots that one of its cells is."""
    below = np.zeros((len(mask), grid.n_week // unit + 1), np.int32)
    np.cumsum(mask.reshape(len(mask), -1), axis=1, out=below[:, 1:])
    left, right = (np.searchsorted(grid.starts, r, side="right") - 1 for r in (rows - 1, rows))
    n_weeks = grid.weeks[right] - grid.weeks[left]
    before = below[left - start, grid.places[rows - 1] % grid.n_week // unit + 1]
    after = below[right - start, grid.places[rows] % grid.n_week // unit]
    # Weeks without candles are like the one before them.
    return np.maximum(below[left - start, -1] * n_weeks + after - before, 0)


def _judge(seen: Array, active: Array, spanned: Array) -> tuple[Array, Array]:
    """Decide which slots are open (n, 7, S) and which days are market days (n, 7), in all but the outer weeks.

    Args:
        seen, active, spanned: as from `observe`, with N_AROUND more weeks at either end.
    """
    n_seen, n_active, n_spanned = (_add_around(mask) for mask in (seen, active, spanned))
    seen, active = seen[N_AROUND:-N_AROUND], active[N_AROUND:-N_AROUND]
    shown = seen[:, WEEKDAYS].any(1)
    trades = _judge_days(n_active, n_spanned)
    open_ = 2 * n_seen > n_active[..., None]
    # A candle missing beside a change of hours makes a tie, which the other days of its week break.
    open_[:, WEEKDAYS] |= (2 * n_seen == n_active[..., None])[:, WEEKDAYS] & shown[:, None]
    few = trades & (n_active < N_FEW)
    if few.any():
        np.copyto(open_, _judge_few(n_seen, n_active, trades), where=few[..., None])
    open_ &= trades[..., None]
    _follow_clocks(open_, trades, seen)
    # Near the ends of the data new hours are in the minority: what no day of a week shows is closed in that week.
    n_lacking = np.count_nonzero((n_seen > 0)[:, WEEKDAYS] & active[:, WEEKDAYS, None], axis=1)
    open_[:, WEEKDAYS] &= (shown | (n_lacking < N_FEW))[:, None]
    return open_, trades


def _add_around(mask: Array) -> Array:
    """Add up N_AROUND weeks before, the week itself and as many after, for every week that has them."""
    n_weeks = len(mask) - 2 * N_AROUND
    total = mask[:n_weeks].astype(np.uint8)
    for i in range(1, 2 * N_AROUND + 1):
        total += mask[i : i + n_weeks]
    return total


def _judge_days(n_active: Array, n_spanned: Array) -> Array:
    trades = 2 * n_active > n_spanned
    # One miss in a week or two is taken for a holiday; but a market that works on Sunday may rest on Friday.
    most = 2 * n_active[:, WEEKDAYS].sum(1) > n_spanned[:, WEEKDAYS].sum(1)
    holiday = (n_spanned <= 2) & (n_spanned - n_active == 1) & most[:, None]
    holiday[:, WEEKEND] = False
    holiday[:, 5] &= trades[:, 0] == trades[:, 6]
    trades |= holiday
    return trades


def _judge_few(n_seen: Array, n_active: Array, trades: Array) -> Array:
    """Decide for slots met a few times, (n, 7, S): by all weekdays or the weekend; by every day in a seven-day market.

    What a weekday never shows beside a day of rest is closed, as Friday's late and Sunday's early hours.
    """
    open_ = np.empty(n_seen.shape, bool)
    for kind in (WEEKDAYS, WEEKEND):
        every_day = trades.all(1) & (n_active[:, kind].sum(1) < N_FEW)
        n_met = np.where(every_day, n_active.sum(1), n_active[:, kind].sum(1))
        n_shown = np.where(every_day[:, None], n_seen.sum(1), n_seen[:, kind].sum(1))
        open_[:, kind] = (2 * n_shown > n_met[:, None])[:, None]
    before = np.maximum.accumulate(n_seen, axis=2) > 0
    after = np.maximum.accumulate(n_seen[..., ::-1], axis=2)[..., ::-1] > 0
    works_before, works_after = (np.roll(trades, by, axis=1)[..., None] for by in (1, -1))
    open_ &= (before | works_before) & (after | works_after)
    return open_


def _follow_clocks(open_: Array, trades: Array, seen: Array) -> None:
    """Move the hours (n, 7, S), in place, by one in weeks that then agree better with the candles seen.

    So they do near the ends of data in UTC, when the clocks of the exchange were changed.
    """
    n_slots = open_.shape[2]
    odd = np.flatnonzero((seen & ~open_).any((1, 2)))
    hour = max(n_slots // 24, 1)
    for by in (hour, -hour):
        moved = np.roll(open_[odd].reshape(len(odd), 7 * n_slots), by, axis=1).reshape(-1, 7, n_slots)
        n_common, n_moved = (np.count_nonzero(seen[odd] & mask, axis=2) for mask in (open_[odd], moved))
        n_missed, n_missed_then = (np.count_nonzero(mask & ~seen[odd], axis=2) for mask in (open_[odd], moved))
        # Friday of a market that closes for the weekend only shows as much either way, and follows the others.
        better = (n_moved >= n_common) & (n_missed_then <= n_missed) & (n_moved > n_common).any(1)[:, None]
        week, day = np.nonzero(better)
        open_[odd[week], day] = moved[week, day]
        trades[odd[week], day] = moved[week, day].any(1)
