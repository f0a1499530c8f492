"""Markets without skill to be had, and forecasters on them, for benchmarks/verdict.py.

A market is a series of log returns in which nobody can know where prices go. Returns are in units of their usual standard
deviation. Shapes: T steps, N origins, L lookback, P paths, H steps of the horizon.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from arch.data import sp500

from kronos.data.files.read import read_file
from kronos.evaluation.forecasters.base import CLOSE, NotApplicable, PastCloses
from kronos.evaluation.forecasters.garch import draw_shocks, filter_variance, fit_garch, simulate_garch
from kronos.evaluation.forecasters.majority import measure_moves, take_quantiles
from kronos.evaluation.forecasters.volatility import (
    choose_lambda,
    compute_ewma_variance,
    find_slots,
    measure_profile,
)

Array = np.ndarray
SLOTS = 48  # candles of a day
LOOKBACK, HORIZON = 128, 6
STRIDE = 7  # the smallest from the horizon on that shares no divisor with SLOTS, as an evaluation chooses it
N_FIT = 1200  # steps before the first origin, to fit baselines on
OWN_PATHS, BASELINE_PATHS = 50, 50
BLOCK = 20  # days that a shuffle keeps together


def draw_walk(generator: np.random.Generator, n: int) -> Array:
    """Return a random walk's Gaussian steps."""
    return generator.standard_normal(n)


def draw_garch(generator: np.random.Generator, n: int) -> Array:
    """Return steps of a GARCH(1,1) process with α 0.08, β 0.9 and Student-t innovations of 5 degrees of freedom."""
    shocks = generator.standard_t(5, n + 500) * np.sqrt(3 / 5)
    steps, variance = np.empty(n + 500), 1.0
    for t, shock in enumerate(shocks):
        steps[t] = np.sqrt(variance) * shock
        variance = 0.02 + 0.08 * steps[t] ** 2 + 0.9 * variance
    return steps[500:]


def draw_time_of_day(generator: np.random.Generator, n: int) -> Array:
    """Return Gaussian steps that are three times as wide at the ends of the day as at noon."""
    profile = 1 + 2 * np.square(np.linspace(-1, 1, SLOTS))
    return np.resize(profile / np.sqrt(np.square(profile).mean()), n) * generator.standard_normal(n)


