"""Clocks that are put forward and back, and stamps whose time zone changes within a file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kronos.candles import Array
from kronos.data.findings import FINDINGS, Finding, found_in
from kronos.data.read import RawSeries

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR
SUNDAY = 3  # days since a Thursday, 1970-01-01
DAYS_COMPARED = 7  # trading days before and after that must agree for their hours to have moved


def follow_clock(raw: RawSeries) -> tuple[RawSeries, list[Finding]]:
    """Find where clocks are put forward or back, and without zones in the file, count true time on through it.

    Without zones, an hour that is skipped or comes twice in the night to Sunday is a clock put forward or back: the rows
    stand in order of true time, although their stamps do not.
    """
    if len(raw) < 3:
        return raw, []
    if raw.zoned:
        offset = raw.local - raw.instants
        moved = 1 + np.flatnonzero(np.diff(offset))
    else:
        step = np.diff(raw.local)
        interval = _most_common(step)
        hour = raw.local[1:] % DAY // HOUR
        at_night = ((raw.local[1:] // DAY) % 7 == SUNDAY) & (hour <= 3) & (interval <= HOUR)
        back = at_night & (step == interval - HOUR) & ~(raw.values[1:] == raw.values[:-1]).all(axis=1)
        forward = at_night & (step == interval + HOUR)
        if not 0 < back.sum() + forward.sum() <= 2 + (raw.local.max() - raw.local.min()) // (150 * DAY):
            return raw, []  # what comes more often than twice a year is something else
        instants = raw.local.copy()
        instants[1:] += HOUR * np.cumsum(back.astype(np.int64) - forward)
        raw, moved = replace(raw, instants=instants), 1 + np.flatnonzero(back | forward)
    if not len(moved):
        return raw, []
    what = f"{FINDINGS['clock_changes']}; windows go on through it in true time"
    return raw, [found_in(raw, "clock_changes", "note", what, moved)]


def find_moved_hours(raw: RawSeries) -> list[Finding]:
    """Find days from which on the market opens at another hour, 1 hour or more away, as where stamps change their zone.

    An hour's move is what a market with daylight saving shows in UTC; it is not reported.
    """
    days, first = np.unique(raw.local // DAY, return_index=True)
    weekday = (days + 3) % 7 < 5
    days, first = days[weekday], first[weekday]
    if len(days) < 2 * DAYS_COMPARED:
        return []
    opening = raw.local[first] % DAY
    stretches = sliding_window_view(opening, DAYS_COMPARED)
    steady, level = np.ptp(stretches, axis=1) == 0, stretches[:, 0]
    before, after = slice(0, -DAYS_COMPARED), slice(DAYS_COMPARED, None)
    move = np.abs(level[after] - level[before])
    moved = steady[before] & steady[after] & (move % HOUR == 0) & (move > HOUR)
    rows = first[DAYS_COMPARED + np.flatnonzero(moved)]
    if not len(rows):
        return []
    at = int(np.flatnonzero(moved)[0])
    hours = (level[after] - level[before])[at] / HOUR
    what = (
        f"{FINDINGS['time_zone']}: from here on the market opens {abs(hours):g} h {'later' if hours > 0 else 'earlier'}"
    )
    return [found_in(raw, "time_zone", "note", f"{what}; bring all rows to one zone", rows)]


def _most_common(values: Array) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])
