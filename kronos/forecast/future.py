"""The timestamps of the candles to come, read off the history's week or an exchange's calendar.

All times are wall-clock microseconds since 1970 inside this file. A *slot* is a weekday and a time of day. The market's
day may begin elsewhere than at midnight, so that a night session that runs into Saturday stays Friday's.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.errors import DataError
from kronos.forecast.exchange import describe_interval, follow_exchange, follow_months, follow_weeks

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
WEEK = 7 * DAY
MONTH = 30 * DAY
N_RECENT_DAYS = 30  # trading days that make the pattern: enough for a majority, few enough to follow a change of clocks
MIN_NIGHT = 2 * HOUR + HOUR // 2  # a shorter closing is a break within the market's day
N_FEW = 3  # up to so many times a slot was met, other days decide with it
MAX_HOLIDAY = 4  # days without a candle; a longer hole is a halt and says nothing about the week
FIRST_WEEKDAY = 3  # 1970-01-01 was a Thursday
WEEKEND = slice(5, 7)


class FutureTimestamps(NamedTuple):
    """timestamps: horizon local times after the history's last. notes: what was assumed, one sentence each."""

    timestamps: pd.DatetimeIndex
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Week:
    """When the market is open.

    slots: (S,) times of day from the start of the market's day, ascending. day_start: from midnight to that start.
    open: (7, S) bool, Monday first. assumptions: what rests on no observation, a mask like open and its sentence.
    """

    slots: Array
    day_start: int
    open: Array
    assumptions: tuple[tuple[Array, str], ...]

    def follow(self, mask: Array, origin: int, count: int) -> Array:
        """Return the next count times after the origin that the mask (7, S) holds; none if it is empty."""
        offsets = (np.arange(7)[:, None] * DAY + self.slots)[mask]
        day = (origin - self.day_start) // DAY
        monday = (day - (day + FIRST_WEEKDAY) % 7) * DAY + self.day_start
        n_weeks = 2 + count // max(len(offsets), 1)
        times = (monday + np.arange(n_weeks)[:, None] * WEEK + offsets).ravel()
        return times[times > origin][:count]


def make_future_timestamps(history: pd.DatetimeIndex, horizon: int, exchange: str | None = None) -> FutureTimestamps:
    """Return the times of the candles that follow a history.

    Without an exchange the history's own week is continued: its sessions, breaks, nights and weekends; holidays are
    not foreseen. With one, its calendar decides.

    Args:
        history: two or more local (exchange) times, ascending; with a zone, its wall clock is continued.
        horizon: number of candles to come.
        exchange: a code of exchange_calendars: XSHG, XNYS, XHKG, 24/7, …

    Raises:
        ConfigError: the exchange is not known, or exchange_calendars is not installed.
        DataError: one candle only; or the history does not fit the exchange, or its calendar ends too early.
    """
    wall = history.tz_localize(None).as_unit("us").asi8
    # With a zone the clock is put back once a year; what it shows twice counts once.
    times = np.unique(wall[wall <= wall[-1:]])
    if len(times) < 2:
        raise DataError(
            "One candle does not tell the interval of the candles to come; give at least two, or the future "
            "timestamps (y_timestamp)."
        )
    n_wanted = horizon
    while True:
        timestamps, notes = _follow(times, n_wanted, exchange)
        if history.tz is not None:
            # What the clock skips moves behind the gap, where it may coincide or, a whole day being skipped, overtake.
            later = np.zeros(n_wanted, bool)  # of what the clock shows twice, the second time
            timestamps = timestamps.tz_localize(history.tz, nonexistent="shift_forward", ambiguous=later)
            timestamps = timestamps.unique().sort_values()
            timestamps = timestamps[timestamps > history[-1]]
        if len(timestamps) >= horizon:
            return FutureTimestamps(timestamps[:horizon], notes)
        n_wanted *= 2


