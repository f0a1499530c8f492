"""The figures on random walks, for forecasts whose drift, width and cost are known."""

import numpy as np
import pandas as pd
import pytest

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import load_candles
from kronos.evaluation.invented_drift import build_walks, score_walks
from kronos.evaluation.invented_drift.score import (
    compute_normal_crps,
    decide_outcome,
    find_largest_drift,
    measure_moments,
)
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.results import InventedDrift
from kronos.evaluation.scores.metrics import compute_crps

LOOKBACK, HORIZON, SIGMA = 60, 12, 0.01


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> Origins:
    """Origins in hourly candles with Gaussian steps."""
    steps = SIGMA * np.random.default_rng(0).standard_normal(4000)
    times = pd.date_range("2024-01-01", periods=len(steps), freq="h")
    frame = pd.DataFrame(
        {"timestamps": times, **dict.fromkeys(("open", "high", "low", "close"), np.exp(steps.cumsum()))}
    )
    path = tmp_path_factory.mktemp("gaussian") / "candles.csv"
    frame.to_csv(path, index=False)
    data = DataConfig(data_path=path, lookback_window=LOOKBACK, predict_window=HORIZON)
    candles, _ = load_candles(data, RepairsConfig())
    return Origins(candles, np.arange(LOOKBACK, len(steps) - HORIZON, HORIZON), LOOKBACK, HORIZON)


@pytest.fixture(scope="module")
def walks(origins: Origins) -> Origins:
    return build_walks(origins, n=400)


def forecast(
    walks: Origins, drift: float = 0.0, width: float = 1.0, n_paths: int = 32, shared: float = 0.0
) -> InventedDrift:
    """Score a random walk as wide as the truth times a width, whose mean is wrong by random shares of the truth's spread.

    The drift is opposite for mirror images, shared is the same for both.
    """
    random = np.random.default_rng(1)
    noise = random.standard_normal((len(walks), n_paths, HORIZON)).cumsum(axis=2)
    shares = drift * draw_parts(random, len(walks), -1.0) + shared * draw_parts(random, len(walks), 1.0)
    mean = shares * np.sqrt(1 + np.arange(HORIZON))
    return score_walks("made", walks.closes[:, -1:, np.newaxis] * np.exp(SIGMA * (mean + width * noise)), walks)


def draw_parts(random: np.random.Generator, n: int, sign: float) -> np.ndarray:
    """Shares (n, 1, 1) with a root mean square of 1; that of a mirror image is multiplied by the sign."""
    drawn = random.standard_normal((n // 2, 1, 1))
    return np.stack([drawn, sign * drawn], axis=1).reshape(n, 1, 1) / np.sqrt(np.square(drawn).mean())


def test_the_truth_has_no_drift_and_the_right_width(walks: Origins) -> None:
    measured = forecast(walks)
    assert measured.outcome == "none" and measured.drift.overall < 0.1 and measured.drift.high <= 0.2
    assert measured.width.overall == pytest.approx(1, abs=0.03)
    assert measured.coverage.overall == pytest.approx(0.9, abs=0.02)
    assert abs(measured.cost.overall) < 0.02
    assert len(measured.drift.by_horizon) == HORIZON and measured.drift.by_horizon[-1] == measured.drift.overall


@pytest.mark.parametrize("drift", [0.4, 0.8])
def test_a_planted_drift_is_found_and_costs_half_of_its_square(walks: Origins, drift: float) -> None:
    measured, without = forecast(walks, drift), forecast(walks)
    assert measured.outcome == "drift" and measured.drift.low < drift < measured.drift.high
    assert measured.drift.overall == pytest.approx(drift, rel=0.1)
    assert measured.shared_drift and measured.shared_drift.low == 0 and measured.shared_drift.high < 0.2
    assert measured.cost.overall - without.cost.overall == pytest.approx(drift**2 / 2, rel=0.25)


@pytest.mark.parametrize(("drift", "outcome"), [(0.0, "none"), (0.4, "drift")])
def test_a_season_is_no_invented_drift(walks: Origins, drift: float, outcome: str) -> None:
    measured = forecast(walks, drift, shared=0.4)
    assert measured.outcome == outcome and measured.drift.overall == pytest.approx(drift, abs=0.08)
    assert measured.shared_drift and measured.shared_drift.overall == pytest.approx(0.4, abs=0.06)
    assert measured.shared_drift.low < 0.4 < measured.shared_drift.high
    assert measured.cost.overall == pytest.approx((drift**2 + 0.4**2) / 2, abs=0.05)  # the CRPS is that of all walks


def test_both_parts_are_measured_without_bias() -> None:
    random, squares = np.random.default_rng(0), []
    moves = np.ones((2000, 1))
    for _ in range(20):
        shares = 0.3 * draw_parts(random, len(moves), -1.0) + 0.2 * draw_parts(random, len(moves), 1.0)
        paths = shares + random.standard_normal((len(moves), 8, 1))
        squares.append([np.square(each.overall) for each in measure_moments(paths, moves, confidence=0.95)])
    np.testing.assert_allclose(np.mean(squares, axis=0), [0.3**2, 0.2**2, 1], atol=0.005)


def test_the_noise_of_few_paths_is_no_drift(walks: Origins) -> None:
    measured = forecast(walks, n_paths=4)  # the mean of 4 paths is off by half of the spread
    assert measured.drift.low == 0 and measured.drift.overall < 0.2


def test_too_narrow_paths_are_no_drift_but_cost_something(walks: Origins) -> None:
    measured = forecast(walks, width=0.5)
    assert measured.outcome == "none" and measured.width.overall == pytest.approx(0.5, abs=0.02)
    assert measured.coverage.overall < 0.7 and measured.cost.overall > 0.05


def test_few_walks_decide_nothing(origins: Origins) -> None:
    assert forecast(build_walks(origins, n=8), drift=1.0).outcome == "too few walks"
    assert forecast(build_walks(origins, n=2)).outcome == "too few walks"


@pytest.mark.parametrize(("drift", "right", "least"), [(0.0, "none", 98), (0.35, "drift", 90)])
@pytest.mark.parametrize("shared", [0.0, 0.3])
def test_128_walks_decide_as_often_as_documented(drift: float, right: str, least: int, shared: float) -> None:
    random, outcomes = np.random.default_rng(0), []
    for _ in range(100):
        moves = np.repeat(random.standard_normal((64, HORIZON)), 2, axis=0)
        shares = drift * np.array([1, -1]) * random.standard_normal((64, 1)) + shared * random.standard_normal((64, 1))
        mean = np.sqrt(HORIZON) * shares.reshape(128, 1, 1)
        paths = mean + random.standard_normal((128, 32, HORIZON)).cumsum(axis=2)
        figures, _, _ = measure_moments(paths, moves, confidence=0.95)
        outcomes.append(decide_outcome(figures, 128, 0.2))
    assert outcomes.count(right) >= least and {right, "unclear"} >= set(outcomes)


def test_the_largest_harmless_drift_follows_from_the_margin() -> None:
    assert find_largest_drift(0.02) == pytest.approx(0.2)


def test_the_crps_of_the_normal_distribution() -> None:
    paths = np.random.default_rng(0).standard_normal((20_000, 1))
    for actual in (0.0, 1.5, -3.0):
        expected = compute_crps(paths, np.array([actual]))
        np.testing.assert_allclose(compute_normal_crps(np.array([actual])), expected, atol=0.02)
