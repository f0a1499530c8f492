"""Baselines without weights: what a forecast has to beat before it is worth anything.

Each samples paths, not a point, so that it is a fair baseline by CRPS. Moves are of log prices; where a close of the lookback
is not positive, which has no logarithm, they are differences of the closes. A step across a night or a weekend counts as one
step like any other, which is crude: a bootstrap draws such a step anywhere in the horizon.

Adding one is ten lines: a function from what is known, the number of paths P and a generator to closes (P, H), under a name
and what people call it. For example the mean of the last 20 closes, moved from there like a random walk:

    @baseline("mean_20", "Mean of 20", "20 期均值")
    def draw_mean_20(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
        "The mean of the last 20 closes, with bootstrapped steps."
        levels, to_close = compute_levels(known.closes)
        steps = np.diff(levels)
        drawn = rng.choice(steps - steps.mean(), (n_paths, len(known.future)))
        return to_close(levels[-20:].mean() + drawn.cumsum(axis=1))

`NAIVE_FORECASTERS["mean_20"]` is then a forecaster, and evaluation.rivals may name it; BASELINES (kronos/config/evaluation.py) has
the default ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput, NotApplicable
from kronos.evaluation.results import Texts
from kronos.forecast.sampling import number_of

MIN_STEPS = 8  # of a lookback, that its volatility can be measured in

Draw = Callable[[ForecastInput, int, np.random.Generator], Array]


@dataclass(frozen=True, eq=False)
class NaiveForecaster:
    """A forecaster that is one function. draw: samples closes (n_paths, H) from what is known at one origin."""

    name: str
    label: Texts
    draw: Draw
    key: None = None

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> Array:
        """Sample closes (N, n_paths, H); the generator of an origin is of the seed and the origin's time.

        Raises:
            NotApplicable: it cannot forecast such candles.
        """
        rngs = (np.random.default_rng([seed, number_of(each.origin)]) for each in known)
        return np.stack([self.draw(each, n_paths, rng) for each, rng in zip(known, rngs)])


NAIVE_FORECASTERS: dict[str, Forecaster] = {}


def baseline(name: str, en: str, zh: str) -> Callable[[Draw], Draw]:
    """Register a function as the baseline of a name, which people call en and zh."""

    def register(draw: Draw) -> Draw:
        NAIVE_FORECASTERS[name] = NaiveForecaster(name, {"en": en, "zh": zh}, draw)
        return draw

    return register


def compute_levels(closes: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Return what moves are differences of, log closes (L,) or, where one is not positive, closes; and the way back."""
    if (closes > 0).all():
        return np.log(closes), np.exp
    return closes, np.asarray


@baseline("last_close", "Last close", "最新收盘价")
def draw_last_close(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """The last close, with centred steps of the lookback drawn again (Hyndman & Athanasopoulos, FPP3, sections 5.2, 5.5)."""
    levels, to_close = compute_levels(known.closes)
    drawn = rng.choice(_centre(_find_steps(levels)), (n_paths, len(known.future)))
    return to_close(levels[-1] + drawn.cumsum(axis=1))


@baseline("drift", "Drift", "漂移法")
def draw_drift(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """The lookback's mean step goes on, with its steps drawn again (FPP3, sections 5.2, 5.5)."""
    levels, to_close = compute_levels(known.closes)
    steps = _find_steps(levels)
    drawn = steps.mean() + rng.choice(_centre(steps), (n_paths, len(known.future)))
    return to_close(levels[-1] + drawn.cumsum(axis=1))


@baseline("volatility", "Historical volatility", "历史波动率法")
def draw_volatility(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """A random walk without drift, its Gaussian steps as wide as the lookback's: after h steps their root mean square × sqrt(h)."""
    levels, to_close = compute_levels(known.closes)
    width = np.sqrt(np.square(_find_steps(levels)).mean())
    drawn = rng.normal(0.0, width, (n_paths, len(known.future)))
    return to_close(levels[-1] + drawn.cumsum(axis=1))


@baseline("seasonal_naive", "Seasonal naive", "季节性朴素法")
def draw_seasonal_naive(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
    """The latest known close of the same phase of the season, plus a residual for each season ahead (FPP3, 5.2, 5.5).

    The season is `choose_season`'s. A residual is the move from one season to the next, centred, drawn again from the
    lookback's; where the lookback holds but one season there is none, and all paths are the point forecast. A horizon
    longer than a season reuses the last known one. A phase that is missing, as where a candle is, is that before it.

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
        NotApplicable: they are too few to tell how wide steps are; whoever knows nothing else would beat such a baseline.
    """
    if len(levels) <= MIN_STEPS:
        raise NotApplicable(
            {
                "en": f"a lookback of {len(levels)} candles is too short to measure the volatility in; it takes {MIN_STEPS + 1}",
                "zh": f"回看窗口只有 {len(levels)} 根 K 线，不足以估计波动率，至少需要 {MIN_STEPS + 1} 根",
            }
        )
    steps: Array = np.diff(levels)
    return steps


def _centre(steps: Array) -> Array:
    """Take the mean from steps (n,), and widen them by the sqrt(n / (n − 1)) that this narrows them by."""
    n = len(steps)
    centred: Array = (steps - steps.mean()) * np.sqrt(n / max(n - 1, 1))
    return centred


@dataclass(frozen=True)
class Season:
    """What repeats: how long it is, and at which phase of it (T,) times are."""

    length: pd.Timedelta
    phase: Callable[[pd.DatetimeIndex], Array]
    label: Texts


DAY = Season(pd.Timedelta(days=1), lambda t: np.asarray(t - t.normalize()), {"en": "a day", "zh": "一天"})
WEEK = Season(pd.Timedelta(days=7), lambda t: np.asarray(t.day_of_week), {"en": "a week", "zh": "一周"})
YEAR_OF_WEEKS = Season(
    pd.Timedelta(days=364), lambda t: t.isocalendar().week.to_numpy(np.int64), {"en": "a year", "zh": "一年"}
)
YEAR_OF_MONTHS = Season(pd.Timedelta(days=365), lambda t: np.asarray(t.month), {"en": "a year", "zh": "一年"})


def choose_season(times: pd.DatetimeIndex) -> Season:
    """Choose by the usual time between candles: the day for those within it, the week for daily ones, else the year.

    Longer ones than a week are matched by month, weekly ones by week of the year (ISO 8601).
    """
    step = pd.Timedelta(np.median(np.diff(times.asi8)), unit=times.unit)
    if step < DAY.length:
        return DAY
    if step < WEEK.length:
        return WEEK
    return YEAR_OF_WEEKS if step < 4 * WEEK.length else YEAR_OF_MONTHS


def _find_phases(known: ForecastInput) -> tuple[Array, Array]:
    """Return the phases of the known times (L,) and of those to come (H,), wrapped to the first known where before all.

    Raises:
        NotApplicable: the lookback is shorter than a season.
    """
    times = pd.DatetimeIndex(known.candles.index)
    season = choose_season(times)
    phases, future = season.phase(times), season.phase(known.future)
    if not np.isin(future, phases).all() and times[-1] - times[0] < season.length:
        n = len(times)
        raise NotApplicable(
            {
                "en": f"the lookback of {n} candles is shorter than {season.label['en']}, the season of such candles, so that "
                "it holds none of the same time before: set data.lookback_window higher",
                "zh": f"回看窗口只有 {n} 根 K 线，不足{season.label['zh']}（这类 K 线的季节周期），找不到上一周期同一时刻的 K 线："
                "请调大 data.lookback_window",
            }
        )
    return phases, np.maximum(future, phases.min())
