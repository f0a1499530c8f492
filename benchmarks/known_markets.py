"""Markets of known truth to fine-tune on, and the expected CRPS of a model on them, for benchmarks/recipes.py.

The law of a market is known, so its futures can be simulated from the true state at any origin. The CRPS of a forecast is then
not measured against the one future that happened, but averaged over all that can: with X, X' drawn from the forecast and
Y from the law, it is E|X − Y| − E|X − X'| / 2 (Gneiting & Raftery 2007, eq. 21, averaged over y). The oracle forecasts with
the law itself and has the lowest value there is, E|Y − Y'| / 2.

Shapes: N origins, L lookback, P paths of the model, M futures of the law, H steps of the horizon.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from examples.synthetic_markets import SESSIONS, Market, draw_markets, oracle, simulate
from kronos.candles import CANDLE_COLUMNS, compute_calendar
from kronos.data.windows.normalize import Statistics
from kronos.forecast.decoding.generate import generate_paths
from kronos.forecast.decoding.options import Decoding
from kronos.forecast.sampling import Sampling
from kronos.model import Kronos, KronosTokenizer

Array = np.ndarray
LOOKBACK, HORIZON = 96, 24
CLIP = 5.0
CLOSE = CANDLE_COLUMNS.index("close")
WARM_UP = 200  # candles until the state has forgotten where it began
SERIES = 8  # in which the origins of a market are simulated side by side
CHUNK = 64  # origins forecast at once
LOWEST = 0.01  # of the last close, for a sampled close below 0


@dataclass(frozen=True)
class Target:
    """A market, or several of one kind, to fine-tune on.

    Attributes:
        markets: the law of each symbol.
        n_train, n_val: candles of each symbol.
        half: "chosen on" or "reported on": the recipe is chosen on the first half of the targets only.
    """

    markets: tuple[Market, ...]
    n_train: int
    n_val: int
    half: str

    @property
    def predictable(self) -> bool:
        """Whether the direction of prices can be known in part."""
        return self.markets[0].kind != "none"

    def write_candles(self, path: Path, seed: int) -> None:
        """Simulate the candles to fine-tune on, and write them as CSV."""
        seeds = [_make_seed(seed, "train", i) for i in range(len(self.markets))]
        frames = [each.candles for each in simulate(self.markets, self.n_train + self.n_val, seeds)]
        table = pd.concat([frame.assign(symbol=f"S{i}") for i, frame in enumerate(frames)])
        table.to_csv(path, index=False)


def write_replayed(path: Path) -> None:
    """Write candles of other markets, of the kind that the pretrained model learnt from, as CSV."""
    markets = [market for market in draw_markets(40, seed=77) if market.session != "daily"]
    frames = [each.candles for each in simulate(markets, 600, range(len(markets)))]
    pd.concat([frame.assign(symbol=f"R{i}") for i, frame in enumerate(frames)]).to_csv(path, index=False)


@dataclass(frozen=True, eq=False)
class Origins:
    """Origins of a target after its candles for fine-tuning, with futures by the law.

    lookback: (N, L, 6). known: (N, L, 5) and future: (N, H, 5), calendar rows. unit: (N, 1), the volatility of the lookback.
    futures: log returns since the origin (N, M, H), ascending along M.
    """

    lookback: Array
    known: Array
    future: Array
    unit: Array
    futures: Array
    distances: Array = field(init=False)  # (N, H): the sum over pairs of futures

    def __post_init__(self) -> None:
        object.__setattr__(self, "distances", sum_distances(self.futures))

    def measure_oracle(self) -> Array:
        """Return the expected CRPS (N,) of the law itself."""
        n = self.futures.shape[1]
        return self._scale(self.distances / (n * (n - 1)))

    def measure(self, moves: Array) -> Array:
        """Return the expected CRPS (N,) of sampled log returns (N, P, H), in units of the lookback's volatility times √h."""
        n_paths, n_futures = moves.shape[1], self.futures.shape[1]
        moves = np.sort(moves, axis=1)
        own = sum_distances(moves)
        pooled = np.sort(np.concatenate([moves, self.futures], axis=1), axis=1, kind="stable")  # two sorted runs
        between = sum_distances(pooled) - own - self.distances
        return self._scale(between / (n_paths * n_futures) - own / (n_paths * (n_paths - 1)))

    def _scale(self, crps: Array) -> Array:
        scaled: Array = (crps / (self.unit * np.sqrt(np.arange(1, HORIZON + 1)))).mean(axis=1)
        return scaled


def sum_distances(ascending: Array) -> Array:
    """Return the sum of |a − b| over all pairs (N, H) of values (N, P, H) that ascend along P."""
    n = ascending.shape[1]
    weights = 2.0 * np.arange(n) - (n - 1)  # value i is the larger one of i pairs and the smaller one of n − 1 − i
    total: Array = np.einsum("nph,p->nh", ascending, weights)
    return total


