"""The figures of an evaluation: every metric over the whole horizon and at each of its times.

Throughout, paths are (N, P, H), P sampled futures of H candles from each of N origins, and actual is (N, H), what came. A point
forecast is the median path where absolute errors count and the mean path where squared errors or correlations do, as these are
what the two ask for (Gneiting 2011, doi 10.1198/jasa.2011.r10138). A figure is a ratio of two sums: over the origins at one
time of the horizon, and over origins and times for the overall figure; the exceptions are said. It is NaN where the
denominator is 0, and single cases that do not apply are left out of both sums. `FIGURE_KINDS` (figure_kinds.py) says how to read them.
"""

from collections.abc import Callable

import numpy as np

from kronos.candles import Array
from kronos.evaluation.results import LEVELS, HorizonFigures
from kronos.evaluation.scores.metrics import (
    compute_absolute_error,
    compute_crps,
    compute_direction_hits,
    compute_ic,
    compute_rank_ic,
)

WQL_QUANTILES = tuple(tenth / 10 for tenth in range(1, 10))

Figures = dict[str, HorizonFigures]
Bands = dict[int, tuple[Array, Array]]  # by level in per cent: low (N, H), high (N, H)


def compute_price_figures(paths: Array, actual: Array, closes: Array) -> Figures:
    """Return the figures of closes, all in the candles' units.

    Those of `_compute_point_figures` and `_compute_distribution_figures`, and of the median path m for the actual y:
    - mape: mean of |y − m| / |y|, a share; truths of 0 are left out.
    - smape: mean of 2 |y − m| / (|y| + |m|), a share from 0 to 2 (Makridakis 1993, doi 10.1016/0169-2070(93)90079-3).
    - mase: mean of |y − m| / q, q being the mean |difference| of neighbouring closes of the origin's lookback (Hyndman &
      Koehler 2006, doi 10.1016/j.ijforecast.2006.03.001, section 3); origins whose lookback stood still are left out.

    Args:
        closes: the known ones (N, L) before each origin, its own included.

    Raises:
        ValueError: fewer than 2 paths.
    """
    paths, actual, closes = (np.asarray(values, np.float64) for values in (paths, actual, closes))
    median = np.median(paths, axis=1)  # (N, H)
    error = compute_absolute_error(median[:, np.newaxis], actual)
    naive = np.abs(np.diff(closes)).sum(axis=1, keepdims=True) / max(closes.shape[1] - 1, 1)  # (N, 1)
    return {
        **_compute_point_figures(median, paths.mean(axis=1), actual),
        "mape": average(_divide(error, np.abs(actual))),
        "smape": average(_divide(2 * error, np.abs(actual) + np.abs(median))),
        "mase": average(_divide(error, naive)),
        **_compute_distribution_figures(paths, actual),
    }


def compute_return_figures(paths: Array, actual: Array) -> Figures:
    """Return the figures of log returns since the last known close.

    Those of `_compute_point_figures` and `_compute_distribution_figures`, and
    - r2_os: 1 − Σ (y − m)² / Σ y² for the mean path m, against the forecast that nothing moves (Gu, Kelly & Xiu 2020, doi
      10.1093/rfs/hhaa009).
    - direction: share of truths that moved to the side that the median path did (`compute_direction_hits`).
    - ic, rank_ic: correlations of the mean path and the actual over the origins (`compute_ic`). Overall: the mean over the
      times that have one.

    Raises:
        ValueError: fewer than 2 paths.
    """
    paths, actual = np.asarray(paths, np.float64), np.asarray(actual, np.float64)
    median, mean = np.median(paths, axis=1), paths.mean(axis=1)  # (N, H)
    mean_path = mean[:, np.newaxis]
    return {
        **_compute_point_figures(median, mean, actual),
        "r2_os": _pool(np.square(actual - mean), np.square(actual), _one_minus),
        "direction": average(compute_direction_hits(median[:, np.newaxis], actual)),
        "ic": average(compute_ic(mean_path, actual)[np.newaxis]),
        "rank_ic": average(compute_rank_ic(mean_path, actual)[np.newaxis]),
        **_compute_distribution_figures(paths, actual),
    }


