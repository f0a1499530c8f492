"""The timestamps of the candles to come, from the week that the history shows or from an exchange's calendar.

All times in this file are wall-clock microseconds since 1970. A *slot* is a weekday and a time of day.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.data.quality.market_hours import DAY, SECOND, Interval, infer_interval
from kronos.data.quality.market_week import FIRST_WEEKDAY, CurrentWeek, infer_current_week
from kronos.errors import DataError
from kronos.forecast.exchange import describe_interval, follow_exchange, follow_months, follow_weeks
from kronos.names import Message

WEEK = 7 * DAY
MONTH = 30 * DAY


class FutureTimestamps(NamedTuple):
    """timestamps: horizon local times after the history's last. notes: what was assumed, one sentence each."""

    timestamps: pd.DatetimeIndex
    notes: tuple[str, ...]


def make_future_timestamps(history: pd.DatetimeIndex, horizon: int, exchange: str | None = None) -> FutureTimestamps:
    """Return the times of the candles that follow a history.

    Without an exchange, the history's own week continues: its sessions, breaks, nights and weekends. Holidays are not
    foreseen. With an exchange, its calendar decides.

    Args:
        history: two or more local (exchange) times, ascending; with a zone, its wall clock is continued.
        horizon: number of candles to come.
        exchange: a code of exchange_calendars: XSHG, XNYS, XHKG, 24/7, …

    Raises:
        ConfigError: the exchange is unknown, or exchange_calendars is not installed.
        DataError: there is one candle only, the history does not fit the exchange, or its calendar ends too early.
    """
    wall = history.tz_localize(None).as_unit("us").asi8
    # With a zone the clock is put back once a year: an hour that it shows twice counts once.
    times = np.unique(wall[wall <= wall[-1:]])
    if len(times) < 2:
        raise DataError(
            "One candle does not show the interval of the candles to come. Give at least two candles, or the future "
            "timestamps (y_timestamp)."
        )
    n_wanted = horizon
    while True:
        timestamps, notes = _continue_history(times, n_wanted, exchange)
        if history.tz is not None:
            # A time that the clock skips moves behind the skip. There it may coincide with another time or, if a whole day
            # is skipped, overtake it.
            second_time = np.zeros(n_wanted, bool)  # which of two occurrences of a time is meant
            timestamps = timestamps.tz_localize(history.tz, nonexistent="shift_forward", ambiguous=second_time)
            timestamps = timestamps.unique().sort_values()
            timestamps = timestamps[timestamps > history[-1]]
        if len(timestamps) >= horizon:
            return FutureTimestamps(timestamps[:horizon], notes)
        n_wanted *= 2


def _continue_history(times: Array, horizon: int, exchange: str | None) -> tuple[pd.DatetimeIndex, tuple[str, ...]]:
    history, differences = _to_index(times), np.diff(times)
    if np.median(differences) >= 28 * DAY and not (len(differences) > 2 and np.ptp(differences) == 0):
        step, (future, notes) = MONTH, follow_months(history, horizon)
    else:
        interval = infer_interval(times, times)
        regular, step, notes = interval.regular, _choose_step(interval), _describe_doubts(interval)
        if exchange is not None and step < WEEK:
            if not regular:
                raise DataError(
                    "The history's times are irregular, and the calendar of {exchange} cannot continue them. Leave the "
                    "exchange out or give the future timestamps.",
                    exchange=exchange,
                )
            return follow_exchange(history, horizon, pd.Timedelta(step, "us"), exchange)
        if regular and step % WEEK == 0:
            future = follow_weeks(history, horizon, step // WEEK)
        else:
            following, more = _follow_week(times, horizon, step, regular)
            future, notes = _to_index(following), notes + more
    if len(differences) == 1:
        note = Message(
            "The candle interval, {interval}, rests on a single difference.", interval=_describe(int(differences[0]))
        )
        notes = (note, *notes)
    if exchange is not None:
        template = "The candles are weekly or longer. The hours of {exchange} were not used."
        if step == MONTH:
            template = "The candles are monthly or longer. The hours of {exchange} were not used."
        notes = (*notes, Message(template, exchange=exchange))
    return future, notes


def _choose_step(interval: Interval) -> int:
    return interval.step if interval.regular else max(interval.median, 1)


def _describe_doubts(interval: Interval) -> tuple[str, ...]:
    step = _describe(_choose_step(interval))
    if not interval.regular:
        template = (
            "The history is irregular. The candles to come are its median difference, {step}, apart, day and night."
        )
        return (Message(template, step=step),)
    if interval.n_modes > 1:
        template = "{n} candle intervals are equally common. The shortest, {step}, is used."
        return (Message(template, n=interval.n_modes, step=step),)
    if interval.share < 0.5:
        template = "The most common candle interval, {step}, makes up less than half of the differences."
        return (Message(template, step=step),)
    return ()


def _describe(interval: int) -> str:
    return describe_interval(pd.Timedelta(interval, "us"))


def _follow_week(times: Array, horizon: int, step: int, regular: bool) -> tuple[Array, tuple[str, ...]]:
    if not regular or step > DAY:
        return _step_on(times, horizon, step), ()
    if step < SECOND:
        note = Message("Candles of less than a second are assumed to go on day and night.")
        return _step_on(times, horizon, step), (note,)
    week = infer_current_week(times, step)
    all_open = week.open.all()
    future = _step_on(times, horizon, step) if all_open else _list_times(week, week.open, times[-1], horizon)
    if len(future) < horizon:
        future = _step_on(times, horizon, step)
        return future, (Message("The history shows no trading hours. The candles are assumed to go on day and night."),)
    return future, _describe_assumptions(week, times, int(future[-1]))


def _list_times(week: CurrentWeek, mask: Array, origin: int, count: int) -> Array:
    """Return the next count times after the origin whose slots (7, S) a mask holds; none if it is empty."""
    offsets = (np.arange(7)[:, None] * DAY + week.times)[mask]
    day = (origin - week.day_start) // DAY
    sunday = (day - (day + FIRST_WEEKDAY) % 7) * DAY + week.day_start
    n_weeks = 2 + count // max(len(offsets), 1)
    times = np.sort((sunday + np.arange(n_weeks)[:, None] * WEEK + offsets).ravel())
    return times[times > origin][:count]


def _describe_assumptions(week: CurrentWeek, times: Array, end: int) -> tuple[str, ...]:
    """Describe the assumptions that concern a time up to end."""
    first, last = _to_index(times[[0, -1]]).strftime("%H:%M")
    days = Message.join((name for name, i in (("Saturday", 6), ("Sunday", 0)) if week.weekend[i].any()), " and ")
    unseen = "The history never shows the hours from {last} to {first}; candles are assumed there."
    weekend = "The history does not show a whole {days}; candles are assumed to pause."
    if week.never_closes:
        weekend = (
            "The history does not show a whole {days}; candles are assumed to go on, because the market closes at no hour of "
            "the history."
        )
    assumptions = (
        (week.unseen_hours, Message(unseen, first=first, last=last)),
        (week.weekend, Message(weekend, days=days)),
        (week.weekend_hours, Message("Hours seen on a weekend only are assumed on the other days as well.")),
    )
    return tuple(note for mask, note in assumptions if (_list_times(week, mask, times[-1], 1) <= end).any())


def _to_index(times: Array) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(times.astype("M8[us]"))


def _step_on(times: Array, horizon: int, step: int) -> Array:
    future: Array = times[-1] + step * np.arange(1, horizon + 1)
    return future