def _follow(times: Array, horizon: int, exchange: str | None) -> tuple[pd.DatetimeIndex, tuple[str, ...]]:
    history, differences = _to_index(times), np.diff(times)
    if np.median(differences) >= 28 * DAY and not (len(differences) > 2 and np.ptp(differences) == 0):
        step, (future, notes) = MONTH, follow_months(history, horizon)
    else:
        step, regular, notes = _infer_interval(times)
        if exchange is not None and step < WEEK:
            if not regular:
                raise DataError(f"The history's times are irregular: the calendar of {exchange} cannot continue them.")
            return follow_exchange(history, horizon, pd.Timedelta(step, "us"), exchange)
        if regular and step % WEEK == 0:
            future = follow_weeks(history, horizon, step // WEEK)
        else:
            found, more = _follow_clock(times, horizon, step, regular)
            future, notes = _to_index(found), notes + more
    if len(differences) == 1:
        words = describe_interval(pd.Timedelta(int(differences[0]), "us"))
        notes = (f"The candle interval, {words}, rests on a single difference.", *notes)
    if exchange is not None:
        kind = "monthly" if step == MONTH else "weekly"
        notes = (*notes, f"The candles are {kind} or longer, so that the hours of {exchange} were not used.")
    return future, notes


def _follow_clock(times: Array, horizon: int, step: int, regular: bool) -> tuple[Array, tuple[str, ...]]:
    if not regular or step > DAY:
        return _step_on(times, horizon, step), ()
    if step < SECOND:
        return _step_on(times, horizon, step), ("Candles of less than a second are assumed to go on day and night.",)
    if step == DAY:
        # One candle a day; where its time moves with the clocks, the last one's holds.
        times = np.unique(times // DAY * DAY + times[-1] % DAY)
    week = _observe_week(times, step)
    future = week.follow(week.open, times[-1], horizon)
    if len(future) < horizon:
        return _step_on(times, horizon, step), (
            "The history shows no hours to follow; the candles go on day and night.",
        )
    # An assumption is worth a word only where the horizon meets it.
    return future, tuple(n for mask, n in week.assumptions if (week.follow(mask, times[-1], 1) <= future[-1]).any())


def _to_index(times: Array) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(times.astype("M8[us]"))


def _step_on(times: Array, horizon: int, step: int) -> Array:
    future: Array = times[-1] + step * np.arange(1, horizon + 1)
    return future


def _infer_interval(times: Array) -> tuple[int, bool, tuple[str, ...]]:
    """Take the most common difference, of equally common ones the least; where times are irregular, the median.

    Returns:
        The interval in microseconds, whether the history keeps to it, and notes.
    """
    differences = np.diff(times)
    values, counts = np.unique(differences, return_counts=True)
    modes = values[counts == counts.max()]
    step, share = int(modes[0]), counts.max() / len(differences)
    last = times[-1000:]  # by chance, times of day recur in long histories of irregular candles too
    recurring = 2 * len(np.unique(last % DAY)) <= len(last)
    # Where most candles of a regular history are missing, what is left is still multiples of its interval apart.
    scattered = share < 0.1 or (share < 0.5 and (differences % step == 0).mean() < 0.5)
    median = max(int(np.median(differences)), 1)
    if scattered and not recurring and median < DAY:
        words = describe_interval(pd.Timedelta(median, "us"))
        note = (
            f"The history is irregular; the candles to come are its median difference, {words}, apart, day and night."
        )
        return median, False, (note,)
    # Where the clocks move once in the history, a day has 23 or 25 hours.
    step = DAY if abs(step - DAY) <= HOUR else step
    words = describe_interval(pd.Timedelta(step, "us"))
    if len(modes) > 1:
        return step, True, (f"{len(modes)} candle intervals are equally common; the shortest, {words}, is taken.",)
    if share < 0.5:
        return step, True, (f"The most common candle interval, {words}, makes up less than half of the differences.",)
    return step, True, ()


def _observe_week(times: Array, step: int) -> _Week:
    """Decide for every slot whether the market is open, by majority over the recent days on which there are candles."""
    dates = np.unique(times // DAY)
    recent = times[times // DAY >= dates[-N_RECENT_DAYS:][0]]
    unseen = _find_unseen(recent, step)
    clock = np.union1d(recent % DAY, unseen)
    day_start, all_day = _find_day_start(clock, step)
    slots = np.unique((clock - day_start) % DAY)
    days, times_of_day = np.divmod(recent - day_start, DAY)
    active, row = np.unique(days, return_inverse=True)
    candles = np.zeros((len(active), len(slots)), bool)
    candles[row, np.searchsorted(slots, times_of_day)] = True
    instants = active[:, None] * DAY + slots + day_start
    in_span = (instants >= recent[0]) & (instants <= recent[-1])
    weekdays = (active + FIRST_WEEKDAY) % 7
    n_spanned, n_seen = (np.stack([m[weekdays == d].sum(0) for d in range(7)]) for m in (in_span, candles))
    never_seen = np.isin(slots, (unseen - day_start) % DAY)
    open_, assumptions = _classify_slots(n_spanned, n_seen, _find_rest_days(active), all_day and step < DAY)
    first, last = _to_index(recent[[0, -1]]).strftime("%H:%M")
    hours = (
        open_ & never_seen,
        f"The history never shows the hours from {last} to {first}; candles are assumed there.",
    )
    return _Week(slots, day_start, open_, (hours, *assumptions))


def _find_day_start(clock: Array, step: int) -> tuple[int, bool]:
    """Return when the market's day begins, the end of its longest closing, and whether it never closes.

    clock: times of day with candles, ascending. Without a closing worth the name the day begins at midnight.
    """
    closings = np.diff(clock, append=clock[0] + DAY) - step
    longest = int(closings.argmax())
    if closings[longest] < MIN_NIGHT:
        return 0, bool(closings[longest] <= 0)
    return int(clock[(longest + 1) % len(clock)]), False


def _find_unseen(recent: Array, step: int) -> Array:
    """Return the times of day, step apart, at which a history shorter than a day shows neither candles nor a closing."""
    day_start, _ = _find_day_start(np.unique(recent % DAY), step)
    days, clock = np.divmod(recent - day_start, DAY)
    n_days = len(np.unique(days))
    if n_days > 2:
        return recent[:0]
    end = clock[0] + (DAY if n_days == 1 else 0)
    unseen: Array = (np.arange(clock[-1] + step, end, step) + day_start) % DAY
    return unseen


def _find_rest_days(active: Array) -> Array:
    """Return for each weekday (7,) whether the market rests all day; active: the days with candles, ascending."""
    holes = [np.arange(a + 1, b) for a, b in itertools.pairwise(active) if b - a <= MAX_HOLIDAY + 1]
    missing = np.concatenate([active[:0], *holes])
    n_active, n_missing = (np.bincount((days + FIRST_WEEKDAY) % 7, minlength=7) for days in (active, missing))
    rest = n_missing > n_active
    # A weekday missing the only time it came is taken for a holiday, but not Friday where Sunday is a working day.
    holiday = rest & (n_missing == 1)
    holiday[4] &= rest[5] == rest[6]
    rest[:5] &= ~holiday[:5]
    return rest


def _classify_slots(
    n_spanned: Array, n_seen: Array, rest: Array, never_closes: bool
) -> tuple[Array, tuple[tuple[Array, str], ...]]:
    """Decide which slots are open, and which of these or of the closed ones were never observed.

    Args:
        n_spanned, n_seen: (7, S) times that the history covers the slot on days with candles, and shows a candle.
        rest: (7,) weekdays without candles. never_closes: no hour of the day is closed.

    Returns:
        (7, S) bool, and the assumptions: a mask (7, S) and its sentence each.
    """
    kinds = [slice(0, 5), WEEKEND]
    any_spanned, any_seen = n_spanned.sum(0), n_seen.sum(0)
    kind_spanned, kind_seen = (np.repeat([n[k].sum(0) for k in kinds], [5, 2], axis=0) for n in (n_spanned, n_seen))
    # What the kind of day hardly showed is as on any day; what no day showed is open.
    pooled = np.where(kind_spanned > N_FEW, 2 * kind_seen >= kind_spanned, 2 * any_seen >= any_spanned)
    # A missing candle may be a halt, a surplus one an oddity: a slot met a few times does not decide alone.
    settled = (n_spanned > N_FEW) & (2 * n_seen != n_spanned)
    open_ = np.where(settled, 2 * n_seen > n_spanned, pooled) & ~_closed_beside_rest(n_spanned, n_seen, rest)
    open_[rest] = False
    unseen = n_spanned == 0
    unseen[rest] = False
    weekend, borrowed = unseen & (2 * any_seen >= any_spanned), unseen & open_ & (kind_spanned == 0) & (any_spanned > 0)
    weekend[:5] = borrowed[WEEKEND] = False
    open_[WEEKEND] = np.where(unseen[WEEKEND], weekend[WEEKEND] & never_closes, open_[WEEKEND])
    names = " and ".join(name for name, mask in zip(("Saturday", "Sunday"), weekend[WEEKEND]) if mask.any())
    habit = "go on, as the market closes at no hour it shows" if never_closes else "pause"
    return open_, (
        (weekend, f"The history does not show a whole {names}; candles are assumed to {habit}."),
        (borrowed, "Hours seen on a weekend only are assumed on the other days as well."),
    )


def _closed_beside_rest(n_spanned: Array, n_seen: Array, rest: Array) -> Array:
    """Return the slots (7, S) closed whenever they came, if only a few times, through which a rest began or ended.

    So do Friday's late and Sunday's early hours in a market that opens for five days without a night.
    """
    seen_before = np.maximum.accumulate(n_seen > 0, axis=1)
    seen_after = np.maximum.accumulate(n_seen[:, ::-1] > 0, axis=1)[:, ::-1]
    ends_rest, begins_rest = np.roll(rest, 1)[:, None] & ~seen_before, np.roll(rest, -1)[:, None] & ~seen_after
    closed: Array = (n_spanned > 0) & (n_spanned <= N_FEW) & (n_seen == 0) & (ends_rest | begins_rest)
    return closed
