"""The synthetic truths keep what they promise: measured scores agree with the exact ones within their error."""

from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from kronos.data import CandleSet
from kronos.evaluation.origins.walk_forward import build_forecast_input
from kronos.evaluation.scores.metrics import compute_crps
from tests.evaluation.synthetic import (
    Law,
    Oracle,
    Process,
    autoregression,
    daily_season,
    expect_crps,
    load_frames,
    random_walk,
)

SIGMA = 0.002
HORIZON = 5  # and no divisor of the day, so that origins one horizon apart come at all times of day
N_DAYS, N_PATHS = 400, 40
PROCESSES = {
    "walk": random_walk(SIGMA),
    "trending": autoregression(SIGMA, 0.5),
    "reverting": autoregression(SIGMA, -0.5),
    "season": daily_season(SIGMA, SIGMA),
}


@pytest.fixture(scope="module", params=PROCESSES)
def market(request, tmp_path_factory) -> tuple[Process, CandleSet]:
    process = PROCESSES[request.param]
    return process, load_frames(tmp_path_factory.mktemp("made") / "candles", process.make_frame(0, N_DAYS))


def measure(candles: CandleSet, forecast) -> tuple[np.ndarray, np.ndarray]:
    """The mean CRPS of log returns at each step (H,), and its standard error, over origins one horizon apart."""
    rows = np.arange(2, len(candles) - HORIZON, HORIZON)
    known = build_forecast_input(candles, rows, 2, HORIZON)
    closes = np.log(np.asarray(candles.values[:, 3], np.float64))
    truth = closes[rows[:, None] + 1 + np.arange(HORIZON)] - closes[rows, None]
    crps = compute_crps(forecast(known), truth)
    return crps.mean(axis=0), crps.std(axis=0) / np.sqrt(len(rows))


def returns_of(oracle: Oracle):
    def forecast(known):
        last = np.array([each.closes[-1] for each in known])
        return np.log(oracle.sample(known, N_PATHS, seed=1) / last[:, None, None])

    return forecast


@pytest.mark.slow
def test_the_oracle_scores_the_optimum(market) -> None:
    process, candles = market
    found, error = measure(candles, returns_of(Oracle(process)))
    optimum, blind = process.optimal_crps(HORIZON), process.blind_crps(HORIZON)
    assert (np.abs(found - optimum) < 4 * error).all()
    if process != PROCESSES["walk"]:
        assert (blind[0] - optimum[0]) > 8 * error[0]  # or the two could not be told apart


@pytest.mark.slow
def test_who_ignores_what_can_be_known_scores_the_other_one(market) -> None:
    process, candles = market
    found, error = measure(candles, returns_of(Oracle(process, "nothing")))
    assert (np.abs(found - process.blind_crps(HORIZON)) < 4 * error).all()


def test_who_takes_returns_for_independent_scores_a_third_one(market) -> None:
    process, candles = market
    deviation = process.random_walk(HORIZON).deviation

    def forecast(known):
        return np.random.default_rng(2).normal(scale=deviation, size=(len(known), N_PATHS, HORIZON))

    found, error = measure(candles, forecast)
    assert (np.abs(found - process.random_walk_crps(HORIZON)) < 4 * error).all()
    assert (process.random_walk_crps(HORIZON) >= process.blind_crps(HORIZON) - 1e-12).all()


def test_the_optima_written_out() -> None:
    walk, trending = PROCESSES["walk"], PROCESSES["trending"]
    assert walk.optimal_crps(4) == pytest.approx(SIGMA * np.sqrt([1, 2, 3, 4]) / np.sqrt(np.pi))
    assert walk.optimal_skill(4) == pytest.approx(np.zeros(4), abs=1e-12)
    assert walk.random_walk_crps(4) == pytest.approx(walk.optimal_crps(4))
    assert trending.optimal_crps(2) == pytest.approx(SIGMA * np.sqrt([1, 1 + 1.5**2]) / np.sqrt(np.pi))
    # Of one step: a return has the variance σ² / (1 − φ²), the noise σ².
    assert trending.optimal_skill(1) == pytest.approx([1 - np.sqrt(1 - 0.5**2)])
    whole_day = PROCESSES["season"].optimal_skill(48)
    assert whole_day[0] > 0.1 and whole_day[-1] == pytest.approx(0, abs=1e-12)  # the season's sum is 0


def test_the_expected_crps_is_the_integral_over_the_distribution_functions() -> None:
    """∫ (F − G)² + G (1 − G), for a truth of distribution function G."""
    forecast = Law(np.array([[-1.0], [0.5]]), np.array([0.7]))
    truth = Law(np.array([[0.0], [1.0], [3.0]]), np.array([1.2]))

    def distribution(law: Law, x: float) -> float:
        return float(norm.cdf(x, law.means[:, 0], law.deviation[0]).mean())

    def integrand(x: float) -> float:
        f, g = distribution(forecast, x), distribution(truth, x)
        return (f - g) ** 2 + g * (1 - g)

    assert expect_crps(forecast, truth) == pytest.approx([quad(integrand, -12, 12, limit=200)[0]], abs=1e-7)


@pytest.mark.parametrize("knows", ["all", "nothing"])
def test_paths_do_not_depend_on_the_other_origins(tmp_path: Path, knows) -> None:
    process = PROCESSES["trending"]
    candles = load_frames(tmp_path / "candles", process.make_frame(0, 5))
    known, oracle = build_forecast_input(candles, np.array([60, 61, 90]), 2, 3), Oracle(process, knows)
    together = oracle.sample(known, 4, seed=3)
    assert together.shape == (3, 4, 3)
    np.testing.assert_array_equal(oracle.sample(known[1:2], 4, seed=3)[0], together[1])
    assert not np.array_equal(oracle.sample(known, 4, seed=4), together)
