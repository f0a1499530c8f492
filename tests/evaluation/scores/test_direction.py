"""Figures of the direction, against scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from kronos.evaluation.scores.direction import (
    compute_brier,
    compute_direction_figures,
    compute_up_probability,
    describe_direction,
)
from kronos.evaluation.scores.metrics import compute_direction_hits

N, P, H = 200, 25, 3
STARTS = np.arange(N)


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P(up), hits and actual moves (N, H) of a forecaster with some skill; some moves are exactly 0."""
    generator = np.random.default_rng(0)
    actual = generator.standard_normal((N, H)) * (generator.random((N, H)) > 0.05)
    paths = 0.4 * actual[:, np.newaxis] + generator.standard_normal((N, P, H))
    return compute_up_probability(paths), compute_direction_hits(paths, actual), actual


def test_the_probability_is_the_share_of_paths_above() -> None:
    paths = np.array([[[1.0, 0.0], [-1.0, 0.0], [2.0, 3.0], [0.0, 0.0]]])
    assert compute_up_probability(paths).tolist() == [[0.625, 0.625]]


def test_figures_are_those_of_scikit_learn(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    probability, hits, actual = drawn
    figures = compute_direction_figures(probability, hits, actual)
    moved = actual != 0
    assert figures["brier"].overall == pytest.approx(sk.brier_score_loss(actual[moved] > 0, probability[moved]))
    up = np.where(hits == 1, actual > 0, actual < 0)
    assert figures["f1"].overall == pytest.approx(sk.f1_score((actual > 0)[moved], up[moved], average="macro"))
    for h in range(H):
        at = moved[:, h]
        expected = sk.roc_auc_score(actual[at, h] > 0, probability[at, h])
        assert figures["auc"].by_horizon[h] == pytest.approx(expected)
    assert figures["auc"].overall == pytest.approx(np.mean(figures["auc"].by_horizon))


def test_no_move_scores_as_a_coin_toss() -> None:
    actual = np.random.default_rng(0).standard_normal((N, H))
    half = np.full_like(actual, 0.5)
    figures = compute_direction_figures(half, half, actual)
    assert (figures["brier"].overall, figures["auc"].overall) == (0.25, 0.5)
    assert figures["f1"].overall == pytest.approx(0.5, abs=0.01)
    always = compute_direction_figures(np.ones_like(actual), (actual > 0) * 1.0, actual)
    assert always["f1"].overall == pytest.approx(1 / 3, abs=0.02)


def test_without_moves_nothing_is_known() -> None:
    still = np.zeros((5, H))
    assert np.isnan(compute_brier(still, still)).all()
    hits = np.full_like(still, np.nan)
    figures = compute_direction_figures(still, hits, still)
    assert all(np.isnan(figures[name].overall) for name in ("brier", "auc", "f1"))
    assert describe_direction(still, hits, still, STARTS[:5], STARTS[:5] + 1, 0.95) is None


def test_reliability_and_thirds_cover_all_moves(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    probability, hits, actual = drawn
    found = describe_direction(probability, hits, actual, STARTS, STARTS + 1, 0.95)
    assert found
    moved = actual != 0
    assert found.up_share == pytest.approx((actual[moved] > 0).mean())
    assert found.base_rate_brier == pytest.approx(found.up_share * (1 - found.up_share))
    for parts in (found.bins, found.thirds):
        assert sum(each.n_cases for each in parts) == moved.sum()
    total = sum(each.share * each.n_cases for each in found.thirds)
    assert total / moved.sum() == pytest.approx(np.nanmean(hits))
    assert found.thirds[0].share < found.thirds[-1].share  # the surest are the best
    assert all(each.low <= each.actual <= each.high for each in found.bins)
    forecasts = [each.forecast for each in found.bins]
    assert forecasts == sorted(forecasts) and len(found.thirds) == 3


def test_equal_probabilities_share_a_bin() -> None:
    actual = np.random.default_rng(0).standard_normal((40, 1))
    half = np.full_like(actual, 0.5)
    found = describe_direction(half, half, actual, STARTS[:40], STARTS[:40] + 1, 0.95)
    assert found and len(found.bins) == len(found.thirds) == 1
