"""Figures of sampled paths against the actual, for each time of the horizon on its own; figures.py has those of an evaluation.

Throughout, paths are (..., P, H), P sampled futures of H candles, and actual is (..., H), what came, in the same units.
Errors, scores and direction are of each origin on its own; an information coefficient only N origins together have.
Direction takes paths and actual as moves from the last known close; the other figures are the same wherever zero lies.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.candles import Array

FEWEST_ORIGINS = 3  # of a correlation: two points always lie on a line
SMALLEST_SPREAD = 1e-9  # of the values; what differs less, by rounding, is constant


@dataclass(frozen=True)
class Metric:
    """A figure of forecasts.

    compute: takes paths (..., P, H) and actual (..., H) and returns (..., H), each origin on its own; or takes (N, P, H) and
    (N, H) and returns (H,), what all origins together have. NaN where the figure does not apply.
    undefined: what NaN counts as in the average; NaN: it does not count.
    """

    compute: Callable[[Array, Array], Array]
    higher_is_better: bool = False
    undefined: float = float("nan")

    def average(self, paths: Array, actual: Array) -> float:
        """Return the mean over origins and horizon of paths (N, P, H) and actual (N, H); NaN where nothing counts."""
        figures = self.compute(paths, actual)
        figures = np.where(np.isnan(figures), self.undefined, figures)
        counting = figures[~np.isnan(figures)]
        return float(counting.mean()) if counting.size else float("nan")


def compute_crps(paths: Array, actual: Array, fair: bool = True) -> Array:
    """Return the continuous ranked probability score (..., H) in the units of actual; 0 is best.

    E|X - y| - E|X - X'| / 2 with X, X' drawn from the forecast (Gneiting & Raftery 2007, doi 10.1198/016214506000001437,
    eq. 21 with the sign turned), which for the paths' own step distribution is the integral of the squared difference
    of the distribution functions (eq. 20).

    Args:
        fair: take E|X - X'| over pairs of different paths, so that the score does not depend on their number in
            expectation and does not reward too narrow forecasts (Ferro 2014, doi 10.1002/qj.2270); may fall below 0.
            Otherwise over all pairs, a path with itself included.

    Raises:
        ValueError: one path, of which the fair score knows no spread.
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
    """Return the absolute error (..., H) of the median path, each time of the horizon on its own."""
    error: Array = np.abs(np.median(paths, axis=-2) - actual)
    return error


def compute_fair_absolute_error(paths: Array, actual: Array) -> Array:
    """Return the absolute error (..., H) that the median of ever more such paths would have, in expectation.

    The median of P paths is off that of their distribution by chance, the further the wider they lie, which adds about
    1 / P to the expected error: against an equal forecast a narrower one would win by that alone. The errors of all P
    and of each half of them, n = P // 2, tell how much it adds (Richardson's extrapolation): (P e_P − n e_n) / (P − n).
    As with the fair CRPS, a single one may fall below 0.

    Raises:
        ValueError: one path, which has no halves.
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
    """Return whether the median path moved to the side that the actual did (..., H): 1 if so, 0 if not.

    Args:
        paths, actual: moves from the last known close.

    Returns:
        (..., H); 0.5, a coin's toss, where the median does not move; NaN where the actual does not, which then does not
        count.
    """
    forecast, came = np.sign(np.median(paths, axis=-2)), np.sign(actual)
    hits = np.where(forecast == 0, 0.5, forecast == came)
    return np.where(came == 0, np.nan, hits)


def compute_ic(paths: Array, actual: Array) -> Array:
    """Return the information coefficient (H,): Pearson's correlation, over N origins, of the mean path and the actual.

    Grinold & Kahn 2000, Active Portfolio Management, ch. 6. All origins are one sample, whatever their symbol and time:
    this is no cross-section of symbols at one time.

    Args:
        paths, actual: (N, P, H) and (N, H), returns or moves that may be compared from origin to origin.

    Returns:
        (H,); NaN at times when the forecasts or the truths are all equal, and of fewer than FEWEST_ORIGINS origins.
    """
    return _correlate(paths.mean(axis=-2), actual)


def compute_rank_ic(paths: Array, actual: Array) -> Array:
    """Return the rank information coefficient (H,): Spearman's correlation where `compute_ic` takes Pearson's.

    Equal values share their mean rank. Arguments and NaN are those of `compute_ic`.
    """
    forecast = paths.mean(axis=-2)
    known = _vary(forecast, actual) & _vary(
        actual, actual
    )  # of ranks nothing shows that values differ by rounding alone
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
    """Whether the columns (H,) of values (N, H) differ by more than rounding, measured by their size and the other's."""
    if len(values) < FEWEST_ORIGINS:
        return np.zeros(values.shape[1:], bool)
    size = np.maximum(np.abs(values).max(axis=0), np.ptp(other, axis=0))
    varies: Array = np.ptp(values, axis=0) > SMALLEST_SPREAD * size
    return varies


METRICS = {
    "crps": Metric(compute_crps),
    "mae": Metric(compute_absolute_error),
    "direction": Metric(compute_direction_hits, higher_is_better=True),
    # A model that forecasts the same move everywhere shows no skill, which is not to say that it is damaged.
    "ic": Metric(compute_ic, higher_is_better=True, undefined=0.0),
}
