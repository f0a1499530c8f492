"""The market's week as the candles show it: which slots are open and on which days the market trades.

A *slot* is a weekday and a time of day on the grid of the interval, on the exchange's clock. Each week is
inferred from the weeks around it, because a market may change its hours. Both the search for missing candles and
the timestamps of a forecast use this inference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kronos.candles import Array
from kronos.data.quality.market_hours import (
    DAY,
    HOUR,
    MarketHours,
    count_candles_a_day,
    find_changes,
    infer_interval,
)

# Weeks begin on Sunday, when clocks are changed. All days of a week then have the same hours.
FIRST_WEEKDAY = 4  # 1970-01-01 was a Thursday
WEEKDAYS, WEEKEND = slice(1, 6), slice(0, 7, 6)
N_AROUND = 4  # weeks before and after that decide; beside a change of hours, a week's own kind is in the majority
N_FEW = 4  # a slot that was met fewer times does not decide alone
MIN_NIGHT = 2 * HOUR + HOUR // 2  # a shorter closing is a break within the market's day


class Week(NamedTuple):
    """The decision for n weeks: slots (n, 7, S) that are open and days (n, 7) on which the market trades."""

    open: Array
    trades: Array


class Evidence(NamedTuple):
    """What the data show of M weeks with candles, those outside the data included.

    seen, met: slots (M, 7, S) with a candle, and slots that lie within the data on a day with candles.
    active, spanned: days (M, 7) with candles, and days within the data.
    """

    seen: Array
    met: Array
    active: Array
    spanned: Array


@dataclass(frozen=True)
class Grid:
    """Candles on the grid of their interval."""

    step: int  # the length of a slot
    n_week: int  # slots in a week
    weeks: Array  # (K,) numbers of the weeks with candles
    cells: Array  # (N,) slots of the candles, counted on through the weeks with candles

    def observe(self, start: int, stop: int) -> Evidence:
        """Return the evidence of weeks start to stop, counted over the weeks with candles."""
        n_slots = self.n_week // 7
        begin, n_cells = start * self.n_week, (stop - start) * self.n_week
        rows = slice(*np.searchsorted(self.cells, [begin, begin + n_cells]))
        flat = np.zeros(n_cells, bool)
        flat[self.cells[rows] - begin] = True
        seen: Array = flat.reshape(-1, 7, n_slots)
        active = np.asarray(seen.any(2))
        met = np.repeat(active.ravel(), n_slots)
        met[: max(int(self.cells[0]) - begin, 0)] = False
        met[max(int(self.cells[-1]) + 1 - begin, 0) :] = False
        days = np.arange(7 * start, 7 * stop).reshape(-1, 7)
        first, last = self.cells[[0, -1]] // n_slots
        return Evidence(seen, met.reshape(seen.shape), active, (days >= first) & (days <= last))


@dataclass(frozen=True)
class CurrentWeek:
    """The market's week at the end of a history, as far as it is known, and the assumptions about the rest.

    times: (S,) the time of day of each slot's candle, counted from day_start. day_start: the time of day at which the
    market's day begins, after its longest closing: a night session that runs into Saturday stays Friday's.
    open: (7, S) slots, Sunday first. The other masks, like open, hold the slots that the history never met:
    unseen_hours (on no day: taken as open), weekend (taken as open in a market that never closes) and weekend_hours
    (met only on a weekend: taken as open on the other days too).
    """

    times: Array
    day_start: int
    open: Array
    unseen_hours: Array
    weekend: Array
    weekend_hours: Array
    never_closes: bool


def infer_market_hours(instants: Array, local: Array) -> MarketHours:
    """Infer the interval, the candles a day, and whether the market ever closes.

    Args:
        instants: (N,) int64 true times, strictly increasing.
        local: (N,) int64 the same on the exchange's clock, which may repeat or skip an hour.
    """
    if len(instants) < 2:
        return MarketHours(0, False, 1, False)
    interval = infer_interval(instants, local)
    per_day = count_candles_a_day(local)
    return MarketHours(interval.step, interval.regular, per_day, never_closes(local, interval.step))


def lay_grid(local: Array, step: int) -> Grid:
    """Put times on the grid of an interval; every day begins a new grid."""
    n_slots = -(-DAY // step)
    cells = (local // DAY + FIRST_WEEKDAY) * n_slots
    cells += local % DAY // step
    n_week = 7 * n_slots
    starts = find_changes(cells // n_week)
    weeks = cells[starts] // n_week
    cells -= np.repeat((weeks - np.arange(len(weeks))) * n_week, np.diff(starts, append=len(local)))
    return Grid(step, n_week, weeks, cells)


def never_closes(local: Array, interval: int) -> bool:
    """Whether most weeks have candles in every hour that the data meet, in data of at least a day."""
    if not 0 < interval <= DAY:
        return False
    step = max(interval, HOUR)
    grid = lay_grid(local, step if DAY % step == 0 else DAY)
    first, last = grid.cells[[0, -1]]
    n_met = np.full(grid.n_week, len(grid.weeks))
    n_met[: first % grid.n_week] -= 1
    n_met[last % grid.n_week + 1 :] -= 1
    n_seen = np.bincount(grid.cells[find_changes(grid.cells)] % grid.n_week, minlength=grid.n_week)
    long = last - first + 1 >= max(grid.n_week // 7, 7)
    return bool(long and (2 * n_seen > n_met)[n_met > 0].all())


def infer_current_week(local: Array, interval: int) -> CurrentWeek:
    """Infer the week that the candles after a history will follow.

    Args:
        local: (N,) int64 local times, strictly increasing.
        interval: microseconds, at most a day.
    """
    day_start, no_closing = _find_day_start(local[local > local[-1] - (2 * N_AROUND + 1) * 7 * DAY], interval)
    local = local - day_start
    grid = lay_grid(local, interval)
    n_slots, last = grid.n_week // 7, len(grid.weeks) - 1
    evidence = grid.observe(last - N_AROUND, last + 1 + N_AROUND)
    open_, trades = (mask[0] for mask in decide_weeks(evidence, open_in_doubt=True))
    n_seen, n_met = (_add_around(mask)[0] for mask in (evidence.seen, evidence.met))
    all_day = never_closes(local, interval) or (no_closing and interval < DAY)
    rest = evidence.spanned.any(0) & ~trades
    unmet, any_met = (n_met == 0) & ~rest[:, None], n_met.any(0)
    weekend = unmet & (2 * n_seen.sum(0) >= n_met.sum(0))
    weekend[WEEKDAYS] = False
    open_[WEEKEND] = np.where(unmet[WEEKEND], weekend[WEEKEND] & all_day, open_[WEEKEND])
    weekend_hours = unmet & open_ & any_met & ~n_met[WEEKDAYS].any(0)
    weekend_hours[WEEKEND] = False
    times = np.arange(n_slots) * interval + local[-1] % DAY % interval
    times[grid.cells % n_slots] = local % DAY  # of the last candle in each slot
    return CurrentWeek(times, day_start, open_, open_ & ~any_met, weekend, weekend_hours, all_day)


def _find_day_start(local: Array, interval: int) -> tuple[int, bool]:
    """Return the time of day at which the market's day begins, and whether the history shows no closing at all.

    Without a closing of MIN_NIGHT the day begins at midnight. The pause from the last candle's time of day to the first
    one's is no closing in a history of less than a day.
    """
    clock = np.unique(local % DAY)
    closings = np.diff(clock, append=clock[0] + DAY) - interval
    if local[-1] - local[0] < DAY - interval:
        closings[clock == local[-1] % DAY] = 0
    longest = int(closings.argmax())
    if closings[longest] < MIN_NIGHT:
        return 0, bool(closings[longest] <= 0)
    return int(clock[(longest + 1) % len(clock)]), False


def decide_weeks(evidence: Evidence, open_in_doubt: bool = False) -> Week:
    """Decide which slots are open and which days are market days, in all but the N_AROUND outer weeks.

    A slot is open if it was seen on most of the same weekdays with candles in the weeks around. A weekday is a market
    day if most of them had candles.

    Args:
        open_in_doubt: whether the other days decide about a slot that was seen exactly half of the times, all days if its
            kind of day was met a few times only, and whether it is open if they are in balance too. A candle too few is
            more likely than a candle too many.
    """
    n_seen, n_met, n_active, n_spanned = (_add_around(mask) for mask in evidence)
    seen, active = (mask[N_AROUND:-N_AROUND] for mask in (evidence.seen, evidence.active))
    trades = _classify_days(n_active, n_spanned)
    open_: Array = 2 * n_seen > n_met
    shown, n, of = np.asarray(seen[:, WEEKDAYS].any(1)), n_seen[:, WEEKDAYS], n_met[:, WEEKDAYS]
    weekdays = open_[:, WEEKDAYS]  # a view
    # A candle missing beside a change of hours leaves the other candles in balance: the days of its week decide. (This is
    # not so for the hour at which only Friday closes; the other days always show it.)
    in_balance = np.asarray(4 * n.sum(1) <= 3 * of.sum(1))
    weekdays |= (2 * n + 1 >= of) & (shown & in_balance)[:, None]
    # A slot that most days do not show must be shown clearly by a weekday: some weekday shows it by chance.
    weekdays &= (4 * n > 3 * of) | np.asarray(2 * n.sum(1) > of.sum(1))[:, None]
    few = np.asarray(trades[..., None] & ((n_met < N_FEW) | (open_in_doubt & (2 * n_seen == n_met))))
    if few.any():
        np.copyto(open_, _classify_few(n_seen, n_met, trades, open_in_doubt), where=few)
    open_ &= trades[..., None]
    _follow_clocks(open_, trades, seen)
    # Near the ends of the data new hours are in the minority: a slot that no day of a week shows is closed in that week.
    short = active[:, WEEKDAYS].sum(1) < N_FEW
    weekdays &= (shown | short[:, None])[:, None]
    return Week(open_, trades)


def _add_around(mask: Array) -> Array:
    """Add up N_AROUND weeks before, the week itself and as many after, for every week that has them."""
    n_weeks = len(mask) - 2 * N_AROUND
    return np.asarray(sum(mask[i : i + n_weeks].view(np.uint8) for i in range(2 * N_AROUND + 1)))


def _classify_days(n_active: Array, n_spanned: Array) -> Array:
    trades: Array = 2 * n_active > n_spanned
    # One miss in a week or two is taken for a holiday; but a market that works on Sunday may rest on Friday.
    most = 2 * n_active[:, WEEKDAYS].sum(1) > n_spanned[:, WEEKDAYS].sum(1)
    holiday = np.asarray((n_spanned <= 2) & (n_spanned - n_active == 1) & most[:, None])
    holiday[:, 5] &= trades[:, 0] == trades[:, 6]
    holiday |= n_spanned == 0  # a weekday outside the data is like the others
    holiday[:, WEEKEND] = False
    trades |= holiday
    return trades


def _classify_few(n_seen: Array, n_met: Array, trades: Array, open_in_doubt: bool) -> Array:
    """Decide for slots met a few times, (n, 7, S): by all weekdays or the weekend; by every day in a seven-day market."""
    open_: Array = np.empty(n_seen.shape, bool)
    for kind in (WEEKDAYS, WEEKEND):
        every_day = np.asarray(trades.all(1) | open_in_doubt)[:, None] & (n_met[:, kind].sum(1) < N_FEW)
        n_shown, n = (np.where(every_day, m.sum(1), m[:, kind].sum(1)) for m in (n_seen, n_met))
        open_[:, kind] = np.asarray(2 * n_shown + open_in_doubt > n)[:, None]
    before = np.maximum.accumulate(n_seen, axis=2) > 0
    after = np.maximum.accumulate(n_seen[..., ::-1], axis=2)[..., ::-1] > 0
    # A slot that a weekday never shows beside a day of rest is closed, as Friday's late and Sunday's early hours are.
    works_before, works_after = (np.roll(trades, by, axis=1)[..., None] for by in (1, -1))
    open_ &= ((before | works_before) & (after | works_after)) | (n_met == 0)
    return open_


def _follow_clocks(open_: Array, trades: Array, seen: Array) -> None:
    """Move the hours by one, in place, in weeks that then agree better with the candles seen.

    Data in UTC that begin or end soon after the exchange's change of clocks need this: the new hours are in the minority.
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
