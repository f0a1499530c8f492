"""Backtests: exact for few forecasts, the usual chi-squared tests for many, and as often wrong as they say."""

import numpy as np
import pytest
from scipy.stats import chi2

from kronos.risk.backtests import backtest, find_coverage_p, find_independence_p


def test_coverage_of_many_is_the_usual_test() -> None:
    n, count, share = 10_000, 545, 0.05
    observed = count / n
    ratio = 2 * (count * np.log(observed / share) + (n - count) * np.log((1 - observed) / (1 - share)))
    assert find_coverage_p(count, n, share) == pytest.approx(chi2.sf(ratio, 1), abs=2e-3)


def test_coverage_of_few_is_exact() -> None:
    """Of 10 forecasts at 95 %: 0 exceedances are the most likely count, so none is less extreme."""
    assert find_coverage_p(0, 10, 0.05) == pytest.approx(1 - 10 * 0.05 * 0.95**9)
    assert find_coverage_p(10, 10, 0.05) == pytest.approx(0.05**10)
    assert np.isnan(find_coverage_p(0, 0, 0.05))


@pytest.mark.parametrize("n", [5, 20, 60, 250])
def test_coverage_rejects_at_most_as_often_as_said(n: int) -> None:
    counts = np.random.default_rng(n).binomial(n, 0.05, 4000)
    p = {count: find_coverage_p(count, n, 0.05) for count in set(counts.tolist())}
    assert np.mean([p[count] <= 0.05 for count in counts.tolist()]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


def test_clusters_are_found_and_their_absence_is_not() -> None:
    clustered = np.zeros(200, bool)
    clustered[50:60] = True
    spread = np.zeros(200, bool)
    spread[::20] = True
    assert find_independence_p(clustered) < 0.001
    assert find_independence_p(spread) > 0.05


@pytest.mark.slow
def test_independence_rejects_at_most_as_often_as_said() -> None:
    rng = np.random.default_rng(0)
    n_runs = 150
    rejected = sum(find_independence_p(rng.random(60) < 0.1) <= 0.1 for _ in range(n_runs))
    assert rejected <= n_runs * 0.1 + 3 * np.sqrt(n_runs * 0.1 * 0.9)


def test_a_backtest() -> None:
    exceeded = np.zeros(100, bool)
    exceeded[[10, 50, 90]] = True
    found = backtest(exceeded, 0.95)
    assert (found.n, found.n_exceeded, found.n_expected) == (100, 3, pytest.approx(5))
    assert found.p_coverage > 0.3 and found.p_independence > 0.05
    assert np.isnan(backtest(exceeded[:20], 0.95).p_independence)
