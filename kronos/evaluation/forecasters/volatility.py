"""Baselines that know how volatile the next candles will be, but not where they go: `ewma` and `time_of_day`.

Both are random walks without drift. Their steps are drawn from the lookback, centred and scaled to a standard deviation of 1,
and multiplied by a forecast of volatility. The forecast is an exponentially weighted mean of the squared steps of the
lookback (RiskMetrics 1996, section 5.2). Its decay λ is chosen on the fitting data.

A step is the change of the log close from one candle to the next; a night or a weekend is a step too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from scipy.signal import lfilter

from kronos.candles import Array
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput, NotApplicable, PastCloses
from kronos.evaluation.forecasters.naive import DAY, NaiveForecaster, compute_levels, find_steps

LAMBDAS = (0.9, 0.94, 0.97, 0.99, 1.0)  # 1: all steps of the lookback weigh the same
FEWEST_FITS = 100  # moments at which variance forecasts are compared
SMALLEST_VARIANCE = 1e-4  # relative to the mean square of the stretch; keeps the likelihood of a still price finite
FEWEST_SLOTS = 4  # slots of a day
FEWEST_DAYS = 5  # steps of a usual slot
PRIOR_DAYS = 10  # average steps added to each slot, to steady a profile of few days


def compute_ewma_variance(steps: Array, decay: float) -> Array:
    """Return the exponentially weighted mean square (...) of steps (..., T): weight decay^k for k steps before the last."""
    weights = decay ** np.arange(steps.shape[-1])[::-1]
    variance: Array = np.square(steps) @ (weights / weights.sum())
    return variance


def compute_trailing_variance(steps: Array, decay: float, n: int) -> Array:
    """Return `compute_ewma_variance` of the last n steps (fewer at the beginning) at each of T steps, (T,)."""
    squared = np.square(steps)
    total = lfilter([1.0], [1.0, -decay], squared)
    total[n:] -= decay**n * total[:-n]
    counts = np.minimum(np.arange(1, len(steps) + 1), n)
    weights = counts if decay == 1 else (1 - decay**counts) / (1 - decay)
    variance: Array = np.maximum(total, 0.0) / weights
    return variance


def count_burn_in(n_steps: int, n: int) -> int:
    """Return how many steps precede the first variance forecast: n, the lookback's, or half of a short stretch."""
    return max(min(n, n_steps // 2), 1)


def compute_losses(steps: Array, horizon: int, n: int) -> Array:
    """Return the quasi-likelihood loss (len(LAMBDAS), M) of variance forecasts at M moments of a stretch of steps (T,).

    The loss is log(f) + v / f for the forecast f of the realised variance v, the sum of the next squared steps (Patton 2011,
    doi 10.1016/j.jeconom.2010.03.034, eq. 24).
    """
    burn_in = count_burn_in(len(steps), n)
    n_moments = len(steps) - horizon - burn_in + 1
    if n_moments < 1 or not steps.any():
        return np.empty((len(LAMBDAS), 0))
    moments = slice(burn_in - 1, burn_in - 1 + n_moments)
    total = np.append(0.0, np.square(steps).cumsum())
    realised = (total[horizon:] - total[:-horizon])[burn_in:]
    least = SMALLEST_VARIANCE * np.square(steps).mean()
    forecast = np.stack([compute_trailing_variance(steps, decay, n)[moments] for decay in LAMBDAS])
    forecast = horizon * np.maximum(forecast, least)
    losses: Array = np.log(forecast) + realised / forecast
    return losses


def choose_lambda(stretches: Sequence[Array], horizon: int, n: int) -> float:
    """Return the decay whose variance forecasts over the horizon have the lowest mean loss, see `compute_losses`.

    Args:
        stretches: steps (T,) each, of one symbol or of many; the choice does not depend on their scale.
        n: steps of a lookback.

    Raises:
        NotApplicable: there are too few steps.
    """
    losses = [compute_losses(steps, horizon, n) for steps in stretches]
    n_moments = sum(each.shape[1] for each in losses)
    if n_moments < FEWEST_FITS:
        raise NotApplicable("few_for_fit", n=n_moments, least=FEWEST_FITS)
    return LAMBDAS[int(np.concatenate(losses, axis=1).mean(axis=1).argmin())]


def build_ewma(past: PastCloses) -> Forecaster:
    """Fit the baseline `ewma`: one decay for all symbols, since the loss hardly depends on it and one symbol shows little.

    Raises:
        NotApplicable: there are too few candles.
    """
    decay = choose_lambda([np.diff(levels) for levels in past.levels()], past.horizon, past.lookback - 1)

    def draw(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
        levels, to_close = compute_levels(known.closes)
        steps = find_steps(levels)
        width = np.sqrt(compute_ewma_variance(steps, decay))
        drawn = width * rng.choice(standardise(steps), (n_paths, len(known.future)))
        return to_close(levels[-1] + drawn.cumsum(axis=1))

    return NaiveForecaster("ewma", "ewma", draw, moves=False)


def standardise(steps: Array) -> Array:
    """Return steps (n,) with mean 0 and standard deviation 1; zeros if all are equal."""
    centred = steps - steps.mean()
    width = centred.std()
    return centred / width if width > 0 else np.zeros_like(steps)


@dataclass(frozen=True, eq=False)
class DayProfile:
    """Root mean squares of steps by slot, the local time of day of the candle at a step's end.

    slots: (S,) microseconds since midnight, ascending. scales: (S,). usual: the scale of any other slot.
    """

    slots: Array
    scales: Array
    usual: float

    def scale(self, times: pd.DatetimeIndex) -> Array:
        """Return the scale (T,) of steps that end at local times (T,)."""
        slots = find_slots(times)
        at = np.minimum(np.searchsorted(self.slots, slots), len(self.slots) - 1)
        return np.where(self.slots[at] == slots, self.scales[at], self.usual)


def find_slots(times: pd.DatetimeIndex) -> Array:
    """Return the times of day (T,) of local times, microseconds since midnight."""
    slots: Array = times.as_unit("us").asi8 % (DAY.length // pd.Timedelta(microseconds=1))
    return slots


def measure_profile(steps: Array, slots: Array) -> DayProfile:
    """Measure the profile of steps (T,) by their slots (T,). The first candle of a day carries the step over the night.

    The mean square of a slot is shrunk to that of all steps, as if PRIOR_DAYS average steps had been seen there too.

    Raises:
        NotApplicable: the day has too few slots, they hold too few steps, or no step differs from 0.
    """
    found, which, counts = np.unique(slots, return_inverse=True, return_counts=True)
    if len(found) < FEWEST_SLOTS or np.median(counts) < FEWEST_DAYS:
        n_days = int(np.median(counts)) if len(counts) else 0
        raise NotApplicable("few_for_profile", slots=len(found), days=n_days, least=FEWEST_DAYS)
    usual = float(np.square(steps).mean())
    if usual == 0:
        raise NotApplicable("still_price")
    squares = np.bincount(which, np.square(steps))
    return DayProfile(found, np.sqrt((squares + PRIOR_DAYS * usual) / (counts + PRIOR_DAYS)), float(np.sqrt(usual)))


def build_time_of_day(past: PastCloses) -> Forecaster:
    """Fit the baseline `time_of_day`: a profile for each symbol, and one decay for all.

    A symbol without fitting data gets the profile of the others.

    Raises:
        NotApplicable: candles are a day or longer, or there are too few.
    """
    if past.interval >= DAY.length:
        raise NotApplicable("not_intraday")
    profiles, shared, flat = measure_profiles(past)
    decay = choose_lambda(flat, past.horizon, past.lookback - 1)

    def draw(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
        profile = profiles.get(known.symbol, shared)
        levels, to_close = compute_levels(known.closes)
        steps = find_steps(levels) / profile.scale(cast(pd.DatetimeIndex, known.candles.index[1:]))
        width = np.sqrt(compute_ewma_variance(steps, decay)) * profile.scale(known.future)  # (H,)
        drawn = width * rng.choice(standardise(steps), (n_paths, len(known.future)))
        return to_close(levels[-1] + drawn.cumsum(axis=1))

    return NaiveForecaster("time_of_day", "time_of_day", draw, moves=False)


def measure_profiles(past: PastCloses) -> tuple[dict[str, DayProfile], DayProfile, list[Array]]:
    """Return the profile of each symbol, that of all symbols together, and all stretches of steps divided by their scale.

    Raises:
        NotApplicable: no symbol has a profile.
    """
    profiles: dict[str, DayProfile] = {}
    flat: list[Array] = []
    pooled: list[tuple[Array, Array]] = []
    reason = NotApplicable("few_for_profile", slots=0, days=0, least=FEWEST_DAYS)
    for symbol, stretches in past.stretches.items():
        steps = [np.diff(np.log(each.to_numpy())) for each in stretches]
        times = [cast(pd.DatetimeIndex, each.index[1:]) for each in stretches]
        slots = np.concatenate([find_slots(each) for each in times])
        try:
            profile = profiles[symbol] = measure_profile(np.concatenate(steps), slots)
        except NotApplicable as error:
            reason = error
            continue
        pooled.append((np.concatenate(steps) / profile.usual, slots))
        flat += [each / profile.scale(time) for each, time in zip(steps, times)]
    if not profiles:
        raise reason
    shared = measure_profile(*(np.concatenate(parts) for parts in zip(*pooled)))
    return profiles, shared, flat
