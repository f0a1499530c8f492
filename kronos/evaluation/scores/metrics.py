"""Score sampled paths against the actual values, at each step of the horizon; figures.py has the figures of an evaluation.

Paths are (..., P, H): P sampled futures of H candles. Actual values are (..., H), in the same units. Errors, scores and
direction are computed for each origin; an information coefficient is computed over N origins together. Direction needs paths
and actual values as moves from the last known close; a common offset changes none of the other figures.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.evaluation.scores.quantiles import find_median

FEWEST_ORIGINS = 3  # for a correlation: two points always lie on a line
SMALLEST_SPREAD = 1e-9  # relative to the values; a smaller spread is rounding


@dataclass(frozen=True)
class Metric:
    """A metric of forecasts.

    compute: takes paths (..., P, H) and actual values (..., H) and returns (..., H), one figure per origin; or takes
    (N, P, H) and (N, H) and returns (H,), one figure for all origins. NaN means that the metric does not apply.
    undefined: the value that replaces NaN in the average; NaN: such figures are left out.
    """

    compute: Callable[[Array, Array], Array]
    higher_is_better: bool = False
    undefined: float = float("nan")

    def average(self, paths: Array, actual: Array) -> float:
        """Return the mean over origins and horizon for paths (N, P, H) and actual (N, H); NaN if no figure is defined."""
        figures = self.compute(paths, actual)
        figures = np.where(np.isnan(figures), self.undefined, figures)
        counting = figures[~np.isnan(figures)]
        return float(counting.mean()) if counting.size else float("nan")


def compute_crps(paths: Array, actual: Array, fair: bool = True) -> Array:
    """Return the continuous ranked probability score (..., H) in the units of actual; 0 is best.

    It is E|X - y| - E|X - X'| / 2 with X, X' drawn from the forecast (Gneiting & Raftery 2007, doi
    10.1198/016214506000001437, eq. 21 with the sign reversed). For the empirical distribution of the paths it equals the
    integral of the squared difference of the distribution functions (eq. 20).

    Args:
        fair: compute E|X - X'| over pairs of different paths. The expected score then does not depend on the number of
            paths and does not reward too narrow forecasts (Ferro 2014, doi 10.1002/qj.2270). A single score may be
            negative. If false, compute it over all pairs, including each path with itself.

    Raises:
        ValueError: there is one path, and fair is true.
    """
    n_paths = paths.shape[-2]
    if fair and n_paths < 2:
        raise ValueError("the fair CRPS needs at least 2 paths, got 1")
    error = np.abs(paths - actual[..., np.newaxis, :]).mean(axis=-2)
    # In ascending order, path i is the larger one of i pairs and the smaller one of P - 1 - i.
    weights = 2.0 * np.arange(n_paths) - (n_paths - 1)
    sum_over_pairs = np.einsum("...ph,p->...h", np.sort(paths, axis=-2), weights)
    spread = sum_over_pairs / (n_paths * (n_paths - 1 if fair else n_paths))
    crps: Array = error - spread
    return crps


def compute_absolute_error(paths: Array, actual: Array) -> Array:
    """Return the absolute error (..., H) of the median path at each step of the horizon."""
    error: Array = np.abs(find_median(paths) - actual)
    return error


def compute_fair_absolute_error(paths: Array, actual: Array) -> Array:
    """Return an estimate (..., H) of the absolute error that the median of infinitely many paths would have.

    The median of P paths differs by chance from the median of their distribution, and more so if the paths are wide. This
    adds a term proportional to 1 / P to the expected error, which favours narrow forecasts. The errors of all P paths, e_P,
    and of their halves, e_n with n = P // 2, cancel it (Richardson extrapolation): (P e_P − n e_n) / (P − n). As with
    the fair CRPS, a single value may be negative.

    Raises:
        ValueError: there is only one path.
    """
    n_paths = paths.shape[-2]
    if n_paths < 2:
        raise ValueError("the fair absolute error needs at least 2 paths, got 1")
    half = n_paths // 2
    of_halves = [compute_absolute_error(paths[..., k : 2 * half : 2, :], actual) for k in (0, 1)]
    of_all = compute_absolute_error(paths, actual)
    error: Array = (n_paths * of_all - half * np.mean(of_halves, axis=0)) / (n_paths - half)
    return error


def compute_direction_hits(paths: Array, actual: Array) -> Array:
    """Return whether the median path moved in the same direction as the actual value (..., H): 1 if so, 0 if not.

    Args:
        paths, actual: moves from the last known close.

    Returns:
        (..., H): 0.5, as for a coin toss, where the median does not move; NaN where the actual value does not move.
    """
    forecast, direction = np.sign(find_median(paths)), np.sign(actual)
    hits = np.where(forecast == 0, 0.5, forecast == direction)
    return np.where(direction == 0, np.nan, hits)


def compute_ic(paths: Array, actual: Array) -> Array:
    """Return the information coefficient (H,): Pearson's correlation of mean path and actual value over N origins.

    Source: Grinold & Kahn 2000, Active Portfolio Management, ch. 6. All origins form one sample, whatever their symbol and
    time; it is not a cross-section of symbols at one time.

    Args:
        paths, actual: (N, P, H) and (N, H), returns or moves that are comparable between origins.

    Returns:
        (H,): NaN at steps where all forecasts or all actual values are equal, or with fewer than FEWEST_ORIGINS origins.
    """
    return _correlate(paths.mean(axis=-2), actual)


def compute_rank_ic(paths: Array, actual: Array) -> Array:
    """Return the rank information coefficient (H,): `compute_ic` with Spearman's correlation.

    Equal values share their mean rank. Arguments and NaN are those of `compute_ic`.
    """
    forecast = paths.mean(axis=-2)
    known = _vary(forecast, actual) & _vary(actual, actual)  # ranks hide rounding differences
    return np.where(known, _correlate(_rank(forecast), _rank(actual)), np.nan)


def _rank(values: Array) -> Array:
    """Return the ranks (N, H), from 1, of each column of (N, H)."""
    return pd.DataFrame(values).rank().to_numpy()


def _correlate(first: Array, second: Array) -> Array:
    """Return Pearson's correlation (H,) of the columns of first and second (N, H)."""
    known = _vary(first, second) & _vary(second, second)
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    scale = np.sqrt(np.square(first).sum(axis=0) * np.square(second).sum(axis=0))
    products = (first * second).sum(axis=0)
    correlation = np.full(known.shape, np.nan)
    np.divide(products, scale, out=correlation, where=known & (scale > 0))
    clipped: Array = np.clip(correlation, -1, 1)
    return clipped


def _vary(values: Array, other: Array) -> Array:
    """Whether each column (H,) of values (N, H) varies by more than rounding, relative to its size and to other's spread."""
    if len(values) < FEWEST_ORIGINS:
        return np.zeros(values.shape[1:], bool)
    size = np.maximum(np.abs(values).max(axis=0), np.ptp(other, axis=0))
    varies: Array = np.ptp(values, axis=0) > SMALLEST_SPREAD * size
    return varies


METRICS = {
    "crps": Metric(compute_crps),
    "mae": Metric(compute_absolute_error),
    "direction": Metric(compute_direction_hits, higher_is_better=True),
    # A model that forecasts the same move everywhere has no skill, but it is not damaged: it scores 0, not NaN.
    "ic": Metric(compute_ic, higher_is_better=True, undefined=0.0),
}
