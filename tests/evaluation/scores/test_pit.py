"""The probability integral transform: uniform of calibrated forecasts, whatever the number of paths, and its histogram."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kronos.evaluation.records import PIT_BINS
from kronos.evaluation.scores.pit import count_pit, spread_pit


def compute_pit(paths: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Return the randomised transform (N, H) in [0, 1] of actual (N, H) under paths (N, P, H): the ranks, drawn from ties."""
    n_ranks = paths.shape[-2] + 1
    below = (paths < actual[..., np.newaxis, :]).sum(axis=-2) / n_ranks
    not_above = ((paths <= actual[..., np.newaxis, :]).sum(axis=-2) + 1) / n_ranks
    return below + np.random.default_rng(7_412_863).random(actual.shape) * (not_above - below)


def draw(kind: str, generator: np.random.Generator, *shape: int) -> np.ndarray:
    return generator.normal(size=shape) if kind == "normal" else generator.integers(0, 4, shape) / 4  # with many ties


@pytest.mark.parametrize("kind", ["normal", "ties"])
@pytest.mark.parametrize("n_paths", [2, 7, 50])
def test_it_is_uniform_of_calibrated_forecasts(n_paths: int, kind: str) -> None:
    generator = np.random.default_rng(0)
    paths, actual = draw(kind, generator, 5000, n_paths, 2), draw(kind, generator, 5000, 2)
    pit = compute_pit(paths, actual)
    assert pit.shape == actual.shape and pit.min() >= 0 and pit.max() <= 1
    assert stats.kstest(pit.ravel(), "uniform").pvalue > 0.01
    counts = count_pit(spread_pit(paths, actual))
    assert len(counts) == PIT_BINS and sum(counts) == actual.size
    assert stats.chisquare(counts).pvalue > 0.01  # the more so as the spread counts vary less than drawn ones


@pytest.mark.parametrize("change, tested", [(lambda paths: 0.7 * paths, "narrow"), (lambda paths: paths + 0.1, "high")])
def test_it_is_not_uniform_of_others(change, tested: str) -> None:
    generator = np.random.default_rng(0)
    paths, actual = change(generator.normal(size=(5000, 20, 2))), generator.normal(size=(5000, 2))
    assert stats.kstest(compute_pit(paths, actual).ravel(), "uniform").pvalue < 1e-6
    counts = np.array(count_pit(spread_pit(paths, actual)))
    assert stats.chisquare(counts).pvalue < 1e-6
    outer, lower = counts[[0, -1]].mean(), counts[: PIT_BINS // 2].sum()
    assert outer > 1.3 * counts.mean() if tested == "narrow" else lower > 0.52 * counts.sum()


def test_the_counts_are_the_mean_of_many_draws() -> None:
    """Each actual value is repeated 200 times, which makes the drawn histogram nearly its own expectation."""
    generator = np.random.default_rng(0)
    paths, actual = draw("ties", generator, 60, 6, 1), draw("ties", generator, 60, 1)
    many = compute_pit(np.repeat(paths, 200, axis=0), np.repeat(actual, 200, axis=0))
    drawn = np.histogram(many, PIT_BINS, (0, 1))[0] / 200
    np.testing.assert_allclose(np.array(count_pit(spread_pit(paths, actual))), drawn, atol=1.5)


def test_a_certain_forecast() -> None:
    """19 paths alike divide [0, 1] at 1/20 and 19/20; an actual value equal to all of them may be anywhere."""
    paths = np.zeros((40, 19, 1))
    assert count_pit(spread_pit(paths, np.full((40, 1), -1.0))) == (40, *[0] * 19)
    assert count_pit(spread_pit(paths, np.full((40, 1), 1.0))) == (*[0] * 19, 40)
    assert count_pit(spread_pit(paths, np.zeros((40, 1)))) == (2,) * 20


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_every_truth_counts_once(n: int, p: int, h: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    paths, actual = generator.integers(0, 3, (n, p, h)), generator.integers(0, 3, (n, h))
    counts = count_pit(spread_pit(paths, actual))
    assert sum(counts) == n * h and min(counts) >= 0 and all(type(count) is int for count in counts)
