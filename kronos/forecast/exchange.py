"""The timestamps to come from a calendar: an exchange's sessions, or whole weeks and months.

Exchanges need the optional package exchange_calendars.
"""

from __future__ import annotations

import difflib
import importlib
import itertools
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.errors import ConfigError, DataError
from kronos.names import Message

DAY = pd.Timedelta(days=1)
WEEK = 7 * DAY
N_COMPARED = 2000  # candles at the end of the history that are compared with the calendar
UNITS = (("day", DAY), ("hour", pd.Timedelta(hours=1)), ("minute", pd.Timedelta(minutes=1)))


class _Labels(NamedTuple):
    """One way to label the candles of a session: the arguments of `trading_index` for it, and how well it fits.

    fit: timestamps in both, divided by those in either; 0 to 1. matched: the share of the history that it explains.
    """

    options: dict[str, Any]
    fit: float
    matched: float


def follow_exchange(
    history: pd.DatetimeIndex, horizon: int, interval: pd.Timedelta, code: str
) -> tuple[pd.DatetimeIndex, tuple[str, ...]]:
    """Return the timestamps after the history's last in the exchange's calendar, without holidays.

    The history shows whether a timestamp is the start or the end of its candle, and how candles are aligned with breaks
    and full hours.

    Args:
        history: two or more wall-clock times of the exchange, without a zone.
        interval: from one candle to the next, less than a week.
        code: as exchange_calendars names it: XSHG, XNYS, XHKG, 24/7, …

    Raises:
        ConfigError: the package is not installed, or does not know the exchange.
        DataError: the history is not in the exchange's hours, or the calendar does not reach far enough.
    """
    calendar = _load_calendar(code, history)
    if interval >= DAY:
        return _follow_sessions(calendar, history, horizon, interval), ()
    recent = history[-N_COMPARED:]
    recent = recent[recent >= recent[-1] - max(WEEK, N_COMPARED * interval)]
    choices = _fit_labels(calendar, recent, interval)
    best = max(choices, key=lambda labels: labels.fit)
    if best.matched < 0.5:
        raise _outside_error(calendar, best.matched, interval)
    futures = [
        _follow_labels(calendar, history[-1], horizon, labels.options) for labels in choices if labels.fit == best.fit
    ]
    notes = []
    if best.fit < 0.9:
        template = (
            "The history and the calendar of {exchange} agree on only {share:.0%} of their candles: days or hours are missing "
            "from one of them. Check the exchange, and that the times are local to {zone}."
        )
        notes.append(Message(template, exchange=calendar.name, share=best.fit, zone=calendar.tz))
    if not all(future.equals(futures[0]) for future in futures):
        template = "Timestamps may be the start or the end of their candles; the end of each is assumed."
        if best.options["closed"] == "left":
            template = "Timestamps may be the start or the end of their candles; the start of each is assumed."
        notes.append(Message(template))
    return futures[0], tuple(notes)


def follow_weeks(history: pd.DatetimeIndex, horizon: int, n_weeks: int) -> pd.DatetimeIndex:
    """Return times n_weeks apart, on the usual weekday, even if a holiday moved the last candle to another day."""
    weekdays = history.day_of_week.to_numpy()
    shift = int(np.bincount(weekdays).argmax() - weekdays[-1])
    return history[-1] + pd.to_timedelta(shift + 7 * n_weeks * np.arange(1, horizon + 1), unit="D")


def follow_months(history: pd.DatetimeIndex, horizon: int) -> tuple[pd.DatetimeIndex, tuple[str, ...]]:
    """Return times whole months apart, on the day of most of the history: the last, a working day, …"""
    days = history.to_numpy().astype("M8[D]")
    months = days.astype("M8[M]")
    steps, counts = np.unique(np.diff(months).astype(int), return_counts=True)
    future_months = months[-1] + max(int(steps[counts.argmax()]), 1) * np.arange(1, horizon + 1)
    usual = int(np.bincount(history.day).argmax())
    matched = [float((rule == days).mean()) for rule in _month_days(months, usual)]
    future = _month_days(future_months, usual)[int(np.argmax(matched))]
    note = "The day of the month varies; the most common one is used."
    time_of_day = history[-1] - history[-1].normalize()
    return pd.DatetimeIndex(future, dtype="M8[us]") + time_of_day, (note,) if max(matched) < 0.5 else ()


def _month_days(months: Array, usual: int) -> list[Array]:
    """Return the day of each month by every rule; usual is a day of the month."""
    first, last = months.astype("M8[D]"), (months + 1).astype("M8[D]") - 1
    working_last = np.busday_offset(last, 0, roll="backward")
    working_first = np.busday_offset(first, 0, roll="forward")
    return [last, working_last, first, working_first, np.minimum(first + usual - 1, last)]


def describe_interval(interval: pd.Timedelta) -> str:
    """Return an interval as text: '5 minutes', '1.5 hours', '1 day'."""
    name, unit = next(((n, u) for n, u in UNITS if interval >= u), ("second", pd.Timedelta(seconds=1)))
    number = interval / unit
    return f"{number:.4g} {name}{'' if number == 1 else 's'}"


