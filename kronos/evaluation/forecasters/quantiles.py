"""Forecasters that predict quantiles of the next closes, as pretrained models for any time series do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from types import ModuleType

import numpy as np
from scipy.special import ndtri

from kronos.candles import Array
from kronos.evaluation.forecasters.base import ForecastInput, NotApplicable
from kronos.evaluation.forecasters.naive import compute_levels, find_steps
from kronos.evaluation.records import Note
from kronos.forecast.sampling import hash_symbol, number_of

# Predicts quantiles (N, H, Q) of N series (N, L) for H steps.
Predict = Callable[[Array, int], Array]


@dataclass(frozen=True, eq=False)
class QuantileForecaster:
    """A model that predicts quantiles of the log close.

    It reads log closes (closes if one is not positive) as differences from the last one, divided by the root mean square
    step of the lookback. The currency and the price level therefore do not matter.

    about: the model, its licence and its training period, for the report. probabilities: of the Q quantiles, ascending.
    longest: the longest horizon that it forecasts in one piece, if it forecasts no longer ones.
    """

    name: str
    key: str
    about: Note
    probabilities: Sequence[float]
    predict: Predict
    longest: int | None = None
    moves: bool = True

    @property
    def label(self) -> str:
        return self.name

    def sample(self, known: Sequence[ForecastInput], n_paths: int, seed: int) -> Array:
        """Sample closes (N, n_paths, H).

        The random numbers depend on the seed, the symbol and the origin. The other origins affect the result only by rounding.

        Raises:
            NotApplicable: the lookback is too short, or the horizon too long.
        """
        horizon = len(known[0].future)
        if self.longest is not None and horizon > self.longest:
            raise NotApplicable("long_horizon", horizon=horizon, longest=self.longest)
        levels, to_closes = zip(*(compute_levels(each.closes) for each in known))
        units = np.array([np.sqrt(np.square(find_steps(each)).mean()) or 1.0 for each in levels])[:, None, None]
        last = np.array([each[-1] for each in levels])[:, None, None]
        series = (np.stack(levels) - last[..., 0]) / units[..., 0]
        scores = np.stack([_draw_scores(each, n_paths, horizon, seed) for each in known])
        drawn = last + units * draw_from_quantiles(self.predict(series, horizon), self.probabilities, scores)
        return np.stack([to_close(paths) for to_close, paths in zip(to_closes, drawn)])


def draw_from_quantiles(quantiles: Array, probabilities: Sequence[float], scores: Array) -> Array:
    """Convert standard normal scores (N, P, H) to values (N, P, H) with quantiles (N, H, Q) at probabilities (Q,).

    Crossing quantiles are sorted (Chernozhukov et al. 2010, doi 10.3982/ECTA7880). Values between two quantiles are
    interpolated linearly in the score. The tails beyond the outermost quantiles are normal; their standard deviation is
    that of a normal distribution with the same distance between the outermost quantiles.
    """
    knots, ordered = ndtri(np.asarray(probabilities)), np.sort(quantiles, axis=-1).astype(np.float64)
    slope = (ordered[..., -1] - ordered[..., 0]) / (knots[-1] - knots[0])  # (N, H)
    beyond = scores - scores.clip(knots[0], knots[-1])
    inside = [[np.interp(z, knots, q) for z, q in zip(steps.T, each)] for steps, each in zip(scores, ordered)]
    values: Array = np.swapaxes(np.array(inside), 1, 2) + slope[:, None] * beyond
    return values


def _draw_scores(known: ForecastInput, n_paths: int, horizon: int, seed: int) -> Array:
    """Draw standard normal scores (P, H), correlated over the steps as the levels of a random walk are.

    A model of quantiles does not know how the steps of one path depend on each other. Metrics by step do not depend on it.
    """
    rng = np.random.default_rng([seed, number_of(known.origin), *hash_symbol(known.symbol)])
    steps = rng.standard_normal((n_paths, horizon))
    scores: Array = steps.cumsum(axis=1) / np.sqrt(np.arange(1, horizon + 1))
    return scores


def import_extra(module: str, package: str) -> tuple[ModuleType, str]:
    """Import an optional package; return it and its version.

    Raises:
        NotApplicable: it is not installed.
    """
    try:
        return import_module(module), version(package)
    except ImportError:
        raise NotApplicable("not_installed", package=package) from None
