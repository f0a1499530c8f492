"""Baselines without weights: a forecast is worth something only if it beats them.

Each samples paths, not a point, so its CRPS is comparable. Moves are of log prices; if a close of the lookback is not
positive and has no logarithm, they are differences of the closes. A step across a night or a weekend counts as one
step like any other, which is crude: a bootstrap draws such a step anywhere in the horizon.

A new baseline is a function from what is known, the number of paths P and a generator to closes (P, H), registered under a
name and the labels of reports. For example the mean of the last 20 closes, moved from there like a random walk:

    @baseline("mean_20", "Mean of 20", "20 期均值")
    def draw_mean_20(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
        "The mean of the last 20 closes, with bootstrapped steps."
        levels, to_close = compute_levels(known.closes)
        steps = np.diff(levels)
        drawn = rng.choice(steps - steps.mean(), (n_paths, len(known.future)))
        return to_close(levels[-20:].mean() + drawn.cumsum(axis=1))

`NAIVE_FORECASTERS["mean_20"]` is then a forecaster, and evaluation.rivals may name it. BASELINES (kronos/config/evaluation.py)
lists the default ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput, NotApplicable
from kronos.evaluation.results import Label
from kronos.forecast.sampling import number_of

MIN_STEPS = 8  # of a lookback, to estimate its volatility

Draw = Callable[[ForecastInput, int, np.random.Generator], Array]


@dataclass(frozen=True, eq=False)
class NaiveForecaster:
    """A forecaster that is one function. draw: samples closes (n_paths, H) from what is known at one origin."""

    name: str
    label: Label
    draw: Draw
    key: None = None

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> Array:
        """Sample closes (N, n_paths, H); the generator of each origin is seeded by the seed and the origin's time.

        Raises:
            NotApplicable: it cannot forecast these candles.
        """
        rngs = (np.random.default_rng([seed, number_of(each.origin)]) for each in known)
        return np.stack([self.draw(each, n_paths, rng) for each, rng in zip(known, rngs)])


NAIVE_FORECASTERS: dict[str, Forecaster] = {}


def baseline(name: str, en: str = "", zh: str = "") -> Callable[[Draw], Draw]:
    """Register a function as the baseline of a name, which reports call en and zh; by default the name."""

    def register(draw: Draw) -> Draw:
        label: Label = {"en": en or name, "zh": zh or en or name} if en or zh else name
        NAIVE_FORECASTERS[name] = NaiveForecaster(name, label, draw)
        return draw

    return register


def compute_levels(closes: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Return log closes (L,), or the closes if one is not positive, and the function from these back to closes."""
    if (closes > 0).all():
        return np.log(closes), np.exp
    return closes, np.asarray


@baseline("last_close")
def draw_last_close(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """The last close, with centred steps of the lookback drawn again (Hyndman & Athanasopoulos, FPP3, sections 5.2, 5.5)."""
    levels, to_close = compute_levels(known.closes)
    drawn = rng.choice(_centre(_find_steps(levels)), (n_paths, len(known.future)))
    return to_close(levels[-1] + drawn.cumsum(axis=1))


@baseline("drift")
def draw_drift(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """The mean step of the lookback continues, with its steps drawn again (FPP3, sections 5.2, 5.5)."""
    levels, to_close = compute_levels(known.closes)
    steps = _find_steps(levels)
    drawn = steps.mean() + rng.choice(_centre(steps), (n_paths, len(known.future)))
    return to_close(levels[-1] + drawn.cumsum(axis=1))


@baseline("volatility")
def draw_volatility(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """A random walk without drift. Its Gaussian steps are as wide as those of the lookback (root mean square)."""
    levels, to_close = compute_levels(known.closes)
    width = np.sqrt(np.square(_find_steps(levels)).mean())
    drawn = rng.normal(0.0, width, (n_paths, len(known.future)))
    return to_close(levels[-1] + drawn.cumsum(axis=1))


@baseline("seasonal_naive")
def draw_seasonal_naive(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """The latest known close of the same phase of the season, plus a residual for each season ahead (FPP3, 5.2, 5.5).

    The season is that of `choose_season`. A residual is the move from one season to the next, centred, drawn from those of
    the lookback. A lookback of one season has none, and all paths are the point forecast. A horizon longer than a
    season reuses the last known one. A missing phase, as after a missing candle, is replaced by the one before.

    Raises:
        NotApplicable: the lookback is shorter than a season.
    """
    phases, future = _find_phases(known)
    levels, to_close = compute_levels(known.closes)
    latest = pd.Series(levels).groupby(phases).last()  # in order of phase
    forecast = latest.to_numpy()[np.searchsorted(latest.index, future, side="right") - 1]
    residuals = pd.Series(levels).groupby(phases).diff().dropna().to_numpy()
    if not residuals.size:
        return to_close(np.tile(forecast, (n_paths, 1)))
    drawn = rng.choice(_centre(residuals), (n_paths, len(future)))
    return to_close(forecast + pd.DataFrame(drawn.T).groupby(future).cumsum().to_numpy().T)


def _find_steps(levels: Array) -> Array:
    """Return the steps (L - 1,) of a lookback.

    Raises:
        NotApplicable: there are too few to estimate how wide steps are; such a baseline would be too easy to beat.
    """
    if len(levels) <= MIN_STEPS:
        raise NotApplicable("short_for_volatility", n=len(levels), least=MIN_STEPS + 1)
    steps: Array = np.diff(levels)
    return steps


def _centre(steps: Array) -> Array:
    """Take the mean from steps (n,), and widen them by the sqrt(n / (n − 1)) that this narrows them by."""
    n = len(steps)
    centred: Array = (steps - steps.mean()) * np.sqrt(n / max(n - 1, 1))
    return centred


@dataclass(frozen=True)
class Season:
    """What repeats: its name and length, and at which phase of it (T,) times are."""

    name: str
    length: pd.Timedelta
    phase: Callable[[pd.DatetimeIndex], Array]


DAY = Season("day", pd.Timedelta(days=1), lambda t: np.asarray(t - t.normalize()))
WEEK = Season("week", pd.Timedelta(days=7), lambda t: np.asarray(t.day_of_week))
YEAR_OF_WEEKS = Season("year", pd.Timedelta(days=364), lambda t: t.isocalendar().week.to_numpy(np.int64))
YEAR_OF_MONTHS = Season("year", pd.Timedelta(days=365), lambda t: np.asarray(t.month))


def choose_season(times: pd.DatetimeIndex) -> Season:
    """Choose by the median time between candles: the day for intraday candles, the week for daily ones, else the year.

    Weekly candles are matched by week of the year (ISO 8601), longer ones by month.
    """
    step = pd.Timedelta(np.median(np.diff(times.asi8)), unit=times.unit)
    if step < DAY.length:
        return DAY
    if step < WEEK.length:
        return WEEK
    return YEAR_OF_WEEKS if step < 4 * WEEK.length else YEAR_OF_MONTHS


def _find_phases(known: ForecastInput) -> tuple[Array, Array]:
    """Return the phases of the known times (L,) and of the future ones (H,); one before all known ones becomes the first known.

    Raises:
        NotApplicable: the lookback is shorter than a season.
    """
    times = pd.DatetimeIndex(known.candles.index)
    season = choose_season(times)
    phases, future = season.phase(times), season.phase(known.future)
    if not np.isin(future, phases).all() and times[-1] - times[0] < season.length:
        raise NotApplicable(f"short_for_{season.name}", n=len(times))
    return phases, np.maximum(future, phases.min())
