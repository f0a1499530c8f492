"""Find changes of clocks, and timestamps whose time zone changes within a file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kronos.candles import Array
from kronos.data.files.read import RawSeries
from kronos.data.quality.findings import FINDINGS, Finding, make_finding

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR
LONGEST_SEASON = 250 * DAY  # from one change of clocks to the next
SUNDAY = 3  # days since a Thursday, 1970-01-01
ONE_ZONE = "convert all rows to one time zone"
DAYS_COMPARED = 7  # trading days before and after that must agree for their hours to have moved


def follow_clock(raw: RawSeries) -> tuple[RawSeries, list[Finding]]:
    """Find where clocks are put forward or back and, if the file has no time zones, reconstruct true time.

    Without zones, an hour that is skipped or comes twice in the night to Sunday is a change of clocks: the rows are in
    order of true time, but their timestamps are not.
    """
    if len(raw) < 3:
        return raw, []
    if raw.zoned:
        offset = raw.local - raw.instants
        moved = 1 + np.flatnonzero(np.diff(offset))
    else:
        step = np.diff(raw.local)
        interval = _most_common(step)
        rows = 1 + np.flatnonzero((step == interval - HOUR) | (step == interval + HOUR))
        local = raw.local[rows]
        rows = rows[(local % DAY // HOUR <= 3) & (interval <= HOUR) & _is_sunday_of_change(local)]
        repeated = (step[rows - 1] == 0) & (raw.values[rows] == raw.values[rows - 1]).all(axis=1)
        back = (step[rows - 1] < interval) & ~repeated
        forward = step[rows - 1] > interval
        in_turn = (np.diff(back[back | forward].astype(int)) != 0).all()
        between = np.diff(raw.local[np.concatenate([[0], rows[back | forward], [len(raw) - 1]])])
        if not (back | forward).any() or not in_turn or between.max() > LONGEST_SEASON:
            return raw, []  # clocks go forward and back in turn, twice a year
        instants = raw.local.copy()
        moved = rows[back | forward]
        for row, by in zip(moved.tolist(), (back.astype(np.int64) - forward)[back | forward].tolist()):
            instants[row:] += by * HOUR
        raw = replace(raw, instants=instants)
    if not len(moved):
        return raw, []
    far = moved[np.abs((raw.local - raw.instants)[moved] - (raw.local - raw.instants)[moved - 1]) > 2 * HOUR]
    if len(far):
        return raw, [make_finding(raw, "time_zone", "note", f"{FINDINGS['time_zone']}; {ONE_ZONE}", far)]
    template = f"{FINDINGS['clock_changes']}; windows follow true time"
    return raw, [make_finding(raw, "clock_changes", "note", template, moved)]


def _is_sunday_of_change(local: Array) -> Array:
    """Whether times lie on a Sunday on which clocks are changed somewhere: the first or last of a month, or March's second."""
    date = local.astype("M8[us]").astype("M8[D]")
    month = date.astype("M8[M]").astype(np.int64) % 12 + 1
    day = (date - date.astype("M8[M]")).astype(np.int64) + 1
    first, last = np.isin(month, (4, 10, 11)) & (day <= 7), np.isin(month, (3, 9, 10)) & (day >= 24)
    sunday: Array = (local // DAY % 7 == SUNDAY) & (first | last | ((month == 3) & (day >= 8) & (day <= 14)))
    return sunday


def find_moved_hours(raw: RawSeries) -> list[Finding]:
    """Find days from which on the market opens more than an hour earlier or later: the time zone may have changed.

    A move by an hour is not reported: a market with daylight saving shows it in UTC.
    """
    if not len(raw):
        return []
    days = raw.local // DAY
    changes = np.append(0, 1 + np.flatnonzero(days[1:] != days[:-1]))
    days, first = np.unique(days[changes], return_index=True)  # np.unique of all rows would sort a copy
    first = changes[first]
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
    when = "{hours:g} h later" if hours > 0 else "{hours:g} h earlier"
    template = f"{FINDINGS['time_zone']}: from here on the market opens {when}; {ONE_ZONE}"
    return [make_finding(raw, "time_zone", "note", template, rows, hours=abs(hours))]


def _most_common(values: Array) -> int:
    unique, counts = np.unique(values[:: len(values) // 1000 + 1], return_counts=True)
    guess = int(unique[counts.argmax()])
    if 2 * np.count_nonzero(values == guess) > len(values):
        return guess  # without sorting a copy
    unique, counts = np.unique(values, return_counts=True)
    return int(unique[counts.argmax()])
