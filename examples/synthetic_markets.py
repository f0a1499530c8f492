"""SYNTHETIC markets whose law is known, and the oracle that knows it. No market ever traded these candles.

A candle's log return is a predictable part plus volatility times a normal shock. The predictable part is one of

    none       0: a random walk
    ar         strength · the last return
    momentum   strength · a moving average of returns (weight 0.1 on the newest)
    revert     −strength · a slowly forgotten sum of returns (factor 0.95)
    season     a curve over the day, with a root mean square of strength · sigma

Volatility is sigma · a U shape over the day · GARCH(1,1) · a regime (calm or wild). Gaps at the first candle of a day and
jumps move the price, but nothing of them can be predicted, and the next returns do not depend on them.

    markets = draw_markets(60, seed=1)                        # a varied family
    simulations = simulate(markets, n=3000, seeds=range(60))  # candles, and the state after each
    futures = oracle(markets[0], simulations[0].state[rows], simulations[0].slot[rows], horizon=24, n_paths=100, seed=0)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
Kind = Literal["none", "ar", "momentum", "revert", "season"]
KINDS: tuple[Kind, ...] = get_args(Kind)
STRENGTHS = {"none": (0, 0), "ar": (0.08, 0.45), "momentum": (0.3, 0.85), "revert": (0.03, 0.2), "season": (0.08, 0.35)}

TICKS = 40  # in a candle: its open, high, low and close come from one path of ticks
STATES = ("last", "average", "sum", "variance", "wild")


class Session(NamedTuple):
    """When a market trades: minutes a candle, (first minute of the day, candles) of each part, weekends too or not."""

    minutes: int
    parts: tuple[tuple[int, int], ...]
    weekends: bool = False

    @property
    def n_slots(self) -> int:
        """Candles a day."""
        return sum(n for _, n in self.parts)


SESSIONS = {
    "cn": Session(5, ((570, 24), (780, 24))),
    "cn15": Session(15, ((570, 8), (780, 8))),
    "us": Session(5, ((570, 78),)),
    "us30": Session(30, ((570, 13),)),
    "round_the_clock": Session(5, ((0, 288),), weekends=True),
    "hourly": Session(60, ((0, 24),), weekends=True),
    "daily": Session(900, ((0, 1),)),
}


@dataclass(frozen=True)
class Market:
    """The law of one market.

    Attributes:
        kind, strength: of the predictable part, see the module.
        phases, weights: of the first two harmonics of a season's curve.
        sigma: standard deviation of a candle's log return.
        garch: weight of the last squared shock, weight of the last variance.
        u_shape: how much more volatile the ends of a day are than its middle; 0: not at all.
        gap: standard deviation of the gap before a day's first candle, in sigma.
        jump_p, jump: probability of a jump in a candle, and its standard deviation in sigma.
        switch_p, wildness: probability that the regime changes after a candle; volatility in the wild one over the calm one.
        session: one of SESSIONS.
        start: date of the first candle.
        price: before the first candle.
        volume: typical volume of a candle.
    """

    kind: Kind = "none"
    strength: float = 0.0
    phases: tuple[float, float] = (0.0, 1.0)
    weights: tuple[float, float] = (1.0, 0.0)
    sigma: float = 0.0012
    garch: tuple[float, float] = (0.12, 0.85)
    u_shape: float = 1.0
    gap: float = 1.5
    jump_p: float = 0.0
    jump: float = 0.0
    switch_p: float = 0.0
    wildness: float = 1.0
    session: str = "cn"
    start: str = "2024-01-02"
    price: float = 20.0
    volume: float = 4000.0

    def compute_season(self) -> Array:
        """Return the predictable part of each slot of the day (n_slots,)."""
        n_slots = SESSIONS[self.session].n_slots
        if self.kind != "season" or n_slots < 3:
            return np.zeros(n_slots)
        x = 2 * np.pi * np.arange(n_slots) / n_slots
        curve = self.weights[0] * np.sin(x + self.phases[0]) + self.weights[1] * np.sin(2 * x + self.phases[1])
        curve -= curve.mean()
        return self.strength * self.sigma * curve / np.sqrt((curve**2).mean())

    def compute_volatility(self) -> Array:
        """Return the standard deviation of each slot of the day (n_slots,), at the mean of GARCH and regimes."""
        position = np.linspace(-1, 1, SESSIONS[self.session].n_slots)
        shape = 1 + self.u_shape * (position**2 - (position**2).mean())
        return self.sigma * shape / np.sqrt((shape**2).mean())


class Simulation(NamedTuple):
    """What a market did, over n candles.

    Attributes:
        candles: timestamps, open, high, low, close, volume, amount.
        state: what the next returns depend on, after each candle (n, len(STATES)).
        slot: place of each candle in its day (n,).
    """

    candles: pd.DataFrame
    state: Array
    slot: NDArray[np.int64]


class Law:
    """The step from one candle to the next, of M markets at once: all arrays have shape (..., M)."""

    def __init__(self, markets: Sequence[Market]) -> None:
        def strength(kind: Kind) -> Array:
            return np.array([market.strength if market.kind == kind else 0.0 for market in markets])

        self.ar, self.momentum, self.revert = strength("ar"), strength("momentum"), strength("revert")
        self.n_slots = np.array([SESSIONS[market.session].n_slots for market in markets])
        shape = (len(markets), self.n_slots.max())
        self.season, self.volatility = np.zeros(shape), np.zeros(shape)
        for i, market in enumerate(markets):
            self.season[i, : self.n_slots[i]] = market.compute_season()
            self.volatility[i, : self.n_slots[i]] = market.compute_volatility()
        self.alpha, self.beta = np.array([market.garch for market in markets]).T
        self.switch_p = np.array([market.switch_p for market in markets])
        wildness = np.array([market.wildness for market in markets])
        self.calm = np.sqrt(2 / (1 + wildness**2))  # the mean of the two variances is 1
        self.wild = self.calm * wildness
        self.gap, self.jump = (np.array([getattr(m, name) * m.sigma for m in markets]) for name in ("gap", "jump"))
        self.jump_p = np.array([market.jump_p for market in markets])

    def step(self, state: Array, slot: Array, shock: Array, uniform: Array) -> tuple[Array, Array, Array]:
        """Return the next candle's predictable part, its volatility, and the state after it.

        Args:
            state: before the candle (len(STATES), ..., M).
            slot: of the candle (..., M).
            shock: standard normal (..., M).
            uniform: in [0, 1), decides on a change of the regime (..., M).
        """
        last, average, total, variance, wild = state
        market = np.arange(len(self.ar))
        mean = self.ar * last + self.momentum * average - self.revert * total + self.season[market, slot]
        volatility = self.volatility[market, slot] * np.sqrt(variance) * np.where(wild > 0, self.wild, self.calm)
        change = mean + volatility * shock
        variance = 1 - self.alpha - self.beta + variance * (self.alpha * shock**2 + self.beta)
        wild = np.where(uniform < self.switch_p, 1 - wild, wild)
        after = np.stack([change, 0.9 * average + 0.1 * change, 0.95 * (total + change), variance, wild])
        return mean, volatility, after

    def draw_surprise(self, generator: np.random.Generator, slot: Array) -> Array:
        """Draw the gaps and jumps of candles (..., M)."""
        gaps = self.gap * generator.standard_normal(slot.shape) * (slot == 0)
        return gaps + self.jump * generator.standard_normal(slot.shape) * (generator.random(slot.shape) < self.jump_p)


def simulate(markets: Sequence[Market], n: int, seeds: Sequence[int]) -> list[Simulation]:
    """Simulate n candles of each market. A market's candles depend on its own seed only."""
    law = Law(markets)
    generators = [np.random.default_rng(seed) for seed in seeds]
    shocks = np.stack([generator.standard_normal(n) for generator in generators], axis=1)
    uniforms = np.stack([generator.random(n + 1) for generator in generators], axis=1)
    slots = np.arange(n)[:, None] % law.n_slots
    means, volatilities = np.empty((2, n, len(markets)))
    states = np.empty((n, len(STATES), len(markets)))
    state = np.zeros((len(STATES), len(markets)))
    state[3], state[4] = 1.0, uniforms[n] < 0.5
    for t in range(n):
        means[t], volatilities[t], state = law.step(state, slots[t], shocks[t], uniforms[t])
        states[t] = state
    simulations = []
    for i, (market, generator) in enumerate(zip(markets, generators)):
        surprises = Law([market]).draw_surprise(generator, slots[:, i : i + 1])[:, 0]
        candles = _build_candles(market, generator, means[:, i], volatilities[:, i], shocks[:, i], surprises)
        simulations.append(Simulation(candles, states[:, :, i].copy(), slots[:, i].copy()))
    return simulations


