"""Figures of sampled paths against the truth, for each origin and time of the horizon on its own.

Throughout, paths are (..., P, H), P sampled futures of H candles, and truth is (..., H), what came, in the same units.
Direction takes both as moves from the last known close; the other figures are the same wherever zero lies.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kronos.candles import Array


@dataclass(frozen=True)
class Metric:
    """A figure: compute takes paths (..., P, H) and truth (..., H) and returns (..., H), NaN where it does not apply."""

    compute: Callable[[Array, Array], Array]
    higher_is_better: bool = False


def compute_crps(paths: Array, truth: Array, fair: bool = True) -> Array:
    """Return the continuous ranked probability score (..., H) in the units of truth; 0 is best.

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
    error = np.abs(paths - truth[..., np.newaxis, :]).mean(axis=-2)
    # In ascending order, path i is the larger one of i pairs and the smaller one of P - 1 - i.
    weights = 2.0 * np.arange(n_paths) - (n_paths - 1)
    sum_over_pairs = np.einsum("...ph,p->...h", np.sort(paths, axis=-2), weights)
    spread = sum_over_pairs / (n_paths * (n_paths - 1 if fair else n_paths))
    crps: Array = error - spread
    return crps


def compute_absolute_error(paths: Array, truth: Array) -> Array:
    """Return the absolute error (..., H) of the median path, each time of the horizon on its own."""
    error: Array = np.abs(np.median(paths, axis=-2) - truth)
    return error


def compute_direction_hits(paths: Array, truth: Array) -> Array:
    """Return whether the median path moved to the side that the truth did (..., H): 1 if so, 0 if not.

    Args:
        paths, truth: moves from the last known close.

    Returns:
        (..., H); 0.5, a coin's toss, where the median does not move; NaN where the truth does not, which then does not
        count.
    """
    forecast, came = np.sign(np.median(paths, axis=-2)), np.sign(truth)
    hits = np.where(forecast == 0, 0.5, forecast == came)
    return np.where(came == 0, np.nan, hits)


METRICS = {
    "crps": Metric(compute_crps),
    "mae": Metric(compute_absolute_error),
    "direction": Metric(compute_direction_hits, higher_is_better=True),
}
