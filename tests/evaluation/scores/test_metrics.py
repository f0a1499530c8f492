"""The figures of sampled paths, against computations of another kind."""

import math
import warnings

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from kronos.evaluation.scores.metrics import (
    METRICS,
    compute_absolute_error,
    compute_crps,
    compute_direction_hits,
    compute_fair_absolute_error,
    compute_ic,
    compute_rank_ic,
)

numbers = st.floats(-100, 100)


def integrate_crps(paths: np.ndarray, actual: float) -> float:
    """The integral of (F(x) - 1{x >= actual})², exactly: between two of the points it is constant."""
    points = np.sort(np.append(paths, actual))
    middles, widths = (points[1:] + points[:-1]) / 2, np.diff(points)
    distribution = (paths[:, np.newaxis] <= middles).mean(axis=0)
    return float((np.square(distribution - (middles >= actual)) * widths).sum())


@given(st.lists(numbers, min_size=1, max_size=8), numbers)
def test_crps_is_the_integral_over_the_distribution_functions(paths: list[float], actual: float) -> None:
    found = compute_crps(np.array(paths)[:, np.newaxis], np.array([actual]), fair=False)
    assert found == pytest.approx([integrate_crps(np.array(paths), actual)], abs=1e-9)


@given(st.lists(numbers, min_size=2, max_size=8), numbers)
def test_the_fair_crps_takes_pairs_of_different_paths(paths: list[float], actual: float) -> None:
    pairs = [abs(a - b) for i, a in enumerate(paths) for j, b in enumerate(paths) if i != j]
    expected = np.mean([abs(a - actual) for a in paths]) - np.mean(pairs) / 2
    assert compute_crps(np.array(paths)[:, np.newaxis], np.array([actual])) == pytest.approx([expected], abs=1e-9)


