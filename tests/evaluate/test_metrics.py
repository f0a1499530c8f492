"""The figures of sampled paths, against computations of another kind."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronos.evaluate.metrics import METRICS, compute_absolute_error, compute_crps, compute_direction_hits

numbers = st.floats(-100, 100)


def integrate_crps(paths: np.ndarray, truth: float) -> float:
    """The integral of (F(x) - 1{x >= truth})², exactly: between two of the points it is constant."""
    points = np.sort(np.append(paths, truth))
    middles, widths = (points[1:] + points[:-1]) / 2, np.diff(points)
    distribution = (paths[:, np.newaxis] <= middles).mean(axis=0)
    return float((np.square(distribution - (middles >= truth)) * widths).sum())


@given(st.lists(numbers, min_size=1, max_size=8), numbers)
def test_crps_is_the_integral_over_the_distribution_functions(paths: list[float], truth: float) -> None:
    found = compute_crps(np.array(paths)[:, np.newaxis], np.array([truth]), fair=False)
    assert found == pytest.approx([integrate_crps(np.array(paths), truth)], abs=1e-9)


@given(st.lists(numbers, min_size=2, max_size=8), numbers)
def test_the_fair_crps_takes_pairs_of_different_paths(paths: list[float], truth: float) -> None:
    pairs = [abs(a - b) for i, a in enumerate(paths) for j, b in enumerate(paths) if i != j]
    expected = np.mean([abs(a - truth) for a in paths]) - np.mean(pairs) / 2
    assert compute_crps(np.array(paths)[:, np.newaxis], np.array([truth])) == pytest.approx([expected], abs=1e-9)


@pytest.mark.parametrize("n_paths", [2, 5, 20])
def test_the_fair_crps_expects_that_of_the_distribution_however_many_paths(n_paths: int) -> None:
    """Against the closed form for a normal distribution (Gneiting & Raftery 2007, below eq. 21)."""
    truth = 0.7
    density, cumulative = math.exp(-(truth**2) / 2) / math.sqrt(2 * math.pi), (1 + math.erf(truth / math.sqrt(2))) / 2
    exact = truth * (2 * cumulative - 1) + 2 * density - 1 / math.sqrt(math.pi)
    paths = np.random.default_rng(0).normal(size=(200_000 // n_paths, n_paths, 1))
    truths = np.full((len(paths), 1), truth)
    assert compute_crps(paths, truths).mean() == pytest.approx(exact, abs=0.008)
    assert compute_crps(paths, truths, fair=False).mean() > exact + 0.02 * (n_paths < 20)


def test_the_fair_crps_of_one_path_is_not_defined() -> None:
    with pytest.raises(ValueError, match="at least 2 paths, got 1"):
        compute_crps(np.zeros((1, 3)), np.zeros(3))


def test_figures_are_of_each_origin_and_time_on_its_own() -> None:
    generator = np.random.default_rng(0)
    paths, truth = generator.normal(size=(2, 3, 6, 4)), generator.normal(size=(2, 3, 4))
    for metric in METRICS.values():
        together = metric.compute(paths, truth)
        assert together.shape == (2, 3, 4)
        alone = metric.compute(paths[1, 2, :, 3:], truth[1, 2, 3:])
        assert together[1, 2, 3] == pytest.approx(alone[0])


def test_absolute_error_is_of_the_median() -> None:
    paths = np.array([[0.0, 5.0], [1.0, 5.0], [9.0, 8.0]])
    assert compute_absolute_error(paths, np.array([3.0, 5.0])).tolist() == [2.0, 0.0]


def test_direction_counts_ties_of_the_forecast_half_and_leaves_out_those_of_the_truth() -> None:
    medians = np.array([[1.0, -1.0, 1.0, -2.0, 0.0, 1.0, 0.0]])
    truth = np.array([3.0, -1.0, -1.0, 1.0, 1.0, 0.0, 0.0])
    hits = compute_direction_hits(medians, truth)
    np.testing.assert_array_equal(hits, [1, 1, 0, 0, 0.5, np.nan, np.nan])


def test_only_direction_is_better_higher() -> None:
    assert {name for name, metric in METRICS.items() if metric.higher_is_better} == {"direction"}