def oracle(market: Market, state: Array, slot: Array, horizon: int, n_paths: int, seed: int) -> Array:
    """Sample futures by the true law, given the true state at N origins.

    Args:
        state: at the origins (N, len(STATES)), rows of `Simulation.state`.
        slot: at the origins (N,).

    Returns:
        Log returns since the origin's close (N, n_paths, horizon).
    """
    law, generator = Law([market]), np.random.default_rng(seed)
    shape = (len(state), n_paths, 1)
    state = np.broadcast_to(state.T[:, :, None, None], (len(STATES), *shape))
    changes = np.empty((*shape[:2], horizon))
    for h in range(horizon):
        slots = np.broadcast_to((slot[:, None, None] + 1 + h) % law.n_slots, shape)
        state = law.step(state, slots, generator.standard_normal(shape), generator.random(shape))[2]
        changes[:, :, h] = (state[0] + law.draw_surprise(generator, slots))[:, :, 0]
    return changes.cumsum(axis=-1)


def compute_expected(market: Market, state: Array, slot: Array, horizon: int) -> Array:
    """Return the exact mean of the oracle's futures (N, horizon): all predictable parts are linear in the returns."""
    law, state = Law([market]), state.T[:, :, None]
    still = np.zeros((state.shape[1], 1))
    changes = np.empty((state.shape[1], horizon))
    for h in range(horizon):
        state = law.step(state, (slot[:, None] + 1 + h) % law.n_slots, still, still + 1)[2]
        changes[:, h] = state[0, :, 0]
    return changes.cumsum(axis=-1)


