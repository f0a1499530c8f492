"""Grade forecasts of the ledger by the candles that have come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.ledger.records import SHARES, Entry, LoggedForecast, Outcome, to_array

BANDS = {50: (0.25, 0.75), 80: (0.1, 0.9), 90: (0.05, 0.95)}  # percent: the shares of their ends
FIGURES = (*(f"covered_{level}" for level in BANDS), "crps", "crps_baseline", "pit", "hit")
SAME_PRICE = 1e-4  # relative: closes differ by rounding
NORMAL_RANGE = 1.349  # interquartile range of a normal distribution, in standard deviations


@dataclass(frozen=True)
class Matched:
    """What candles tell of the forecasts in the ledger.

    outcomes: the actual closes of those steps whose time has a candle. The other fields are numbers of forecasts, or symbols.
    changed: the close at the origin is another one in these candles, for example after an adjustment for a split. unanchored:
    there are candles of the horizon but none of the origin to compare. jumped: the price jumps within the horizon, as at a
    split. None of their new steps is graded (jumped: none from the jump on). revised: a close that was graded is another one
    in these candles. unknown: symbols of the ledger without candles.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    unanchored: list[int] = field(default_factory=list)
    jumped: list[int] = field(default_factory=list)
    revised: list[int] = field(default_factory=list)
    unknown: dict[str, None] = field(default_factory=dict)


def match_candles(
    entries: Iterable[Entry],
    candles: Mapping[str, pd.DataFrame],
    jumps: Mapping[str, pd.DatetimeIndex] | None = None,
    graded: Mapping[int, Mapping[int, float]] | None = None,
) -> Matched:
    """Find the actual closes of forecasts that are not graded yet.

    Args:
        candles: by symbol, indexed by local time. A time that occurs twice, when clocks go back, tells nothing.
        jumps: by symbol, the times of the first candles after a jump of the price.
        graded: the closes in the ledger, by forecast and step.
    """
    matched = Matched()
    closes = {name: frame["close"][~frame.index.duplicated(keep=False)] for name, frame in candles.items()}
    for entry in entries:
        series, symbol = closes.get(entry.forecast.symbol), entry.forecast.symbol
        if series is None:
            matched.unknown[symbol] = None
        else:
            _match(entry, series, (jumps or {}).get(symbol), (graded or {}).get(entry.number, {}), matched)
    return matched


def _match(
    entry: Entry, closes: pd.Series, jumps: pd.DatetimeIndex | None, graded: Mapping[int, float], matched: Matched
) -> None:
    forecast, number = entry.forecast, entry.number
    actual = closes.reindex(pd.DatetimeIndex(forecast.times)).to_numpy(np.float64)
    steps = np.flatnonzero(np.isfinite(actual)).tolist()
    new = [step for step in steps if step not in graded]
    at_origin = closes.get(pd.Timestamp(forecast.origin))
    if at_origin is None or not _is_same_price(at_origin, forecast.last_close):
        if new:
            (matched.unanchored if at_origin is None else matched.changed).append(number)
        return
    if any(not _is_same_price(actual[step], graded[step]) for step in steps if step in graded):
        matched.revised.append(number)
    jump = None if jumps is None else next((time for time in jumps if time > forecast.origin), None)
    if jump is not None and any(forecast.times[step] >= jump for step in new):
        matched.jumped.append(number)
        new = [step for step in new if forecast.times[step] < jump]
    matched.outcomes.extend(Outcome(number=number, step=step, actual=float(actual[step])) for step in new)


def _is_same_price(price: float, other: float) -> bool:
    return abs(price - other) <= SAME_PRICE * abs(other)


def grade(entries: Iterable[Entry], outcomes: Mapping[int, Mapping[int, float]]) -> pd.DataFrame:
    """Return the grades: a row for each step of a forecast whose actual close is known and was not when it was written.

    Columns: number, run, symbol, origin, time, step (from 0), horizon, actual; covered_50, covered_80, covered_90: 1 if the
    band held the close, else 0; crps, crps_baseline: see `compute_quantile_score`, divided by the standard deviation that the
    baseline gave the step, which makes symbols and steps comparable (NaN if that is 0); pit: the place of the close in the
    forecast distribution, see `compute_pit`; hit: 1 if it rose and P(up) was above one half, or fell and it was below, else 0;
    NaN if P(up) was one half or the close is the last one.
    """
    graded, blocks, times = list[tuple[object, ...]](), [np.empty((0, 2 + len(FIGURES)))], list[datetime]()
    for entry in entries:
        forecast = entry.forecast
        known = {step: close for step, close in outcomes.get(entry.number, {}).items() if step >= forecast.n_passed}
        if known:
            steps = sorted(known)
            blocks.append(_grade(forecast, steps, np.array([known[step] for step in steps])))
            graded.append(
                (len(steps), entry.number, forecast.run, forecast.symbol, forecast.origin, len(forecast.times))
            )
            times.extend(forecast.times[step] for step in steps)
    rows = np.concatenate(blocks)
    counts, *columns = zip(*graded) if graded else [()] * 6
    frame = pd.DataFrame(dict(zip(("number", "run", "symbol", "origin", "horizon"), map(list, columns))))
    frame = frame.loc[np.repeat(np.arange(len(frame)), np.array(counts, np.int64))].reset_index(drop=True)
    frame["origin"] = pd.to_datetime(frame["origin"])
    frame["time"], frame["step"] = pd.DatetimeIndex(times), rows[:, 0].astype(np.int64)
    return frame.assign(**{name: rows[:, 1 + i] for i, name in enumerate(("actual", *FIGURES))})


def _grade(forecast: LoggedForecast, steps: list[int], actual: Array) -> Array:
    """Return steps, actual closes and FIGURES as (N, 2 + F)."""
    quantiles, baseline = (to_array(each)[:, steps] for each in (forecast.close, forecast.baseline))
    width = (np.array(baseline[SHARES.index(0.75)]) - baseline[SHARES.index(0.25)]) / NORMAL_RANGE
    unit = np.where(width > 0, width, np.nan)
    covered = [
        (quantiles[SHARES.index(low)] <= actual) & (actual <= quantiles[SHARES.index(high)])
        for low, high in BANDS.values()
    ]
    scores = [compute_quantile_score(each, actual) / unit for each in (quantiles, baseline)]
    up = np.array(forecast.probability_up)[steps]
    moved = actual - forecast.last_close
    hit = np.where((up == 0.5) | (moved == 0), np.nan, (up > 0.5) == (moved > 0))
    return np.stack([steps, actual, *covered, *scores, compute_pit(quantiles, actual), hit], axis=1)


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
