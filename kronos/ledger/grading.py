"""Grade forecasts of the ledger by the candles that have come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.ledger.records import SHARES, Entry, Outcome, to_array

BANDS = {50: (0.25, 0.75), 80: (0.1, 0.9), 90: (0.05, 0.95)}  # percent: the shares of their ends
SAME_PRICE = 1e-4  # relative: closes differ by rounding
NORMAL_RANGE = 1.349  # interquartile range of a normal distribution, in standard deviations


@dataclass(frozen=True)
class Matched:
    """What candles tell of the forecasts in the ledger.

    outcomes: the actual closes of those steps whose time has a candle. changed: the numbers of forecasts whose origin has
    another close in these candles, for example after an adjustment for a split: they are not graded by them. unknown:
    symbols of the ledger without candles.
    """

    outcomes: tuple[Outcome, ...]
    changed: tuple[int, ...]
    unknown: tuple[str, ...]


def match_candles(entries: Iterable[Entry], candles: Mapping[str, pd.DataFrame]) -> Matched:
    """Find the actual closes of forecasts.

    Args:
        candles: by symbol, indexed by local time.
    """
    outcomes: list[Outcome] = []
    changed: list[int] = []
    unknown: dict[str, None] = {}
    for entry in entries:
        forecast = entry.forecast
        frame = candles.get(forecast.symbol)
        if frame is None:
            unknown[forecast.symbol] = None
            continue
        closes = frame["close"]
        at_origin = closes.get(pd.Timestamp(forecast.origin))
        if at_origin is None:
            continue
        if abs(at_origin - forecast.last_close) > SAME_PRICE * abs(forecast.last_close):
            changed.append(entry.number)
            continue
        actual = closes.reindex(pd.DatetimeIndex(forecast.times)).to_numpy(np.float64)
        known = np.flatnonzero(np.isfinite(actual)).tolist()
        outcomes += [Outcome(number=entry.number, step=step, actual=float(actual[step])) for step in known]
    return Matched(tuple(outcomes), tuple(changed), tuple(unknown))


def grade(entries: Iterable[Entry], outcomes: Mapping[int, Mapping[int, float]]) -> pd.DataFrame:
    """Return the grades: a row for each step of a forecast whose actual close is known.

    Columns: number, run, symbol, origin, time, step (from 0), horizon, actual; covered_50, covered_80, covered_90: whether the band
    held the close; crps, crps_baseline: see `compute_quantile_score`, divided by the standard deviation that the baseline
    gave the step, which makes symbols and steps comparable (NaN if that is 0); pit: the place of the close in the forecast
    distribution, see `compute_pit`; hit: whether it rose, if P(up) was above one half, or fell, if it was below; NaN if
    P(up) was one half or the close is the last one.
    """
    rows = [row for entry in entries if entry.number in outcomes for row in _grade(entry, outcomes[entry.number])]
    columns = [
        "number",
        "run",
        "symbol",
        "origin",
        "time",
        "step",
        "horizon",
        "actual",
        *(f"covered_{level}" for level in BANDS),
    ]
    return pd.DataFrame(rows, columns=[*columns, "crps", "crps_baseline", "pit", "hit"])


def _grade(entry: Entry, known: Mapping[int, float]) -> Iterator[list[object]]:
    forecast, steps = entry.forecast, sorted(known)
    actual = np.array([known[step] for step in steps])
    quantiles, baseline = (to_array(each)[:, steps] for each in (forecast.close, forecast.baseline))
    width = (np.array(baseline[SHARES.index(0.75)]) - baseline[SHARES.index(0.25)]) / NORMAL_RANGE
    unit = np.where(width > 0, width, np.nan)
    covered = [
        (quantiles[SHARES.index(low)] <= actual) & (actual <= quantiles[SHARES.index(high)])
        for low, high in BANDS.values()
    ]
    own, other = (compute_quantile_score(each, actual) / unit for each in (quantiles, baseline))
    up = np.array(forecast.probability_up)[steps]
    moved = actual - forecast.last_close
    hit = np.where((up == 0.5) | (moved == 0), np.nan, (up > 0.5) == (moved > 0))
    places = compute_pit(quantiles, actual)
    for i, step in enumerate(steps):
        of_forecast = [entry.number, forecast.run, forecast.symbol, forecast.origin, forecast.times[step], step]
        yield [
            *of_forecast,
            len(forecast.times),
            actual[i],
            *(each[i] for each in covered),
            own[i],
            other[i],
            places[i],
            hit[i],
        ]


def compute_quantile_score(quantiles: Array, actual: Array) -> Array:
    """Return the CRPS (H,) of quantiles (Q, H) at SHARES, in the units of actual (H,).

    It is twice the integral of the quantile loss over the shares (Gneiting & Ranjan 2011, doi 10.1198/jbes.2010.08110,
    eq. 10), by the trapezoidal rule; of a normal distribution it is right to about 1%.
    """
    shares = np.array(SHARES)[:, np.newaxis]
    losses = (shares - (actual < quantiles)) * (actual - quantiles)
    score: Array = 2 * losses.sum(axis=0) / (len(SHARES) + 1)
    return score


def compute_pit(quantiles: Array, actual: Array) -> Array:
    """Return the probability integral transform (H,): the middle of the places that the quantiles (Q, H) leave to actual (H,).

    Q quantiles divide the distribution in Q + 1 equal parts; a close within part k (from 0) is at (k + ½) / (Q + 1), one
    that equals quantiles is in the middle of theirs.
    """
    below, not_above = (quantiles < actual).sum(axis=0), (quantiles <= actual).sum(axis=0)
    place: Array = (below + not_above + 1) / (2 * (len(quantiles) + 1))
    return place


def select_disjoint(grades: pd.DataFrame) -> pd.DataFrame:
    """Return the grades of forecasts whose horizons have passed, at origins whose horizons do not overlap.

    The earliest origin is used, then the next one after the end of its horizons, and so on. Forecasts of several symbols at
    one origin are used together.
    """
    passed = grades[grades.groupby("number")["step"].transform("max") == grades["horizon"] - 1]
    chosen: list[pd.Timestamp] = []
    last: pd.Timestamp | None = None
    ends = passed.groupby("origin", sort=True)["time"].max()
    for origin, end in zip(pd.DatetimeIndex(ends.index), pd.DatetimeIndex(ends)):
        if last is None or origin >= last:
            chosen.append(origin)
            last = end
    return passed[passed["origin"].isin(chosen)]