@pytest.mark.parametrize("fair, estimator", [(True, "fair"), (True, "pwm"), (False, "nrg"), (False, "qd")])
def test_crps_is_that_of_scoringrules(fair: bool, estimator: str) -> None:
    generator = np.random.default_rng(0)
    paths, actual = generator.standard_t(4, size=(40, 25, 6)), generator.normal(size=(40, 6))
    expected = scoringrules.crps_ensemble(actual, paths, m_axis=1, estimator=estimator)
    np.testing.assert_allclose(compute_crps(paths, actual, fair=fair), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n_paths", [2, 5, 20])
def test_the_fair_crps_expects_that_of_the_distribution_however_many_paths(n_paths: int) -> None:
    """Against the closed form for a normal distribution (Gneiting & Raftery 2007, below eq. 21)."""
    actual = 0.7
    density, cumulative = math.exp(-(actual**2) / 2) / math.sqrt(2 * math.pi), (1 + math.erf(actual / math.sqrt(2))) / 2
    exact = actual * (2 * cumulative - 1) + 2 * density - 1 / math.sqrt(math.pi)
    paths = np.random.default_rng(0).normal(size=(200_000 // n_paths, n_paths, 1))
    actuals = np.full((len(paths), 1), actual)
    assert compute_crps(paths, actuals).mean() == pytest.approx(exact, abs=0.008)
    assert compute_crps(paths, actuals, fair=False).mean() > exact + 0.02 * (n_paths < 20)


def test_the_fair_crps_of_one_path_is_not_defined() -> None:
    with pytest.raises(ValueError, match="at least 2 paths, got 1"):
        compute_crps(np.zeros((1, 3)), np.zeros(3))


@pytest.mark.parametrize("name", ["crps", "mae", "direction"])
def test_figures_are_of_each_origin_and_time_on_its_own(name: str) -> None:
    generator = np.random.default_rng(0)
    paths, actual = generator.normal(size=(2, 3, 6, 4)), generator.normal(size=(2, 3, 4))
    compute = METRICS[name].compute
    together = compute(paths, actual)
    assert together.shape == (2, 3, 4)
    assert together[1, 2, 3] == pytest.approx(compute(paths[1, 2, :, 3:], actual[1, 2, 3:])[0])


def test_absolute_error_is_of_the_median() -> None:
    paths = np.array([[0.0, 5.0], [1.0, 5.0], [9.0, 8.0]])
    assert compute_absolute_error(paths, np.array([3.0, 5.0])).tolist() == [2.0, 0.0]


def test_direction_counts_ties_of_the_forecast_half_and_leaves_out_those_of_the_truth() -> None:
    medians = np.array([[1.0, -1.0, 1.0, -2.0, 0.0, 1.0, 0.0]])
    actual = np.array([3.0, -1.0, -1.0, 1.0, 1.0, 0.0, 0.0])
    hits = compute_direction_hits(medians, actual)
    np.testing.assert_array_equal(hits, [1, 1, 0, 0, 0.5, np.nan, np.nan])


@pytest.mark.parametrize("n_origins", [3, 4, 60])
def test_information_coefficients_are_the_correlations_of_the_mean_path(n_origins: int) -> None:
    generator = np.random.default_rng(n_origins)
    actual = generator.normal(size=(n_origins, 5))
    paths = (0.3 * actual + generator.normal(size=actual.shape))[:, np.newaxis] + generator.exponential(
        size=(n_origins, 7, 5)
    )
    mean = paths.mean(axis=1)
    linear = [stats.pearsonr(mean[:, h], actual[:, h]).statistic for h in range(5)]
    ranked = [stats.spearmanr(mean[:, h], actual[:, h]).statistic for h in range(5)]
    np.testing.assert_allclose(compute_ic(paths, actual), linear, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(compute_rank_ic(paths, actual), ranked, rtol=1e-10, atol=1e-12)


@given(hnp.arrays(np.float64, (2, 9), elements=st.integers(-3, 3).map(float)))
def test_ranks_of_ties(values: np.ndarray) -> None:
    """Ties in either; where all values are equal, SciPy has NaN too."""
    forecast, actual = values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        linear, ranked = stats.pearsonr(forecast, actual).statistic, stats.spearmanr(forecast, actual).statistic
    paths = np.stack([forecast, forecast])[..., np.newaxis].swapaxes(0, 1)  # (9, 2, 1)
    np.testing.assert_allclose(compute_ic(paths, actual[:, np.newaxis]), [linear], atol=1e-12)
    np.testing.assert_allclose(compute_rank_ic(paths, actual[:, np.newaxis]), [ranked], atol=1e-12)


@pytest.mark.parametrize("compute", [compute_ic, compute_rank_ic])
def test_what_does_not_vary_correlates_with_nothing(compute) -> None:
    """Rounding is no variation, whether of a forecast of no move or of the same move; two points always lie on a line."""
    generator = np.random.default_rng(0)
    actual = 0.01 * generator.normal(size=(50, 1))
    noise = 1e-17 * generator.normal(size=(50, 4, 1))
    for constant in (np.zeros((50, 4, 1)), noise, 0.002 + noise, np.full((50, 4, 1), 0.1)):
        assert np.isnan(compute(constant, actual)).all()
    varied = generator.normal(size=(50, 4, 1))
    for same in (np.full((50, 1), 0.1), np.where(actual > 0, 0.3, 0.1 + 0.2)):  # which is 0.30000000000000004
        assert np.isnan(compute(varied, same)).all()
    assert np.isfinite(compute(varied, actual)).all()
    assert np.isfinite(compute(1e-6 * varied, actual)).all()  # faint, but varied
    assert np.isnan(compute(varied[:2], actual[:2])).all() and np.isfinite(compute(varied[:3], actual[:3])).all()


def test_the_average_is_over_what_counts() -> None:
    actual = np.array([[1.0, 0.0], [-2.0, 0.0], [3.0, 0.0]])
    paths = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0]])[:, np.newaxis]
    assert METRICS["mae"].average(paths, actual) == pytest.approx((0 + 1 + 3 + 1 + 3 + 1) / 6)
    assert METRICS["direction"].average(paths, actual) == pytest.approx((1 + 0 + 0.5) / 3)  # without the second time
    assert np.isnan(METRICS["direction"].average(paths, np.zeros((3, 2))))
    first = stats.pearsonr([1, 1, 0], [1, -2, 3]).statistic
    assert METRICS["ic"].average(paths, actual) == pytest.approx((first + 0) / 2)  # the second time without skill
    assert METRICS["ic"].average(np.zeros((3, 5, 2)), actual) == 0


def test_hits_and_correlations_are_better_higher() -> None:
    assert {name for name, metric in METRICS.items() if metric.higher_is_better} == {"direction", "ic"}


@pytest.mark.parametrize("n_paths", [10, 50])
@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_the_fair_absolute_error_is_that_of_the_true_median_however_many_paths(n_paths: int, spread: float) -> None:
    """Of a random walk nobody knows more than its last value; few paths of a wide forecast miss it, those of a narrow one do not."""
    generator = np.random.default_rng(0)
    actual = generator.normal(size=(40_000, 1))
    paths = spread * generator.normal(size=(40_000, n_paths, 1))
    best = np.abs(actual).mean()
    assert compute_fair_absolute_error(paths, actual).mean() == pytest.approx(best, rel=0.008)
    if spread == 1.0:
        assert compute_absolute_error(paths, actual).mean() > best * (1 + 0.5 / n_paths)


def test_the_fair_absolute_error_of_one_sure_path_is_the_error() -> None:
    actual = np.array([[1.0, -2.0], [0.0, 3.0]])
    paths = np.zeros((2, 5, 2))
    np.testing.assert_array_equal(compute_fair_absolute_error(paths, actual), np.abs(actual))
