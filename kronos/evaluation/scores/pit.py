"""Probability integral transform: the position of the actual value in the forecast distribution, uniform if calibrated.

If b of P paths are below the actual value and e are equal to it, its rank among the P + 1 values is one of b … b + e. These
ranks are equally likely if the actual value and the paths have the same distribution. The transform is therefore spread over
[b, b + e + 1] / (P + 1) and is exactly uniform for any P, ties included (ranks: Hamill 2001, doi
10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2; transform of step functions: Czado, Gneiting & Held 2009, doi
10.1111/j.1541-0420.2009.01191.x).
"""

import numpy as np
from scipy import stats

from kronos.candles import Array
from kronos.evaluation.records import PIT_BINS
from kronos.evaluation.scores.resampling import measure_design_effect


def spread_pit(paths: Array, actual: Array) -> Array:
    """Return how many of the H actual values of each origin are in each part of the forecast distribution (N, PIT_BINS).

    No random numbers are used. Each value is spread evenly over the range of its transform (the nonrandomised transform of
    Czado, Gneiting & Held 2009), so the numbers are fractions. Each row sums to H.
    """
    low, high = _bracket(paths, actual)
    edges = np.arange(PIT_BINS + 1) / PIT_BINS
    below = [np.clip((edge - low) / (high - low), 0, 1).sum(axis=1) for edge in edges]
    spread: Array = np.diff(below, axis=0).T
    return spread


def count_pit(spread: Array) -> tuple[int, ...]:
    """Return the number of actual values in each part. The cumulative sums are rounded: the counts add up to N · H."""
    counts: list[int] = np.diff(np.rint(np.cumsum(spread.sum(axis=0))), prepend=0).astype(int).tolist()
    return tuple(counts)


def find_pit_band(spread: Array, starts: Array, ends: Array, confidence: float) -> tuple[float, float]:
    """Return the range that contains all PIT_BINS counts of a calibrated forecast with the given confidence.

    The variance of a count is the binomial one times `measure_design_effect`, because the values of one origin, and of
    overlapping horizons, are not independent. Šidák's correction makes the range hold for all counts at once.
    """
    n, share = spread.sum(), 1 / PIT_BINS
    quantile = stats.norm.isf((1 - confidence ** (1 / PIT_BINS)) / 2)
    reach = quantile * np.sqrt(n * share * (1 - share) * measure_design_effect(spread, starts, ends))
    return max(float(n * share - reach), 0.0), float(n * share + reach)


def _bracket(paths: Array, actual: Array) -> tuple[Array, Array]:
    """Return the lowest and the highest possible transform, (N, H) each; they differ by at least 1 / (P + 1)."""
    n_ranks = paths.shape[-2] + 1
    below = (paths < actual[..., np.newaxis, :]).sum(axis=-2)
    not_above = (paths <= actual[..., np.newaxis, :]).sum(axis=-2)
    return below / n_ranks, (not_above + 1) / n_ranks
