"""The baseline `garch`: a GARCH(1,1) model with Student-t innovations (Bollerslev 1987, doi 10.2307/1925546), fitted by `arch`.

The variance of a step r_t is h_t = ω + α r²_{t−1} + β h_{t−1}. The mean of a step is 0.
"""

import warnings
from functools import cache
from typing import NamedTuple

import numpy as np

from kronos.candles import Array
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput, NotApplicable, PastCloses
from kronos.evaluation.forecasters.naive import NaiveForecaster, compute_levels, find_steps

MOST_STEPS = 5000  # the last ones of a symbol; more make the fit slower, and older ones may follow another law
FEWEST_STEPS = 250
N_SHARED = 10  # symbols whose median is used for those that cannot be fitted


class Garch(NamedTuple):
    """The parameters ω, α, β, and ν, the degrees of freedom of the innovations. The unit of steps is that of the fit."""

    omega: float
    alpha: float
    beta: float
    nu: float

    @property
    def persistence(self) -> float:
        return self.alpha + self.beta


def fit_garch(steps: Array) -> Garch:
    """Fit to steps (T,), by maximum likelihood.

    Raises:
        NotApplicable: there are too few steps, too many equal 0, or the fit fails.
    """
    steps = steps[-MOST_STEPS:]
    if len(steps) < FEWEST_STEPS:
        raise NotApplicable("few_for_fit", n=len(steps), least=FEWEST_STEPS)
    unit = steps.std()
    if unit == 0 or np.count_nonzero(steps) < len(steps) / 2:
        raise NotApplicable("still_price")
    from arch import arch_model  # slow to import

    model = arch_model(steps / unit, mean="Zero", vol="GARCH", p=1, q=1, dist="t", rescale=False)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        result = model.fit(disp="off", show_warning=False)
    fitted = Garch(*(float(result.params[name]) for name in ("omega", "alpha[1]", "beta[1]", "nu")))
    if result.convergence_flag or not np.isfinite(fitted).all() or fitted.persistence > 1 + 1e-6:
        raise NotApplicable("garch_no_fit")
    return fitted._replace(omega=fitted.omega * unit**2)


def filter_variance(fitted: Garch, steps: Array) -> Array:
    """Return the variance (...) of the step that follows steps (..., T); the recursion starts from their mean square."""
    from scipy.signal import lfilter  # slow to import

    squared = np.square(steps)
    start = squared.mean(axis=-1, keepdims=True)
    variance, _ = lfilter([1.0], [1.0, -fitted.beta], fitted.omega + fitted.alpha * squared, zi=fitted.beta * start)
    last: Array = variance[..., -1]
    return last


def simulate_garch(fitted: Garch, variance: Array, shocks: Array) -> Array:
    """Simulate moves since the origin (..., P, H) by shocks (..., P, H) of variance 1.

    Args:
        variance: (...), of the first step.
    """
    moves = np.empty_like(shocks)
    now = np.broadcast_to(variance[..., np.newaxis], shocks.shape[:-1])
    for h in range(shocks.shape[-1]):
        moves[..., h] = np.sqrt(now) * shocks[..., h]
        now = fitted.omega + fitted.alpha * np.square(moves[..., h]) + fitted.beta * now
    return moves.cumsum(axis=-1)


def draw_shocks(fitted: Garch, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Draw from Student's t with ν degrees of freedom, scaled to variance 1."""
    shocks: Array = rng.standard_t(fitted.nu, shape) * np.sqrt((fitted.nu - 2) / fitted.nu)
    return shocks


def build_garch(past: PastCloses) -> Forecaster:
    """Fit the baseline `garch`, each symbol when it is first forecast.

    A symbol that cannot be fitted gets the median α, β and ν of others, and the ω that fits the variance of its lookback.

    Raises:
        NotApplicable: no symbol can be fitted.
    """
    steps = {
        symbol: np.concatenate([np.diff(np.log(each.to_numpy())) for each in stretches])
        for symbol, stretches in past.stretches.items()
    }

    @cache
    def fit(symbol: str) -> Garch | NotApplicable:
        try:
            return fit_garch(steps.get(symbol, np.empty(0)))
        except NotApplicable as error:
            return error

    names = list(steps)
    tried = [fit(names[i]) for i in np.unique(np.linspace(0, len(names) - 1, N_SHARED).astype(int))] if names else []
    fits = [each for each in tried if isinstance(each, Garch)]
    if not fits:
        raise next(
            (each for each in tried if isinstance(each, NotApplicable)),
            NotApplicable("few_for_fit", n=0, least=FEWEST_STEPS),
        )
    shared = Garch(*np.median(fits, axis=0).tolist())

    def draw(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
        levels, to_close = compute_levels(known.closes)
        steps = find_steps(levels)
        fitted = fit(known.symbol)
        if isinstance(fitted, NotApplicable):
            fitted = shared._replace(omega=(1 - min(shared.persistence, 1.0)) * float(np.square(steps).mean()))
        shocks = draw_shocks(fitted, (n_paths, len(known.future)), rng)
        return to_close(levels[-1] + simulate_garch(fitted, filter_variance(fitted, steps), shocks))

    return NaiveForecaster("garch", "garch", draw, moves=False)