def draw_markets(n_markets: int, seed: int, random_walks: float = 0.25) -> list[Market]:
    """Draw a varied family of markets.

    Args:
        random_walks: share of markets without a predictable part.
    """
    generator = np.random.default_rng(seed)
    return [_draw_market(generator, random_walks) for _ in range(n_markets)]


def _draw_market(g: np.random.Generator, random_walks: float) -> Market:
    kind = KINDS[0 if g.random() < random_walks else g.choice(4, p=[0.35, 0.2, 0.15, 0.3]) + 1]
    sign = g.choice([-1, 1]) if kind == "ar" else 1
    session = str(g.choice(list(SESSIONS), p=[0.4, 0.1, 0.15, 0.05, 0.15, 0.1, 0.05]))
    minutes = SESSIONS[session].minutes
    return Market(
        kind,
        float(sign * g.uniform(*STRENGTHS[kind])),
        (float(g.uniform(0, 2 * np.pi)), float(g.uniform(0, 2 * np.pi))),
        (1.0, float(g.uniform(0, 1.2))),
        sigma=float(np.exp(g.uniform(np.log(0.0006), np.log(0.003))) * np.sqrt(minutes / 5)),
        garch=(float(g.uniform(0.03, 0.15)), float(g.uniform(0.78, 0.84))),
        u_shape=float(g.uniform(0, 1.5)),
        gap=0.0 if minutes == 900 else float(g.uniform(0, 4)),
        jump_p=float(g.choice([0, 0.005])),
        jump=float(g.uniform(2, 6)),
        switch_p=float(g.choice([0, 0.01])),
        wildness=float(g.uniform(1, 3)),
        session=session,
        start=f"{pd.Timestamp('2010-01-01') + pd.Timedelta(days=int(g.integers(0, 365 * 14))):%Y-%m-%d}",
        price=float(np.exp(g.uniform(np.log(2), np.log(500)))),
        volume=float(np.exp(g.uniform(np.log(500), np.log(100_000)))),
    )


def _build_candles(
    market: Market, generator: np.random.Generator, mean: Array, volatility: Array, shock: Array, surprise: Array
) -> pd.DataFrame:
    """Return candles aggregated from one path of ticks, whose sum over a candle is its return. All arrays are (n,)."""
    n = len(mean)
    ticks = generator.standard_normal((n, TICKS)) / TICKS**0.5
    ticks += ((shock - ticks.sum(axis=1)) / TICKS)[:, None]  # a Brownian bridge to the candle's shock
    ticks = mean[:, None] / TICKS + volatility[:, None] * ticks
    ticks[:, 0] += surprise
    prices = market.price * np.exp(ticks.cumsum().reshape(n, TICKS))
    noise = np.exp(0.35 * generator.standard_normal(n))
    volume = np.round(market.volume * (volatility / market.sigma) ** 1.3 * noise)
    columns = {
        "open": prices[:, 0],
        "high": prices.max(axis=1),
        "low": prices.min(axis=1),
        "close": prices[:, -1],
    }
    digits = max(0, 5 - int(np.floor(np.log10(market.price))))
    candles = (
        pd.DataFrame(columns).round(digits).assign(volume=volume, amount=np.round(volume * prices.mean(axis=1), 2))
    )
    candles.insert(0, "timestamps", _build_timestamps(market, n))
    return candles


def _build_timestamps(market: Market, n: int) -> pd.DatetimeIndex:
    """Return the closing times of n candles."""
    session = SESSIONS[market.session]
    minutes = np.concatenate([start + session.minutes * np.arange(1, k + 1) for start, k in session.parts])
    days = pd.date_range(market.start, periods=-(-n // len(minutes)), freq="D" if session.weekends else "B")
    return pd.DatetimeIndex((days.to_numpy()[:, None] + minutes.astype("timedelta64[m]")).ravel()[:n])
