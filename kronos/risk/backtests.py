"""Backtests of a value at risk: whether losses exceed it as often as said, and independently of one another.

Both tests are likelihood ratios. Their usual p-values hold for very many exceedances only, and a few dozen forecasts have one
or two. The p-values here are exact: those of coverage by summing over all possible counts, those of independence by drawing
the order anew, which given the count is equally likely in any order (Dufour 2006, doi 10.1016/j.jeconom.2005.06.007).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlog1py, xlogy
from scipy.stats import binom

from kronos.candles import Array

N_DRAWS = 9_999
SEED = 0
TOLERANCE = 1e-9  # of statistics that are equal but for rounding


@dataclass(frozen=True)
class Backtest:
    """How the losses of n forecasts compare with their value at risk.

    confidence: of the value at risk. n_exceeded: losses above it; n · (1 − confidence) are expected. p_coverage: of Kupiec's
    test that they are as many. p_independence: of Christoffersen's test that one exceedance does not make the next one more
    or less likely; NaN if there are fewer than two.
    """

    confidence: float
    n: int
    n_exceeded: int
    p_coverage: float
    p_independence: float

    @property
    def n_expected(self) -> float:
        return self.n * (1 - self.confidence)


def backtest(exceeded: Array, confidence: float) -> Backtest:
    """Test exceedances.

    Args:
        exceeded: (n,) bool, in order of time, of forecasts whose horizons do not overlap.
        confidence: of the value at risk.
    """
    n, count = len(exceeded), int(exceeded.sum())
    independence = find_independence_p(exceeded) if count >= 2 else float("nan")
    return Backtest(confidence, n, count, find_coverage_p(count, n, 1 - confidence), independence)


def find_coverage_p(count: int, n: int, share: float) -> float:
    """Return the p-value of Kupiec's test (1995, doi 10.3905/jod.1995.407942, table 1) of count exceedances in n.

    The statistic is the likelihood ratio of the expected share against the observed one.
    """
    if not n:
        return float("nan")
    counts = np.arange(n + 1)
    ratios = _log_likelihood(counts, n, counts / n) - _log_likelihood(counts, n, share)
    return float(binom.pmf(counts[ratios >= ratios[count] - TOLERANCE], n, share).sum().clip(0, 1))


def find_independence_p(exceeded: Array) -> float:
    """Return the p-value of Christoffersen's test of independence (1998, doi 10.2307/2527341, section 3.2)."""
    rng = np.random.default_rng(SEED)
    drawn = rng.permuted(np.tile(exceeded, (N_DRAWS, 1)), axis=1)
    observed, others = _measure_dependence(exceeded[np.newaxis])[0], _measure_dependence(drawn)
    return float((1 + (others >= observed - TOLERANCE).sum()) / (1 + N_DRAWS))


def _measure_dependence(exceeded: Array) -> Array:
    """Return the log likelihood ratio (M,) of a Markov chain against independence, of M sequences (M, n)."""
    before, after = exceeded[:, :-1], exceeded[:, 1:]
    n_after_calm, n_after_loss = (~before).sum(1), before.sum(1)
    calm_loss, loss_loss = (~before & after).sum(1), (before & after).sum(1)
    n = exceeded.shape[1] - 1
    chain = _log_likelihood(calm_loss, n_after_calm, _divide(calm_loss, n_after_calm))
    chain = chain + _log_likelihood(loss_loss, n_after_loss, _divide(loss_loss, n_after_loss))
    ratio: Array = chain - _log_likelihood(calm_loss + loss_loss, n, (calm_loss + loss_loss) / n)
    return ratio


def _log_likelihood(counts: Array, n: Array | int, share: Array | float) -> Array:
    value: Array = xlogy(counts, share) + xlog1py(n - counts, -share)
    return value


def _divide(counts: Array, n: Array) -> Array:
    return counts / np.maximum(n, 1)
