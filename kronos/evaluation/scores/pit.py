"""Where the actual value fell in the forecast distribution: the probability integral transform, uniform if calibrated.

An actual value with b of P paths below it and e equal to it has one of the ranks b … b + e among the P + 1 values, each as likely as
the other if it and the paths are of one distribution. Its transform is therefore anywhere in [b, b + e + 1] / (P + 1), and
exactly uniform whatever P, ties included (Hamill 2001, doi 10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2, for the ranks;
Czado, Gneiting & Held 2009, doi 10.1111/j.1541-0420.2009.01191.x, for the transform of steps).
"""

import numpy as np

from kronos.candles import Array
from kronos.evaluation.results import PIT_BINS


def count_pit(paths: Array, actual: Array) -> tuple[int, ...]:
    """Count how many of all actual values (N, H) fell into each of PIT_BINS equal parts of the forecast distribution.

    Nothing is drawn: each value is spread evenly over the parts in which its transform may lie (the nonrandomised
    transform of Czado, Gneiting & Held 2009), and the sums up to each edge are rounded, so that the counts sum to N · H.
    """
    low, high = (side.ravel() for side in _bracket(paths, actual))
    edges = np.arange(PIT_BINS + 1) / PIT_BINS
    below = [np.clip((edge - low) / (high - low), 0, 1).sum() for edge in edges]  # (PIT_BINS + 1,)
    counts: list[int] = np.diff(np.rint(below)).astype(int).tolist()
    return tuple(counts)


def _bracket(paths: Array, actual: Array) -> tuple[Array, Array]:
    """Return the lowest and the highest transform possible, (N, H) each; at least 1 / (P + 1) apart."""
    n_ranks = paths.shape[-2] + 1
    below = (paths < actual[..., np.newaxis, :]).sum(axis=-2)
    not_above = (paths <= actual[..., np.newaxis, :]).sum(axis=-2)
    return below / n_ranks, (not_above + 1) / n_ranks