def draw_origins(target: Target, n_origins: int, n_futures: int, seed: int) -> Origins:
    """Simulate origins after a target's candles, spread over its symbols, and futures of each by the law."""
    n_symbols = len(target.markets)
    n_series = n_symbols * max(1, SERIES // n_symbols)
    n_each = -(-n_origins // n_series)
    parts = []
    for i, market in enumerate(target.markets):
        n_days = -(-(target.n_train + target.n_val) // SESSIONS[market.session].n_slots)
        start = pd.Timestamp(market.start) + pd.tseries.offsets.BDay(n_days + 1)
        later = replace(market, start=f"{start:%Y-%m-%d}")
        parts.append(_draw_of_market(later, n_series // n_symbols, n_each, n_futures, [seed, i]))
    lookback, known, future, unit, futures = (np.concatenate(arrays)[:n_origins] for arrays in zip(*parts))
    return Origins(lookback, known, future, unit, np.sort(futures, axis=1))


def _draw_of_market(
    market: Market, n_series: int, n_each: int, n_futures: int, seed: list[int]
) -> tuple[Array, Array, Array, Array, Array]:
    rows = _choose_rows(SESSIONS[market.session].n_slots, n_series, n_each, _make_seed(*seed, "rows"))
    seeds = [_make_seed(*seed, "origins", k) for k in range(n_series)]
    simulations = simulate([market] * n_series, int(rows.max()) + HORIZON + 1, seeds)
    parts = []
    for k, (origins, simulation) in enumerate(zip(rows, simulations)):
        past, ahead = origins[:, None] + np.arange(1 - LOOKBACK, 1), origins[:, None] + np.arange(1, HORIZON + 1)
        candles = simulation.candles[list(CANDLE_COLUMNS)].to_numpy(float)
        calendar = compute_calendar(pd.DatetimeIndex(simulation.candles["timestamps"])).astype(np.float32)
        lookback = candles[past]
        unit = np.diff(np.log(lookback[..., CLOSE]), axis=1).std(axis=1, keepdims=True)
        generator_seed = _make_seed(*seed, "futures", k)
        state, slot = simulation.state[origins], simulation.slot[origins]
        futures = oracle(market, state, slot, HORIZON, n_futures, generator_seed)
        parts.append((lookback, calendar[past], calendar[ahead], unit, futures))
    lookback, known, future, unit, futures = (np.concatenate(arrays) for arrays in zip(*parts))
    return lookback, known, future, unit, futures


def _choose_rows(n_slots: int, n_series: int, n_each: int, seed: int) -> Array:
    """Return the origins (n_series, n_each) in each series: all times of day equally often, lookbacks that do not overlap."""
    wanted = np.arange(n_series * n_each) * n_slots // (n_series * n_each)
    rows = np.empty((n_series, n_each), np.int64)
    row = np.full(n_series, WARM_UP)
    for k, slots in enumerate(np.random.default_rng(seed).permutation(wanted).reshape(n_each, n_series)):
        row = row + LOOKBACK
        row = rows[:, k] = row + (slots - row) % n_slots
    return rows


def _make_seed(*parts: Any) -> int:
    text = "/".join(map(str, parts)).encode()
    return int(np.random.SeedSequence(list(text)).generate_state(1, np.uint64)[0])


def sample_moves(tokenizer: KronosTokenizer, model: Kronos, origins: Origins, n_paths: int, seed: int = 0) -> Array:
    """Return a model's sampled log returns since the origin (N, P, H).

    Two models with the same seed draw the same token wherever their probabilities allow it, which makes their difference
    precise: a token is drawn as the largest of log probability + noise (the Gumbel-max trick), with the same noise.
    """
    decoding = Decoding(LOOKBACK + HORIZON, "slide", Sampling(top_p=1.0))
    statistics = Statistics.compute(origins.lookback)
    normalised = torch.from_numpy(statistics.normalise(origins.lookback, CLIP))
    noise = torch.Generator().manual_seed(seed)

    def draw(logits: Tensor, *_: object) -> Tensor:
        return (logits - torch.empty_like(logits).exponential_(generator=noise).log()).argmax(-1)

    closes = []
    with patch("kronos.forecast.decoding.options.sample", draw):
        for start in range(0, len(normalised), CHUNK):
            part = slice(start, start + CHUNK)
            known, future = (torch.from_numpy(each[part]) for each in (origins.known, origins.future))
            unused, lengths = torch.zeros(len(known), n_paths, HORIZON, 2), (LOOKBACK,) * len(known)
            paths = generate_paths(tokenizer, model, normalised[part], lengths, known, future, unused, decoding)
            closes.append(paths[..., CLOSE].double().numpy())
    mean, scale = (each[..., CLOSE] for each in (statistics.mean, statistics.scale))  # (N, 1)
    last = origins.lookback[:, -1, CLOSE]
    prices = np.concatenate(closes) * scale[:, :, None] + mean[:, :, None]
    return np.log(np.maximum(prices / last[:, None, None], LOWEST))


def measure_model(tokenizer: KronosTokenizer, model: Kronos, origins: Origins, n_paths: int) -> Array:
    """Return a model's expected CRPS (N,)."""
    return origins.measure(sample_moves(tokenizer.eval(), model.eval(), origins, n_paths))


def compute_skill(own: Array, other: Array) -> tuple[float, float]:
    """Return by how much a CRPS (N,) is lower than another, as a share of the other, and the standard error."""
    skill = 1 - own.mean() / other.mean()
    residuals = other - own - skill * other
    return float(skill), float(residuals.std() / np.sqrt(len(own)) / other.mean())


_SEASON: dict[str, Any] = {"kind": "season", "phases": (0.6, 2.0), "weights": (1.0, 0.5)}
_LONG, _SHORT = (2688, 336), (800, 200)
_CHOSEN, _REPORTED = "chosen on", "reported on"


def _vary(n: int, **values: Any) -> tuple[Market, ...]:
    """Return the markets of n symbols; a value that is a function differs between them."""
    return tuple(Market(**{key: v(i) if callable(v) else v for key, v in values.items()}) for i in range(n))


def _target(half: str, size: tuple[int, int], n_symbols: int = 1, **values: Any) -> Target:
    return Target(_vary(n_symbols, **values), *size, half)


TARGETS = {
    "season": _target(_CHOSEN, _LONG, strength=0.3, **_SEASON),
    "momentum, short": _target(_CHOSEN, _SHORT, kind="momentum", strength=0.7, sigma=0.0009),
    "reversal of returns, US": _target(_CHOSEN, _LONG, kind="ar", strength=-0.35, sigma=0.002, session="us"),
    "persistent returns, short": _target(_CHOSEN, _SHORT, kind="ar", strength=0.3),
    "mean reversion, hourly": _target(_CHOSEN, _LONG, kind="revert", strength=0.1, sigma=0.004, session="hourly"),
    "season, 6 symbols": _target(
        _CHOSEN, _SHORT, 6, strength=0.35, sigma=lambda i: 0.001 + 0.0003 * i, price=lambda i: 3.0 * 2**i, **_SEASON
    ),
    "walk": _target(_CHOSEN, _LONG),
    "walk, US, short": _target(_CHOSEN, _SHORT, sigma=0.002, garch=(0.14, 0.84), u_shape=0.3, session="us"),
    "walk with regimes": _target(_CHOSEN, _LONG, switch_p=0.01, wildness=3.0, sigma=0.0015),
    "walk with jumps, short": _target(_CHOSEN, _SHORT, jump_p=0.01, jump=5.0, session="round_the_clock", gap=0.0),
    "walk, daily": _target(_CHOSEN, _LONG, sigma=0.012, session="daily", gap=0.0, start="2010-01-04"),
    "walk, 6 symbols": _target(_CHOSEN, _SHORT, 6, sigma=lambda i: 0.0008 + 0.0004 * i, price=lambda i: 5.0 * 2**i),
    "season, US": _target(_REPORTED, _LONG, strength=0.35, session="us", **_SEASON),
    "season, short": _target(_REPORTED, _SHORT, strength=0.3, **_SEASON),
    "momentum, round the clock": _target(
        _REPORTED, _LONG, kind="momentum", strength=0.7, session="round_the_clock", gap=0.0
    ),
    "persistent returns": _target(_REPORTED, _LONG, kind="ar", strength=0.3, session="cn15", sigma=0.002),
    "mean reversion, short": _target(_REPORTED, _SHORT, kind="revert", strength=0.12, sigma=0.0015),
    "persistent returns, 6 symbols": _target(
        _REPORTED, _SHORT, 6, kind="ar", strength=lambda i: 0.2 + 0.04 * i, sigma=lambda i: 0.0008 + 0.0003 * i
    ),
    "walk, short": _target(_REPORTED, _SHORT, sigma=0.0015),
    "walk, round the clock": _target(_REPORTED, _LONG, sigma=0.0008, session="round_the_clock", gap=0.0),
    "walk with regimes, short": _target(
        _REPORTED, _SHORT, switch_p=0.01, wildness=2.5, session="us30", sigma=0.003, gap=2.0
    ),
    "walk with jumps": _target(_REPORTED, _LONG, jump_p=0.008, jump=6.0, sigma=0.001),
    "walk with a deep U and gaps": _target(_REPORTED, _LONG, u_shape=1.5, gap=4.0, session="us"),
    "walk, 6 symbols, hourly": _target(
        _REPORTED, _SHORT, 6, sigma=lambda i: 0.003 + 0.001 * i, session="hourly", price=lambda i: 2.0 * 3**i
    ),
}