def compute_bands(paths: Array) -> Bands:
    """Return the central bands of the paths at each of LEVELS.

    Ends are order statistics at (P + 1) p, interpolated, beyond which an equally distributed actual falls with
    probability p, however few the paths; below 2 / α − 1 of them (19 for the 90 % band) they are the outermost paths.

    Raises:
        ValueError: paths are not (N, P, H) or not finite.
    """
    if paths.ndim != 3 or not np.isfinite(paths).all():
        raise ValueError(f"paths must be finite and (origins, paths, horizon), got {paths.shape}")
    tails = [(0.5 - level / 200, 0.5 + level / 200) for level in LEVELS]
    ends = np.quantile(paths, tails, axis=1, method="weibull")  # (levels, 2, N, H)
    return {level: (low, high) for level, (low, high) in zip(LEVELS, ends)}


def _compute_point_figures(median: Array, mean: Array, actual: Array) -> Figures:
    """Return the figures of point forecasts (N, H).

    - mae: mean |y − median|.
    - rmse: root of the mean (y − mean)²; overall the root of the mean over origins and times.
    - r2: 1 − Σ (y − mean)² / Σ (y − ȳ)², ȳ being the truths' own mean at that time of the horizon, which no forecast
      knows; overall both sums go over origins and times.
    """
    squared = np.square(actual - mean)
    varies = np.ptp(actual, axis=0) > 0  # the mean of equal truths may differ from them by rounding
    deviations = np.where(varies, actual - actual.mean(axis=0), 0)
    return {
        "mae": average(compute_absolute_error(median[:, np.newaxis], actual)),
        "rmse": _pool(squared, np.ones_like(squared), np.sqrt),
        "r2": _pool(squared, np.square(deviations), _one_minus),
    }


def _compute_distribution_figures(paths: Array, actual: Array) -> Figures:
    """Return the figures of the paths' distribution.

    - crps: mean fair CRPS (`compute_crps`).
    - wql: 2 Σ pinball loss / Σ |y|, the mean over the quantiles 0.1 … 0.9, linear between paths, as in GluonTS
      and Chronos (Ansari et al. 2024, arXiv 2403.07815).
    - coverage_L: share of truths in the central band of L per cent, its edges included (`compute_bands`).
    - width_L: mean width of the band.
    """
    values = np.quantile(paths, WQL_QUANTILES, axis=1)  # (9, N, H)
    pinball = np.mean([_compute_pinball(value, actual, q) for value, q in zip(values, WQL_QUANTILES)], axis=0)
    figures = {"crps": average(compute_crps(paths, actual)), "wql": _pool(2 * pinball, np.abs(actual))}
    for level, (low, high) in compute_bands(paths).items():
        figures[f"coverage_{level}"] = average((low <= actual) & (actual <= high))
        figures[f"width_{level}"] = average(high - low)
    return figures


def _compute_pinball(forecast: Array, actual: Array, quantile: float) -> Array:
    """Return the quantile loss (N, H) (Koenker & Bassett 1978, doi 10.2307/1913643)."""
    difference = actual - forecast
    loss: Array = np.maximum(quantile * difference, (quantile - 1) * difference)
    return loss


def average(figures: Array) -> HorizonFigures:
    """Return the mean of figures (N, H) that are not NaN."""
    figures = figures.astype(np.float64)
    known = ~np.isnan(figures)
    return _pool(np.where(known, figures, 0), known.astype(np.float64))


def _pool(
    numerator: Array, denominator: Array, finish: Callable[[Array], Array] = lambda ratio: ratio
) -> HorizonFigures:
    """Return the ratio of the sums of two arrays (N, H), carried on by finish, which keeps NaN."""
    overall = finish(_divide(numerator.sum(), denominator.sum()))
    by_horizon = finish(_divide(numerator.sum(axis=0), denominator.sum(axis=0)))
    return HorizonFigures(overall=float(overall), by_horizon=tuple(by_horizon.tolist()))


def _divide(numerator: Array, denominator: Array) -> Array:
    """Return numerator / denominator, NaN where the denominator is 0."""
    shape = np.broadcast_shapes(np.shape(numerator), np.shape(denominator))
    ratio: Array = np.divide(numerator, denominator, out=np.full(shape, np.nan), where=denominator != 0)
    return ratio


def _one_minus(ratio: Array) -> Array:
    return 1 - ratio
