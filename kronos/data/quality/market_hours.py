"""The candle interval of a history, its number of candles a day, and where the interval changes.

All times are microseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kronos.candles import Array

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
N_RECURRING = 1000  # candles at the end of a history whose times of day must recur
MIN_SHARE = 0.1  # of the differences, that the most common one makes up in a regular history
STRETCH = 32  # candles a block; three blocks, most of whose candles keep to one interval, are a long stretch


class Interval(NamedTuple):
    """The interval between candles, inferred from their differences.

    step: the most common difference (the smallest of equally common ones), in whole days if a day or more; 0 if none.
    regular: False if the candles keep to no grid (tick bars, dollar bars, random times). share: the part of the
    differences that step makes up. n_modes: differences that are equally common. median: of all differences.
    """

    step: int
    regular: bool
    share: float
    n_modes: int
    median: int


@dataclass(frozen=True)
class MarketHours:
    """The rhythm of a file of candles."""

    interval: int  # as Interval.step
    regular: bool  # False: no gaps can be found
    candles_a_day: int  # the median over days with candles, at least 1
    never_closes: bool  # no hour of the week is closed, in data of at least a day (daily candles: a week)


class IntervalChange(NamedTuple):
    """A change of the interval, in microseconds; row: the first one that the next follows by the new interval."""

    row: int
    before: int
    after: int


def infer_interval(instants: Array, local: Array) -> Interval:
    """Infer the interval of at least two candles.

    Args:
        instants: (N,) int64 true times, strictly increasing.
        local: (N,) int64 the same on the exchange's clock, which may repeat or skip an hour.
    """
    differences = np.diff(instants)
    step, share, n_modes, median = _find_mode(differences)
    # A regular history that lacks most of its candles still has differences that are multiples of its interval.
    multiples = share >= MIN_SHARE and 2 * np.count_nonzero(differences % step == 0) >= len(differences)
    whole_days = min(step % DAY, -step % DAY) <= HOUR or share < 0.5
    if median >= DAY - HOUR and whole_days:  # a day on which clocks change has 23 or 25 hours
        dates = np.diff(local // DAY) * DAY
        step, share, n_modes, _ = _find_mode(dates[dates > 0])
        multiples = False  # any dates are whole days apart
    recent = local[-N_RECURRING:]  # in a long irregular history, times of day recur by chance too
    recurring = 2 * len(np.unique(recent % DAY)) <= len(recent)
    regular = step > 0 and bool(share >= 0.5 or multiples or recurring)
    return Interval(step, regular, share, n_modes, median)


def count_candles_a_day(local: Array) -> int:
    """Return the median number of candles over the days that have any."""
    return int(np.median(np.diff(find_changes(local // DAY), append=len(local))))


def find_interval_changes(instants: Array) -> list[IntervalChange]:
    """Find where a long stretch of candles at one interval is followed by a long stretch at another."""
    majorities = _find_majorities(np.diff(instants))
    blocks = np.flatnonzero(majorities)
    changes: list[IntervalChange] = []
    before, last = 0, 0  # the interval of the stretch so far and its last block
    for stretch in np.split(blocks, find_changes(majorities[blocks])[1:]):
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


def find_changes(values: Array) -> Array:
    """Return 0 and the indices at which a value differs from the one before."""
    return np.append(0, np.flatnonzero(values[1:] != values[:-1]) + 1)


def _find_majorities(differences: Array) -> Array:
    """Return for every whole block of STRETCH differences the value of more than half of them, or 0."""
    blocks = differences[: len(differences) // STRETCH * STRETCH].reshape(-1, STRETCH)
    medians = np.partition(blocks, STRETCH // 2, axis=1)[:, STRETCH // 2]  # a majority is the median
    return np.where(2 * np.count_nonzero(blocks == medians[:, None], axis=1) > STRETCH, medians, 0)


def _find_mode(values: Array) -> tuple[int, float, int, int]:
    """Return the most common value (the smallest of equally common ones), its share, how many there are, and the median."""
    if not len(values):
        return 0, 0.0, 0, 0
    values = np.sort(values)
    starts = find_changes(values)
    counts = np.diff(starts, append=len(values))
    best = counts.argmax()
    n_modes = int(np.count_nonzero(counts == counts[best]))
    middle = [int(values[i]) for i in ((len(values) - 1) // 2, len(values) // 2)]
    return int(values[starts[best]]), int(counts[best]) / len(values), n_modes, sum(middle) // 2
