"""Candles of which the truth is known: what the best forecast is, and exactly how good it can be.

The log return of the close at time t is s(t) + x(t): s, a season fixed by the time of day, and
x(t) = φ x(t − 1) + ε(t) with ε normal of standard deviation σ. Neither makes a Gaussian random walk. The sum over h steps
given the candle before is normal, so that the best forecast and its expected CRPS are known in closed form; of one that
does not know the time of day and the last return, the law is a mixture of such normals.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import CandleSet, load_candles
from kronos.evaluation.forecasters.base import ForecastInput
from tests.data.planted import DAY, surround, trading_times


class Law(NamedTuple):
    """An equal mixture of K normals at each of H steps: means (K, H), deviation (H,)."""

    means: np.ndarray
    deviation: np.ndarray


@dataclass(frozen=True)
class Process:
    """sigma: σ. phi: φ, between -1 and 1. season: s for each of DAY slots, of sum 0."""

    sigma: float
    phi: float = 0.0
    season: tuple[float, ...] = (0.0,) * DAY

    def make_frame(self, seed: int, n_days: int) -> pd.DataFrame:
        """Candles of n_days in upstream's columns; prices are not rounded, as that would be noise of its own."""
        generator, times = np.random.default_rng(seed), trading_times(n_days)[: n_days * DAY]
        returns = self._draw(find_slots(times), self._draw_last(1, generator), generator)[0]
        return surround(20 * np.exp(returns.cumsum()), times, generator, decimals=12)

    def sample(self, known: ForecastInput, n_paths: int, generator: np.random.Generator) -> np.ndarray:
        """Log returns since the last known close (P, H) by their law given all that is known."""
        slot = find_slots(known.candles.index[-1:])[0]
        last = np.log(known.closes[-1] / known.closes[-2]) - self.season[slot]
        return self._draw(find_slots(known.future), np.full(n_paths, last), generator).cumsum(axis=-1)

    def sample_blindly(self, known: ForecastInput, n_paths: int, generator: np.random.Generator) -> np.ndarray:
        """The same by their law at any time of day, after any return."""
        slots = generator.integers(DAY, size=(n_paths, 1)) + np.arange(len(known.future))
        return self._draw(slots % DAY, self._draw_last(n_paths, generator), generator).cumsum(axis=-1)

    def _draw(self, slots: np.ndarray, last: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Returns (P, T) in slots (T,) or (P, T), after an x of last (P,)."""
        noise = generator.normal(scale=self.sigma, size=(slots.shape[-1], len(last)))
        x = [last := self.phi * last + each for each in noise]
        return np.asarray(self.season)[slots] + np.stack(x, axis=-1)

    def _draw_last(self, n_paths: int, generator: np.random.Generator) -> np.ndarray:
        return generator.normal(scale=self._deviation, size=n_paths)

    def conditional(self, horizon: int) -> Law:
        """The law given the candle before, but for its mean, which no score depends on."""
        weights = np.cumsum(self.phi ** np.arange(horizon))  # of the noise j steps back in a sum
        return Law(np.zeros((1, horizon)), self.sigma * np.sqrt(np.cumsum(weights**2)))

    def marginal(self, horizon: int) -> Law:
        """The law at any time of day, after any return."""
        slots = np.arange(DAY)[:, None] + np.arange(horizon)
        means = np.asarray(self.season)[slots % DAY].cumsum(axis=-1)
        echo = np.cumsum(self.phi ** np.arange(1, horizon + 1))  # of the last x in the sums
        return Law(means, np.hypot(self.conditional(horizon).deviation, self._deviation * echo))

    def random_walk(self, horizon: int) -> Law:
        """The law that takes returns for independent and normal, of the variance that one has."""
        one = np.hypot(self._deviation, np.std(self.season))
        return Law(np.zeros((1, horizon)), one * np.sqrt(np.arange(1, horizon + 1)))

    @property
    def _deviation(self) -> float:
        """That of x."""
        return self.sigma / np.sqrt(1 - self.phi**2)

    def optimal_crps(self, horizon: int) -> np.ndarray:
        """The least that can be expected at each step (H,): σ_h / √π (Gneiting & Raftery 2007, below eq. 21)."""
        return self.conditional(horizon).deviation / np.sqrt(np.pi)

    def blind_crps(self, horizon: int) -> np.ndarray:
        """The least that can be expected (H,) of one who knows neither the time of day nor the last return."""
        return expect_crps(self.marginal(horizon), self.marginal(horizon))

    def random_walk_crps(self, horizon: int) -> np.ndarray:
        """What the forecast of `random_walk` is to expect (H,)."""
        return expect_crps(self.random_walk(horizon), self.marginal(horizon))

    def optimal_skill(self, horizon: int) -> np.ndarray:
        """The best skill (H,) against the best of the blind: 0 of a random walk."""
        return 1 - self.optimal_crps(horizon) / self.blind_crps(horizon)


def random_walk(sigma: float) -> Process:
    return Process(sigma)


def autoregression(sigma: float, phi: float) -> Process:
    return Process(sigma, phi)


def daily_season(sigma: float, amplitude: float) -> Process:
    """One wave a day."""
    return Process(sigma, season=tuple((amplitude * np.sin(2 * np.pi * np.arange(DAY) / DAY)).tolist()))


def expect_crps(forecast: Law, truth: Law) -> np.ndarray:
    """The expected CRPS (H,) of a law where another is true: E|X − Y| − E|X − X'| / 2."""
    return _expect_distance(forecast, truth) - _expect_distance(forecast, forecast) / 2


def _expect_distance(one: Law, other: Law) -> np.ndarray:
    """E|X − Y| of independent X and Y: that of folded normals, averaged over the pairs of means."""
    mean = one.means[:, None] - other.means
    deviation = np.hypot(one.deviation, other.deviation)
    folded = 2 * deviation * norm.pdf(mean / deviation) + mean * (1 - 2 * norm.cdf(-mean / deviation))
    return folded.mean(axis=(0, 1))


def find_slots(times: pd.DatetimeIndex) -> np.ndarray:
    """The number of each time (T,) among the day's candles."""
    return np.searchsorted(MINUTES, _minutes(times))


def _minutes(times: pd.DatetimeIndex) -> np.ndarray:
    return np.asarray(times.hour * 60 + times.minute)


MINUTES = _minutes(trading_times(1)[:DAY])  # of a day's candles


@dataclass(frozen=True)
class Oracle:
    """Samples from the true law: given all that is known, or blindly."""

    process: Process
    knows: Literal["all", "nothing"] = "all"
    label: str = "Oracle"
    moves: bool = True

    @property
    def name(self) -> str:
        return f"oracle_that_knows_{self.knows}"

    @property
    def key(self) -> str:
        return repr(self.process)

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> np.ndarray:
        sample = self.process.sample if self.knows == "all" else self.process.sample_blindly
        return np.stack([each.closes[-1] * np.exp(sample(each, n_paths, generator_of(each, seed))) for each in known])


def generator_of(known: ForecastInput, seed: int) -> np.random.Generator:
    """Draws that depend on the seed and the origin alone."""
    return np.random.default_rng([seed, int(known.origin.timestamp()), zlib.crc32(known.name.encode())])


def load_frames(folder: Path, *frames: pd.DataFrame) -> CandleSet:
    """The frames as symbols s0, s1, … by way of files, sound ones."""
    folder.mkdir()
    for i, frame in enumerate(frames):
        frame.to_csv(folder / f"s{i}.csv", index=False)
    candles, findings = load_candles(DataConfig(data_path=folder), RepairsConfig())
    assert all(finding.severity == "note" for finding in findings), findings
    return candles