def _load_calendar(code: str, history: pd.DatetimeIndex) -> Any:
    try:
        package = importlib.import_module("exchange_calendars")
    except ImportError:
        template = "exchange {code!r} needs the package exchange_calendars. Run pip install exchange_calendars."
        raise ConfigError(template, code=code) from None
    names = package.get_calendar_names()
    code = {name.upper(): name for name in names}.get(str(code).upper(), code)
    if code not in names:
        near = difflib.get_close_matches(str(code).upper(), names, n=3, cutoff=0.5)
        unknown = "exchange_calendars does not know the exchange {code!r}."
        template = (
            f"{unknown} Did you mean {{near}}?" if near else f"{unknown} Use a code like XSHG, XHKG, XNYS or 24/7."
        )
        raise ConfigError(template, code=code, near=Message.join(near, " or "))
    calendar = package.get_calendar(code)
    if history[-1].normalize() > calendar.last_session:
        raise _too_short_error(calendar)
    if history[0] - WEEK < calendar.first_session:  # by default calendars begin 20 years ago
        try:
            calendar = package.get_calendar(code, start=(history[0] - WEEK).normalize())
        except ValueError as error:
            template = "The calendar of {code} does not cover the history: {reason} Leave the exchange out."
            raise DataError(template, code=code, reason=error) from None
    return calendar


def _follow_sessions(
    calendar: Any, history: pd.DatetimeIndex, horizon: int, interval: pd.Timedelta
) -> pd.DatetimeIndex:
    """Return a daily candle for each session, at the time of day of the last known one."""
    sessions, dates = calendar.sessions, history.normalize()
    matched = float(dates.isin(sessions).mean())
    if matched < 0.5:
        raise _outside_error(calendar, matched, interval)
    if interval > DAY and ((sessions >= dates[0]) & (sessions <= dates[-1])).sum() > len(dates):
        raise DataError(
            "Candles of {interval} do not fit the sessions of {exchange}. Leave the exchange out or give the future "
            "timestamps.",
            interval=describe_interval(interval),
            exchange=calendar.name,
        )
    future = sessions[sessions > dates[-1]][:horizon]
    if len(future) < horizon:
        raise _too_short_error(calendar)
    return pd.DatetimeIndex((future + (history[-1] - dates[-1])).to_numpy(), dtype="M8[us]")


def _fit_labels(calendar: Any, recent: pd.DatetimeIndex, interval: pd.Timedelta) -> list[_Labels]:
    """Compare every way of labelling candles with the history; the simpler of two equally good ones comes first."""
    minute = pd.Timedelta(minutes=1)
    hour_factor = interval % minute == pd.Timedelta(0) and pd.Timedelta(hours=1) % interval == pd.Timedelta(0)
    # Some sources begin candles at full hours although trading opens at half past: align moves the first candle there.
    aligns = (minute, interval, -interval) if hour_factor and interval > minute else (minute,)
    choices = []
    for align, ignore_breaks, closed, force in itertools.product(
        aligns, (False, True), ("left", "right"), (True, False)
    ):
        # Forced closes shorten a candle that would reach into the break or the night. Start labels do not show this.
        if closed == "left" and not force:
            continue
        options = {"period": interval, "closed": closed, "force": force, "align": align, "ignore_breaks": ignore_breaks}
        first, last = calendar.sessions.searchsorted([recent[0].normalize() - DAY, recent[-1].normalize() + 2 * DAY])
        labels = _compute_labels(calendar, first, last, options)
        labels = labels[(labels >= recent[0]) & (labels <= recent[-1])]
        n_both = int(recent.isin(labels).sum())
        choices.append(_Labels(options, n_both / (len(recent) + len(labels) - n_both), n_both / len(recent)))
    return choices


def _compute_labels(calendar: Any, first: int, last: int, options: dict[str, Any]) -> pd.DatetimeIndex:
    """Return the wall-clock timestamps of the sessions first … last - 1; none if candles would overlap."""
    sessions = calendar.sessions[first:last]
    if sessions.empty:
        return pd.DatetimeIndex([])
    overlap = importlib.import_module("exchange_calendars.errors").IndicesOverlapError
    try:
        labels = calendar.trading_index(sessions[0], sessions[-1], intervals=False, **options)
    except overlap:
        return pd.DatetimeIndex([])
    return pd.DatetimeIndex(labels.tz_convert(calendar.tz).tz_localize(None).unique().to_numpy(), dtype="M8[us]")


def _follow_labels(calendar: Any, origin: pd.Timestamp, horizon: int, options: dict[str, Any]) -> pd.DatetimeIndex:
    first = int(calendar.sessions.searchsorted(origin.normalize() - DAY))
    n_sessions = 8
    while True:
        labels = _compute_labels(calendar, first, first + n_sessions, options)
        labels = labels[labels > origin]
        if len(labels) >= horizon:
            return labels[:horizon]
        if first + n_sessions >= len(calendar.sessions):
            raise _too_short_error(calendar)
        n_sessions *= 2


def _outside_error(calendar: Any, matched: float, interval: pd.Timedelta) -> DataError:
    return DataError(
        "Only {matched:.0%} of the history's times, fewer than half, are those of {interval} candles of {exchange}. The times "
        "must be local to the exchange ({zone}), within its hours and counted from its opening. Correct them, leave the "
        "exchange out, or give the future timestamps.",
        matched=matched,
        interval=describe_interval(interval),
        exchange=calendar.name,
        zone=calendar.tz,
    )


def _too_short_error(calendar: Any) -> DataError:
    return DataError(
        "The calendar of {exchange} ends with the session of {last:%Y-%m-%d}, before the last candle of the forecast. Update "
        "exchange_calendars, shorten the horizon or give the future timestamps.",
        exchange=calendar.name,
        last=calendar.last_session,
    )
