"""Baselines without weights. A forecast is useful only if it beats them.

Each samples paths instead of a point, which makes its CRPS comparable. Moves are those of log prices, or of the closes if a
close of the lookback is not positive. A step across a night or a weekend is treated like any other step. This is crude: a
bootstrap may draw such a step anywhere in the horizon.

A new baseline is a function of the forecast input, the number of paths P and a generator. It returns closes (P, H), and it is
registered under a name with labels for reports. Example: a random walk from the mean of the last 20 closes:

    @baseline("mean_20", "Mean of 20", "20 期均值")
    def draw_mean_20(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
        "Add bootstrapped steps to the mean of the last 20 closes."
        levels, to_close = compute_levels(known.closes)
        steps = find_steps(levels)
        drawn = rng.choice(steps - steps.mean(), (n_paths, len(known.future)))
        return to_close(levels[-20:].mean() + drawn.cumsum(axis=1))

`NAIVE_FORECASTERS["mean_20"]` is then a forecaster, and evaluation.rivals may contain its name. BASELINES
(kronos/config/evaluation.py) lists the default baselines.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput, NotApplicable
from kronos.evaluation.records import Label
from kronos.forecast.sampling import hash_symbol, number_of

MIN_STEPS = 8  # steps of a lookback that are needed to estimate its volatility

Draw = Callable[[ForecastInput, int, np.random.Generator], Array]


@dataclass(frozen=True, eq=False)
class NaiveForecaster:
    """A forecaster that consists of one function. draw: samples closes (n_paths, H) from one forecast input."""

    name: str
    label: Label
    draw: Draw
    moves: bool = True
    key: None = None

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> Array:
        """Sample closes (N, n_paths, H); the generator of each origin is seeded by the seed, the origin's time and the symbol.

        Raises:
            NotApplicable: the baseline cannot forecast these candles.
        """
        rngs = (np.random.default_rng([seed, number_of(each.origin), *hash_symbol(each.symbol)]) for each in known)
        return np.stack([self.draw(each, n_paths, rng) for each, rng in zip(known, rngs)])


NAIVE_FORECASTERS: dict[str, Forecaster] = {}


def baseline(name: str, en: str = "", zh: str = "", moves: bool = True) -> Callable[[Draw], Draw]:
    """Register a function as a baseline. en, zh: its label in reports, by default the name. moves: see `Forecaster`."""

    def register(draw: Draw) -> Draw:
        label: Label = {"en": en or name, "zh": zh or en or name} if en or zh else name
        NAIVE_FORECASTERS[name] = NaiveForecaster(name, label, draw, moves)
        return draw

    return register


def compute_levels(closes: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Return log closes (L,), or the closes if one is not positive, and the function that converts levels to closes."""
    if (closes > 0).all():
        return np.log(closes), np.exp
    return closes, np.asarray


@baseline("last_close", moves=False)
def draw_last_close(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """Add resampled, centred steps of the lookback to the last close (Hyndman & Athanasopoulos, FPP3, sections 5.2, 5.5)."""
    levels, to_close = compute_levels(known.closes)
    drawn = rng.choice(_centre(find_steps(levels)), (n_paths, len(known.future)))
    return to_close(levels[-1] + drawn.cumsum(axis=1))


@baseline("drift")
def draw_drift(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """Continue the mean step of the lookback, with resampled deviations from it (FPP3, sections 5.2, 5.5)."""
    levels, to_close = compute_levels(known.closes)
    steps = find_steps(levels)
    drawn = steps.mean() + rng.choice(_centre(steps), (n_paths, len(known.future)))
    return to_close(levels[-1] + drawn.cumsum(axis=1))


@baseline("volatility", moves=False)
def draw_volatility(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """Draw a random walk without drift. Its Gaussian steps are as wide as those of the lookback (root mean square)."""
    levels, to_close = compute_levels(known.closes)
    width = np.sqrt(np.square(find_steps(levels)).mean())
    drawn = rng.normal(0.0, width, (n_paths, len(known.future)))
    return to_close(levels[-1] + drawn.cumsum(axis=1))


@baseline("seasonal_naive")
def draw_seasonal_naive(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """Repeat the latest known close of the same phase of the season, plus a residual per season ahead (FPP3, 5.2, 5.5).

    `choose_season` chooses the season. A residual is a centred move from one season to the next, drawn from those of the
    lookback. If the lookback is one season long there are no residuals, and all paths equal the point forecast. A horizon
    longer than a season repeats the last known season. A missing phase, due to a missing candle, is replaced by the
    previous one.

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


def find_steps(levels: Array) -> Array:
    """Return the steps (L - 1,) of a lookback.

    Raises:
        NotApplicable: there are too few steps to estimate their width; the baseline would be too easy to beat.
    """
    if len(levels) <= MIN_STEPS:
        raise NotApplicable("short_for_volatility", n=len(levels), least=MIN_STEPS + 1)
    steps: Array = np.diff(levels)
    return steps


def _centre(steps: Array) -> Array:
    """Subtract the mean from steps (n,), and multiply by sqrt(n / (n − 1)) to restore their variance."""
    n = len(steps)
    centred: Array = (steps - steps.mean()) * np.sqrt(n / max(n - 1, 1))
    return centred


@dataclass(frozen=True)
class Season:
    """A season. phase: maps times (T,) to their phase in the season (T,)."""

    name: str
    length: pd.Timedelta
    phase: Callable[[pd.DatetimeIndex], Array]


DAY = Season("day", pd.Timedelta(days=1), lambda t: np.asarray(t - t.normalize()))
WEEK = Season("week", pd.Timedelta(days=7), lambda t: np.asarray(t.day_of_week))
YEAR_OF_WEEKS = Season("year", pd.Timedelta(days=364), lambda t: t.isocalendar().week.to_numpy(np.int64))
YEAR_OF_MONTHS = Season("year", pd.Timedelta(days=365), lambda t: np.asarray(t.month))


def choose_season(times: pd.DatetimeIndex) -> Season:
    """Choose the season by the median time between candles: day for intraday candles, week for daily ones, else year.

    The phase of weekly candles is the ISO 8601 week of the year; that of longer candles is the month.
    """
    step = pd.Timedelta(np.median(np.diff(times.asi8)), unit=times.unit)
    if step < DAY.length:
        return DAY
    if step < WEEK.length:
        return WEEK
    return YEAR_OF_WEEKS if step < 4 * WEEK.length else YEAR_OF_MONTHS


def _find_phases(known: ForecastInput) -> tuple[Array, Array]:
    """Return the phases of known (L,) and future (H,) times. A future phase below all known ones becomes the lowest known.

    Raises:
        NotApplicable: the lookback is shorter than a season.
    """
    times = pd.DatetimeIndex(known.candles.index)
    season = choose_season(times)
    phases, future = season.phase(times), season.phase(known.future)
    if not np.isin(future, phases).all() and times[-1] - times[0] < season.length:
        raise NotApplicable(f"short_for_{season.name}", n=len(times))
    return phases, np.maximum(future, phases.min())
