"""Doubts about the clock: days that begin at midnight in another time zone, and times off the grid of the interval."""

from __future__ import annotations

from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.data.files.ignored import read_ignored
from kronos.data.files.options import ReadingOptions
from kronos.data.files.read import RawSeries
from kronos.data.files.times import NOT_A_TIME, TimestampFormat
from kronos.data.quality.findings import FINDINGS, Finding, make_finding, quote_setting
from kronos.data.quality.market_hours import DAY, HOUR, SECOND, MarketHours
from kronos.errors import DataError

MIN_CANDLES = 10
N_TRIED = 2000  # candles, spread over the file
ALL = 0.98
# Time zones of markets, the larger ones first; one of each offset and rule of daylight saving is enough.
ZONES = (
    *("Asia/Shanghai", "America/New_York", "Asia/Tokyo", "Europe/London", "Europe/Berlin", "Asia/Kolkata"),
    *("America/Chicago", "Asia/Singapore", "Australia/Sydney", "Europe/Moscow", "Europe/Athens", "Asia/Bangkok"),
    *("America/Sao_Paulo", "Africa/Johannesburg", "Asia/Dubai", "Asia/Karachi", "Asia/Dhaka", "Pacific/Auckland"),
    *("America/Los_Angeles", "Asia/Tehran"),
)
NEW_YORK_CLOSE = 17 * HOUR  # at which the day of currencies begins
FRIDAY, SATURDAY, SUNDAY = 4, 5, 6
MINUTE = 60 * SECOND
GRIDS = tuple(n * MINUTE for n in (1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 240, 1440))
MIN_PHASES = 5  # different distances from the grid
USUAL = 0.5  # of the steps between candles are one interval


def find_midnights(raw: RawSeries, hours: MarketHours) -> list[Finding]:
    """Find candles of days that all begin at one hour that is midnight elsewhere.

    It is an error if they then lie on other weekdays (Sunday to Thursday instead of Monday to Friday).
    """
    if len(raw) < MIN_CANDLES or hours.interval < DAY or raw.zone_given:
        return []
    rows = np.unique(np.linspace(0, len(raw) - 1, min(len(raw), N_TRIED)).astype(int))
    local, instants = raw.local[rows], raw.instants[rows]
    clock = local % DAY
    if (clock == 0).mean() > 0.5 or np.ptp(clock) > HOUR:
        return []
    zone = next((zone for zone in ZONES if (_in_zone(instants, zone) % DAY == 0).mean() >= ALL), None)
    if zone is None:
        return []
    moved = _in_zone(instants, zone)
    before, after = _rank_days(local, hours), _rank_days(moved, hours)
    if after > before or (after == before and not raw.zoned):
        return []  # the time of the day's close, for example
    is_error = after < before and not (_in_zone(instants, "America/New_York") % DAY == NEW_YORK_CLOSE).all()
    written = "" if raw.zoned else "UTC:"
    shown = {
        "days": _name_days(local),
        "clock": _format_clock(int(clock[0])),
        "zone": zone,
        "new_days": _name_days(moved),
        "line": quote_setting("data.timezone", written + zone),
        "as_is": quote_setting("data.timezone", "UTC"),
    }
    template = (
        f"{FINDINGS['midnights']}: they begin at {{clock}} on {{days}}, which is midnight in {{zone}} on {{new_days}}"
    )
    if not is_error:
        template += "; to read these dates, set {line}"
        return [make_finding(raw, "midnights", "note", template, np.arange(min(len(raw), 1)), len(raw), **shown)]
    remedy = "Set {line} to read these dates, or {as_is} if the days as written are right."
    return [make_finding(raw, "midnights", "error", template, np.arange(3), len(raw), remedy=remedy, **shown)]


