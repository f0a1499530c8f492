"""Probability integral transform: the position of the actual value in the forecast distribution, uniform if calibrated.

If b of P paths are below the actual value and e are equal to it, its rank among the P + 1 values is one of b … b + e. These
ranks are equally likely if the actual value and the paths have the same distribution. The transform is therefore spread over
[b, b + e + 1] / (P + 1) and is exactly uniform for any P, ties included (ranks: Hamill 2001, doi
10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2; transform of step functions: Czado, Gneiting & Held 2009, doi
10.1111/j.1541-0420.2009.01191.x).
"""

import numpy as np

from kronos.candles import Array
from kronos.evaluation.records import PIT_BINS


def count_pit(paths: Array, actual: Array) -> tuple[int, ...]:
    """Count the actual values (N, H) in each of PIT_BINS equal parts of the forecast distribution.

    No random numbers are used. Each value is spread evenly over the range of its transform (the nonrandomised transform of
    Czado, Gneiting & Held 2009). The cumulative sums are rounded, which makes the counts add up to N · H.
    """
    low, high = (side.ravel() for side in _bracket(paths, actual))
    edges = np.arange(PIT_BINS + 1) / PIT_BINS
    below = [np.clip((edge - low) / (high - low), 0, 1).sum() for edge in edges]  # (PIT_BINS + 1,)
    counts: list[int] = np.diff(np.rint(below)).astype(int).tolist()
    return tuple(counts)


def _bracket(paths: Array, actual: Array) -> tuple[Array, Array]:
    """Return the lowest and the highest possible transform, (N, H) each; they differ by at least 1 / (P + 1)."""
    n_ranks = paths.shape[-2] + 1
    below = (paths < actual[..., np.newaxis, :]).sum(axis=-2)
    not_above = (paths <= actual[..., np.newaxis, :]).sum(axis=-2)
    return below / n_ranks, (not_above + 1) / n_ranks
