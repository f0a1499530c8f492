"""The simulated markets obey the law that they claim, and the oracle knows it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from examples.synthetic_markets import SESSIONS, Market, Simulation, compute_expected, draw_markets, oracle, simulate

PREDICTABLE = [Market("ar", 0.3), Market("momentum", 0.7), Market("revert", 0.1), Market("season", 0.4)]
LIVELY = Market("season", 0.4, jump_p=0.02, jump=5, switch_p=0.02, wildness=2.5)


def simulate_one(market: Market, n: int, seed: int = 1) -> Simulation:
    return simulate([market], n, [seed])[0]


def choose_origins(simulation: Simulation, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of origins 24 candles apart, and the log returns since their closes (N, horizon)."""
    closes = np.log(simulation.candles["close"].to_numpy())
    rows = np.arange(100, len(closes) - horizon, 24)
    return rows, closes[rows[:, None] + np.arange(1, horizon + 1)] - closes[rows][:, None]


@pytest.mark.parametrize("market", [*PREDICTABLE, LIVELY], ids=lambda market: f"{market.kind} {market.jump_p}")
def test_the_oracle_agrees_with_the_simulation(market: Market) -> None:
    simulation = simulate_one(market, 20_000)
    rows, actual = choose_origins(simulation, horizon=12)
    futures = oracle(market, simulation.state[rows], simulation.slot[rows], horizon=12, n_paths=60, seed=2)
    expected = compute_expected(market, simulation.state[rows], simulation.slot[rows], horizon=12)
    ratio = actual.std(axis=0) / futures.std(axis=(0, 1))
    assert np.all(np.abs(ratio - 1) < 0.12)
    ranks = (futures < actual[:, None]).mean(axis=1)
    assert abs(ranks.mean() - 0.5) < 0.03 and abs(ranks.std() - 12**-0.5) < 0.02  # uniform
    noise = futures.std(axis=1) / 60**0.5
    assert abs(((futures.mean(axis=1) - expected) / noise).std() - 1) < 0.05
    slope = (expected * actual).sum() / (expected**2).sum()
    assert abs(slope - 1) < 0.35


def test_a_random_walk_has_no_predictable_part() -> None:
    market = replace(LIVELY, kind="none")
    simulation = simulate_one(market, 20_000)
    rows, actual = choose_origins(simulation, horizon=24)
    assert np.all(compute_expected(market, simulation.state[rows], simulation.slot[rows], horizon=24) == 0)
    changes = np.diff(np.log(simulation.candles["close"]))
    assert abs(np.corrcoef(changes[1:], changes[:-1])[0, 1]) < 0.03
    assert abs(actual[:, -1].mean()) < 4 * actual[:, -1].std() / len(rows) ** 0.5


def test_volatility_has_its_level_and_clusters() -> None:
    changes = np.diff(np.log(simulate_one(Market(gap=0, switch_p=0.01, wildness=3), 30_000).candles["close"]))
    assert changes.std() == pytest.approx(0.0012, rel=0.1)
    size = np.abs(changes)
    assert np.corrcoef(size[1:], size[:-1])[0, 1] > 0.1


def test_candles_are_reproducible_and_independent_of_their_company() -> None:
    markets = draw_markets(4, seed=3, random_walks=0.5)
    together = simulate(markets, 400, range(4))
    alone = simulate(markets[2:3], 400, [2])[0]
    pd.testing.assert_frame_equal(together[2].candles, alone.candles)
    assert np.array_equal(together[2].state, alone.state)
    assert draw_markets(4, seed=3, random_walks=0.5) == markets
    assert not np.array_equal(alone.candles["close"], simulate(markets[2:3], 400, [9])[0].candles["close"])


@pytest.mark.parametrize("session", SESSIONS)
def test_candles_are_well_formed(session: str) -> None:
    candles = simulate_one(Market(session=session), 700).candles
    assert candles["timestamps"].is_monotonic_increasing and candles["timestamps"].is_unique
    assert SESSIONS[session].weekends or candles["timestamps"].dt.day_of_week.max() < 5
    prices = candles[["open", "high", "low", "close"]]
    assert np.all(prices.max(axis=1) == candles["high"]) and np.all(prices.min(axis=1) == candles["low"])
    assert (candles["volume"] > 0).all()


def test_the_share_of_random_walks_is_as_asked() -> None:
    kinds = [market.kind for market in draw_markets(400, seed=0, random_walks=0.7)]
    assert kinds.count("none") / 400 == pytest.approx(0.7, abs=0.07)
    assert len(set(kinds)) == 5
