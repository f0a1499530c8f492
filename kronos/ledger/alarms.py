"""Alarms when the coverage of the bands, or the skill against the baseline, leaves its range.

Each alarm is a CUSUM of e-values (Shin, Ramdas & Rinaldo 2022, arXiv 2203.03532, eq. 18). A figure x of each forecast lies in
[0, 1], and the range says that its mean, given all earlier outcomes, is at most m. Then 1 + λ (x − m) is a fair or losing bet
for any λ in [0, 1 / m]. The wealth of several bets is averaged. It begins anew at 1 whenever it falls below, so that an old
record of good forecasts does not hide a change. An alarm at a wealth of 1 / α comes, while all is well, once in at least
1 / α forecasts on average, whatever else their distribution is.

One forecast is one bet: horizons that overlap are one event, and symbols at the same time are too. x is therefore the mean
over the symbols and the steps of an origin, and origins whose horizons overlap are left out (`select_disjoint`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.ledger.grading import select_disjoint

FORECASTS_TO_A_FALSE_ALARM = 1000
BETS = (0.1, 0.25, 0.5, 0.9)  # shares of the largest bet, 1 / m
LARGEST_WEALTH = 100.0 * FORECASTS_TO_A_FALSE_ALARM  # more would only delay the end of an alarm
COVERAGE_RANGE = (0.85, 0.95)  # of the 90 % band
WORSE = 0.5  # the share of the summed losses that the model may have, when the baseline has the rest

Kind = Literal["too_narrow", "too_wide", "no_skill"]


@dataclass(frozen=True)
class Alarm:
    """The state of one alarm.

    wealth: (N,) after each origin. origins: (N,) their local times. mean: of the figure over all of them. threshold: the
    wealth of an alarm.
    """

    kind: Kind
    wealth: Array
    origins: pd.DatetimeIndex
    mean: float
    threshold: float = FORECASTS_TO_A_FALSE_ALARM

    @property
    def is_on(self) -> bool:
        """Whether the newest wealth is at the threshold."""
        return bool(len(self.wealth)) and bool(self.wealth[-1] >= self.threshold)

    @property
    def since(self) -> pd.Timestamp | None:
        """The origin from which on it is on; None if it is not."""
        if not self.is_on:
            return None
        off = np.flatnonzero(self.wealth < self.threshold)
        return self.origins[off[-1] + 1 if len(off) else 0]


def compute_wealth(x: Array, m: float) -> Array:
    """Return the wealth (N,) after each of the figures x (N,) in [0, 1], whose mean is at most m while all is well."""
    factors = 1 + np.array(BETS)[:, np.newaxis] / m * (x - m)
    wealth = np.empty(len(x))
    each = np.ones(len(BETS))
    for n in range(len(x)):
        if each.mean() < 1:
            each[:] = 1
        each = np.minimum(each * factors[:, n], LARGEST_WEALTH)
        wealth[n] = each.mean()
    return wealth


def find_alarms(grades: pd.DataFrame) -> list[Alarm]:
    """Return the alarms of the grades of one run: the 90 % band too narrow or too wide, and the CRPS above the baseline's."""
    low, high = COVERAGE_RANGE
    events = select_disjoint(grades).groupby("origin", sort=True)
    covered = events["covered_90"].mean()
    sums = events[["crps", "crps_baseline"]].sum()
    total = sums.sum(axis=1)
    worse = (sums["crps"] / total)[total > 0]
    return [
        _watch("too_narrow", 1 - covered, 1 - low),
        _watch("too_wide", covered, high),
        _watch("no_skill", worse, WORSE),
    ]


def _watch(kind: Kind, x: pd.Series, m: float) -> Alarm:
    values = x.to_numpy(np.float64)
    mean = float(values.mean()) if len(values) else float("nan")
    return Alarm(kind, compute_wealth(values, m), pd.DatetimeIndex(x.index), mean)
