"""Night sessions that carry the date of the next trading day, as futures exchanges settle them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kronos.candles import Array
from kronos.data.files.read import RawSeries
from kronos.data.quality.findings import FINDINGS, Finding, format_time, make_finding
from kronos.data.quality.market_hours import DAY, HOUR, find_changes
from kronos.data.quality.order import CLEARLY, compare_orders

MIN_NIGHTS = 3
FIRST_EVENING = 15 * HOUR  # no night session begins earlier
MORNING = 6 * HOUR  # by then a night session that is followed by a pause has ended
MIN_PAUSE = (
    2 * HOUR + HOUR // 2
)  # between a night session and the morning; shorter, and the market trades around the clock
FIRST_WEEKDAY = 3  # 1970-01-01, counted from Monday


def date_night_sessions(raw: RawSeries) -> tuple[RawSeries, list[Finding]]:
    """Date evenings that precede the day of the same date back to the evening on which they were.

    The times decide: the clock steps back within a date, always from an evening to a morning, and with the evenings moved
    all rows are in order. Prices that clearly go on in order of the times as written prevent it.
    """
    if len(raw) < 2 * MIN_NIGHTS:
        return raw, []
    n_back = np.count_nonzero(raw.local[1:] < raw.local[:-1])
    if n_back < MIN_NIGHTS:
        return raw, []
    newest_first = 2 * n_back > len(raw)
    ordered = raw.take(np.arange(len(raw))[::-1]) if newest_first else raw
    back = 1 + np.flatnonzero(np.diff(ordered.local) < 0)
    days, clock = ordered.local // DAY, ordered.local % DAY
    if len(back) < MIN_NIGHTS or (days[back] != days[back - 1]).any():
        return raw, []
    runs = find_changes(days)
    evening = clock >= clock[runs[np.searchsorted(runs, back, "right") - 1]].min()
    if not evening.any() or clock[evening].min() < FIRST_EVENING or evening.all():
        return raw, []
    moved = ordered.local + _find_shifts(days, clock, evening, runs)
    if (np.diff(moved) <= 0).any() or compare_orders(ordered) < -CLEARLY:
        return raw, []
    shift = moved - ordered.local
    instants = moved if ordered.instants is ordered.local else ordered.instants + shift
    dated = replace(ordered, local=moved, instants=instants)
    first = int(clock[evening].min())
    template = f"{FINDINGS['night_session']}; from {{clock}} on dated back to the evening before it"
    rows = np.flatnonzero(shift)
    return dated, [
        make_finding(dated, "night_session", "repair", template, rows, clock=format_time(first)[11:] or "00")
    ]


def _find_shifts(days: Array, clock: Array, evening: Array, runs: Array) -> Array:
    """Return the microseconds by which to move each row.

    The evening lies before the weekday before; after a pause until the morning, it is that of the trading day before (a
    Friday's for a Monday, and the hours after its midnight are Saturday's), else that of the calendar day before.
    """
    times = np.unique(clock[~evening])
    pauses = np.flatnonzero((np.diff(times) >= MIN_PAUSE) & (times[:-1] < MORNING))
    around_the_clock = times[0] < MORNING and not len(pauses)
    weekday = (days + FIRST_WEEKDAY) % 7
    back = np.where(weekday == 0, 3, np.where(weekday == 6, 2, 1))
    if around_the_clock:
        back = np.ones_like(back)
    shift = np.where(evening, -back * DAY, 0)
    if len(pauses):
        n_rows = np.diff(runs, append=len(days))
        has_evening = np.repeat(np.logical_or.reduceat(evening, runs), n_rows)
        after_midnight = ~evening & (clock <= times[pauses[-1]]) & has_evening
        shift = np.where(after_midnight, (1 - back) * DAY, shift)
    return shift