def _rank_days(local: Array, hours: MarketHours) -> int:
    """Return 0 for days on which markets usually trade or weeks and months begin, 1 for Sunday to Thursday, 2 for others."""
    share = np.bincount((local // DAY + 3) % 7, minlength=7) / len(local)
    if hours.interval == DAY:
        few = share < 0.02
        return 0 if few[[SATURDAY, SUNDAY]].all() else 1 if few[[FRIDAY, SATURDAY]].all() else 2
    if hours.interval == 7 * DAY:
        return 0 if share[SUNDAY] < 0.9 else 1
    return 1 if pd.DatetimeIndex(local.astype("M8[us]")).is_month_end.mean() > 0.9 else 0


def _in_zone(instants: Array, zone: str) -> Array:
    """Return times (N,), int64 microseconds since 1970 in UTC, on the clock of a zone."""
    times = pd.DatetimeIndex(instants.astype("M8[us]")).tz_localize("UTC").tz_convert(_load(zone))
    return np.asarray(times.tz_localize(None).as_unit("us").asi8)


@cache
def _load(zone: str) -> ZoneInfo:
    return ZoneInfo(zone)


def _name_days(local: Array) -> str:
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    counts = np.bincount((local // DAY + 3) % 7, minlength=7)
    days = [day for day in (SUNDAY, *range(6)) if counts[day] > 0.02 * len(local)]
    return names[days[0]] if len(days) == 1 else f"{names[days[0]]} to {names[days[-1]]}"


def _format_clock(micros: int) -> str:
    return f"{micros // HOUR:02}:{micros % HOUR // (HOUR // 60):02}"


def find_off_grid(raw: RawSeries) -> list[Finding]:
    """Find times that follow a fixed interval but for seconds or minutes that vary, such as those of receipt.

    An unused column with the times of the interval is named.
    """
    times = raw.local[:N_TRIED]
    grid = _find_grid(times)
    if grid is None or len(np.unique(times % grid)) < MIN_PHASES:
        return []
    shown: dict[str, Any] = {
        "interval": _format_grid(grid),
        "times": ", ".join(str(np.datetime64(int(t), "us"))[11:19] for t in times[:3]),
    }
    template = (
        f"{FINDINGS['irregular']}: one candle every {{interval}}, at {{times}}, …, as if these were times of receipt"
    )
    ignored = read_ignored(raw)
    if name := next((name for name in ignored if _is_on_grid(raw, ignored[name], grid)), None):
        template += "; the unused column {name!r} has the times of the interval: set {line}"
        shown |= {"name": str(name), "line": quote_setting("data.columns.timestamps", str(name))}
    else:
        template += "; write the times at which the candles begin or end"
    return [make_finding(raw, "irregular", "note", template, count=len(raw), **shown)]


def _find_grid(times: Array) -> int | None:
    """Return the interval of which each time lies in another one, mostly in the next; None if they follow none."""
    steps = np.diff(times)
    if len(times) < 2 * MIN_CANDLES or np.unique(steps, return_counts=True)[1].max() > USUAL * len(steps):
        return None
    for grid in GRIDS:
        steps = np.diff(times // grid)
        if (steps == 0).mean() <= 1 - ALL and (steps == 1).mean() > USUAL:
            return grid
    return None


def _is_on_grid(raw: RawSeries, column: pd.Series, grid: int) -> bool:
    """Whether a column holds times about those of the rows, at one distance from the grid."""
    try:
        local, _ = TimestampFormat.recognise(column, ReadingOptions()).parse(column)
    except (DataError, ValueError, TypeError):
        return False
    near = (local != NOT_A_TIME) & (np.abs(local - raw.local) <= DAY)
    return bool(near.mean() >= ALL and np.unique(local[near] % grid, return_counts=True)[1].max() >= ALL * near.sum())


def _format_grid(grid: int) -> str:
    n, unit = (grid // MINUTE, "minute") if grid < HOUR else (grid // HOUR, "hour") if grid < DAY else (1, "day")
    return f"{n} {unit}s" if n > 1 else unit