def shuffle_blocks(steps: Array, block: int) -> Callable[[np.random.Generator, int], Array]:
    """Return a market of real steps (T,) whose blocks are drawn in random order, each with a random sign.

    A block keeps the volatility and its changes; the random signs take away what a trend would show.
    """
    blocks = steps[: len(steps) // block * block].reshape(-1, block) / steps.std()

    def draw(generator: np.random.Generator, n: int) -> Array:
        chosen = blocks[generator.integers(len(blocks), size=-(-n // block))]
        return (chosen * generator.choice([-1.0, 1.0], (len(chosen), 1))).ravel()[:n]

    return draw


def load_sp500() -> Array:
    """Return the daily log returns of the S&P 500, 1999 to 2018, from the package arch."""
    return np.diff(np.log(sp500.load()["Adj Close"].to_numpy()))


def load_days(path: Path) -> Array:
    """Return the log returns of all days of a file that have exactly SLOTS candles, one day after the other."""
    (series,) = read_file(path)
    steps = pd.Series(np.diff(np.log(series.values[:, CLOSE].astype(float))), index=series.local[1:].view("M8[us]"))
    days = [day.to_numpy() for _, day in steps.groupby(steps.index.normalize()) if len(day) == SLOTS]
    return np.concatenate(days)


MARKETS: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "random walk": draw_walk,
    "GARCH": draw_garch,
    "time of day": draw_time_of_day,
    "shuffled S&P 500": shuffle_blocks(load_sp500(), BLOCK),
}
DAILY = ("GARCH", "shuffled S&P 500")  # without a time of day


@dataclass(frozen=True, eq=False)
class Series:
    """A drawn market: steps to fit on (N_FIT,), and of each origin the lookback (N, L - 1), its moves (N, H) and its slot."""

    fit: Array
    past: Array
    actual: Array
    slots: Array  # (N,) of the first step of the horizon

    @property
    def volatility(self) -> Array:
        """Return the root mean square (N,) of each lookback."""
        volatility: Array = np.sqrt(np.square(self.past).mean(axis=1))
        return volatility


def draw_series(draw: Callable[[np.random.Generator, int], Array], generator: np.random.Generator, n: int) -> Series:
    """Draw a market with n origins, one every STRIDE candles."""
    steps = draw(generator, N_FIT + LOOKBACK - 1 + (n - 1) * STRIDE + HORIZON)
    first = N_FIT + LOOKBACK - 1 + np.arange(n) * STRIDE  # of the horizon
    past = steps[first[:, np.newaxis] + np.arange(1 - LOOKBACK, 0)]
    actual = steps[first[:, np.newaxis] + np.arange(HORIZON)].cumsum(axis=1)
    return Series(steps[:N_FIT], past, actual, first % SLOTS)


class Sampler:
    """Forecasters on a series, each fitted on the steps before the first origin. Each returns moves (N, P, H)."""

    def __init__(self, series: Series, generator: np.random.Generator, intraday: bool) -> None:
        self.series, self.generator, self.intraday = series, generator, intraday
        self.decay = choose_lambda([series.fit], HORIZON, LOOKBACK - 1)
        try:
            self.garch = fit_garch(series.fit)
        except NotApplicable:
            self.garch = None
        closes = pd.Series(np.exp(0.001 * np.append(0.0, series.fit).cumsum()))
        past = PastCloses({"": [closes]}, LOOKBACK, HORIZON, pd.Timedelta("1D"))
        self.majority = take_quantiles(measure_moves(past), BASELINE_PATHS)  # (P, H), in units of the volatility

    def walk(self, width: Array, n_paths: int) -> Array:
        """A Gaussian random walk with steps of a width (N,) or (N, H)."""
        drawn = self.generator.standard_normal((len(width), n_paths, HORIZON))
        return (drawn * width.reshape(len(width), 1, -1)).cumsum(axis=2)

    def resample(self, past: Array, width: Array, n_paths: int) -> Array:
        """A random walk with steps of the lookback, standardised, times a width (N, 1) or (N, H)."""
        chosen = self.generator.integers(past.shape[1], size=(len(past), n_paths * HORIZON))
        standardised = (past - past.mean(axis=1, keepdims=True)) / past.std(axis=1, keepdims=True)
        shocks = np.take_along_axis(standardised, chosen, axis=1)
        return (shocks.reshape(len(past), n_paths, HORIZON) * width[:, np.newaxis]).cumsum(axis=2)

    def ewma(self, n_paths: int) -> Array:
        past = self.series.past
        return self.resample(past, np.sqrt(compute_ewma_variance(past, self.decay))[:, np.newaxis], n_paths)

    def time_of_day(self, n_paths: int) -> Array:
        times = pd.Timestamp("2024-01-01") + pd.Timedelta("30min") * np.arange(SLOTS)  # slot s of the day at s × 30 min
        slots = find_slots(pd.DatetimeIndex(times))
        profile = measure_profile(self.series.fit, slots[np.arange(N_FIT) % SLOTS])
        scales = profile.scale(pd.DatetimeIndex(times))
        before = scales[(self.series.slots[:, np.newaxis] + np.arange(1 - LOOKBACK, 0)) % SLOTS]
        after = scales[(self.series.slots[:, np.newaxis] + np.arange(HORIZON)) % SLOTS]
        flat = self.series.past / before
        decay = choose_lambda([self.series.fit / scales[np.arange(N_FIT) % SLOTS]], HORIZON, LOOKBACK - 1)
        return self.resample(flat, np.sqrt(compute_ewma_variance(flat, decay))[:, np.newaxis] * after, n_paths)

    def simulate_garch(self, n_paths: int) -> Array:
        assert self.garch is not None
        shocks = draw_shocks(self.garch, (len(self.series.past), n_paths, HORIZON), self.generator)
        return simulate_garch(self.garch, filter_variance(self.garch, self.series.past), shocks)

    def always_up(self, n_paths: int) -> Array:
        """A random walk that drifts up by a tenth of a step's width a step."""
        width = self.series.volatility
        return self.walk(width, n_paths) + 0.1 * width[:, np.newaxis, np.newaxis] * np.arange(1, HORIZON + 1)

    def noisy(self, shift: float, n_paths: int) -> Array:
        """A random walk whose width is wrong by 20% and whose centre is wrong by a random share of the width (a model)."""
        n, width = len(self.series.past), self.series.volatility
        centre = shift * width * self.generator.standard_normal(n)
        grown = np.sqrt(np.arange(1, HORIZON + 1))
        paths = self.walk(width * np.exp(0.2 * self.generator.standard_normal(n)), n_paths)
        return paths + centre[:, np.newaxis, np.newaxis] * grown

    def baselines(self) -> dict[str, Array]:
        """Return the paths of all baselines without weights, those that apply."""
        width = self.series.volatility
        drawn = {
            "last_close": self.resample(self.series.past, width[:, np.newaxis], BASELINE_PATHS),
            "volatility": self.walk(width, BASELINE_PATHS),
            "ewma": self.ewma(BASELINE_PATHS),
            "majority": width[:, np.newaxis, np.newaxis] * self.majority,
        }
        mean = self.series.past.mean(axis=1)[:, np.newaxis, np.newaxis] * np.arange(1, HORIZON + 1)
        drawn["drift"] = self.resample(self.series.past, width[:, np.newaxis], BASELINE_PATHS) + mean
        if self.garch:
            drawn["garch"] = self.simulate_garch(BASELINE_PATHS)
        if self.intraday:
            drawn["time_of_day"] = self.time_of_day(BASELINE_PATHS)
        return drawn
