"""Compute the figures of an evaluation: every metric over the whole horizon and at each step of it.

Paths are (N, P, H): P sampled futures of H candles from each of N origins. The actual values are (N, H). The point forecast
is the median path for absolute errors, and the mean path for squared errors and correlations, because these minimise the
respective expected error (Gneiting 2011, doi 10.1198/jasa.2011.r10138).

A figure is a ratio of two sums. At one step of the horizon the sums go over the origins; the overall figure sums over origins
and steps. Exceptions are documented with the figure. A figure is NaN if its denominator is 0. Cases to which a metric does
not apply are left out of both sums. `FIGURE_KINDS` (figure_kinds.py) has the direction and the unit of each figure.
"""

from collections.abc import Callable

import numpy as np

from kronos.candles import Array
from kronos.evaluation.records import LEVELS, HorizonFigures
from kronos.evaluation.scores.metrics import (
    compute_absolute_error,
    compute_crps,
    compute_direction_hits,
    compute_ic,
    compute_rank_ic,
)
from kronos.evaluation.scores.quantiles import find_median, find_quantiles

WQL_QUANTILES = tuple(tenth / 10 for tenth in range(1, 10))

Figures = dict[str, HorizonFigures]
Bands = dict[int, tuple[Array, Array]]  # by level in percent: low (N, H), high (N, H)


def compute_price_figures(paths: Array, actual: Array, closes: Array, moves: bool = True) -> Figures:
    """Return the figures of closes, all in the candles' units.

    They are those of `_compute_point_figures` and `_compute_distribution_figures`, and for median path m and actual close y:
    - mape: mean of |y − m| / |y|, a share. Actual closes of 0 are left out.
    - smape: mean of 2 |y − m| / (|y| + |m|), a share from 0 to 2 (Makridakis 1993, doi 10.1016/0169-2070(93)90079-3).
    - mase: mean of |y − m| / q, where q is the mean |difference| of neighbouring closes in the origin's lookback (Hyndman &
      Koehler 2006, doi 10.1016/j.ijforecast.2006.03.001, section 3). Origins with a constant lookback are left out.

    Args:
        closes: the known closes (N, L), up to and including each origin.
        moves: false if the forecast's median and mean are the last known close, whatever was sampled.

    Raises:
        ValueError: fewer than 2 paths.
    """
    paths, actual, closes = (np.asarray(values, np.float64) for values in (paths, actual, closes))
    median, mean = _find_centre(paths, None if moves else closes[:, -1:])
    error = compute_absolute_error(median[:, np.newaxis], actual)
    naive = np.abs(np.diff(closes)).sum(axis=1, keepdims=True) / max(closes.shape[1] - 1, 1)  # (N, 1)
    return {
        **_compute_point_figures(median, mean, actual),
        "mape": average(_divide(error, np.abs(actual))),
        "smape": average(_divide(2 * error, np.abs(actual) + np.abs(median))),
        "mase": average(_divide(error, naive)),
        **_compute_distribution_figures(paths, actual),
    }


def compute_return_figures(paths: Array, actual: Array, moves: bool = True) -> Figures:
    """Return the figures of log returns since the last known close.

    They are those of `_compute_point_figures` and `_compute_distribution_figures`, and for mean path m and actual return y:
    - r2_os: 1 − Σ (y − m)² / Σ y²: skill against a forecast of no change (Gu, Kelly & Xiu 2020, doi 10.1093/rfs/hhaa009).
    - direction: share of actual values that moved in the same direction as the median path (`compute_direction_hits`).
    - ic, rank_ic: correlations of the mean path with the actual returns over the origins (`compute_ic`). The overall
      figure is the mean over the steps at which they are defined.

    Args:
        moves: false if the forecast's median and mean are no move, whatever was sampled. Its direction is then right in
            exactly half of all cases, and it has no correlation.

    Raises:
        ValueError: fewer than 2 paths.
    """
    paths, actual = np.asarray(paths, np.float64), np.asarray(actual, np.float64)
    median, mean = _find_centre(paths, None if moves else np.zeros((len(paths), 1)))
    mean_path = mean[:, np.newaxis]
    return {
        **_compute_point_figures(median, mean, actual),
        "r2_os": _pool(np.square(actual - mean), np.square(actual), _one_minus),
        "direction": average(compute_direction_hits(median[:, np.newaxis], actual)),
        "ic": average(compute_ic(mean_path, actual)[np.newaxis]),
        "rank_ic": average(compute_rank_ic(mean_path, actual)[np.newaxis]),
        **_compute_distribution_figures(paths, actual),
    }


def _find_centre(paths: Array, fixed: Array | None) -> tuple[Array, Array]:
    """Return the median and the mean path (N, H), or a fixed level (N, 1) for both."""
    if fixed is None:
        return find_median(paths), paths.mean(axis=1)
    centre = np.broadcast_to(fixed, (len(paths), paths.shape[2]))
    return centre, centre


def compute_bands(paths: Array) -> Bands:
    """Return the central bands of the paths at each of LEVELS.

    The ends are interpolated order statistics at (P + 1) p. If the actual value has the same distribution as the paths, it
    falls beyond an end with probability p, for any number of paths. With fewer than 2 / α − 1 paths (19 for the 90% band)
    the ends are the outermost paths.

    Raises:
        ValueError: paths are not (N, P, H) or not finite.
    """
    if paths.ndim != 3 or not np.isfinite(paths).all():
        raise ValueError(f"paths must be finite and (origins, paths, horizon), got {paths.shape}")
    return _find_bands(np.sort(paths, axis=1))


def _find_bands(ordered: Array) -> Bands:
    tails = [0.5 + sign * level / 200 for level in LEVELS for sign in (-1, 1)]
    ends = find_quantiles(ordered, tails, "weibull")  # (2 · levels, N, H)
    return {level: (low, high) for level, low, high in zip(LEVELS, ends[::2], ends[1::2])}


def _compute_point_figures(median: Array, mean: Array, actual: Array) -> Figures:
    """Return the figures of point forecasts (N, H).

    - mae: mean |y − median|.
    - rmse: root of the mean (y − mean)². The overall figure is the root of the mean over origins and steps.
    - r2: 1 − Σ (y − mean)² / Σ (y − ȳ)², where ȳ is the mean of the actual values at that step, which no forecast knows.
      The overall figure sums both over origins and steps.
    """
    squared = np.square(actual - mean)
    varies = np.ptp(actual, axis=0) > 0  # the mean of equal values may differ from them by rounding
    deviations = np.where(varies, actual - actual.mean(axis=0), 0)
    return {
        "mae": average(compute_absolute_error(median[:, np.newaxis], actual)),
        "rmse": _pool(squared, np.ones_like(squared), np.sqrt),
        "r2": _pool(squared, np.square(deviations), _one_minus),
    }


def _compute_distribution_figures(paths: Array, actual: Array) -> Figures:
    """Return the figures of the paths' distribution.

    - crps: mean fair CRPS (`compute_crps`).
    - wql: 2 Σ pinball loss / Σ |y|, averaged over the quantiles 0.1 … 0.9, which are interpolated linearly between paths
      as in GluonTS and Chronos (Ansari et al. 2024, arXiv 2403.07815).
    - coverage_L: share of actual values in the central L% band, edges included (`compute_bands`).
    - width_L: mean width of the band.
    """
    ordered = np.sort(paths, axis=1)
    values = find_quantiles(ordered, WQL_QUANTILES, "linear")  # (9, N, H)
    pinball = np.mean([_compute_pinball(value, actual, q) for value, q in zip(values, WQL_QUANTILES)], axis=0)
    figures = {"crps": average(compute_crps(paths, actual)), "wql": _pool(2 * pinball, np.abs(actual))}
    for level, (low, high) in _find_bands(ordered).items():
        figures[f"coverage_{level}"] = average((low <= actual) & (actual <= high))
        figures[f"width_{level}"] = average(high - low)
    return figures


def _compute_pinball(forecast: Array, actual: Array, quantile: float) -> Array:
    """Return the quantile loss (N, H) (Koenker & Bassett 1978, doi 10.2307/1913643)."""
    difference = actual - forecast
    loss: Array = np.maximum(quantile * difference, (quantile - 1) * difference)
    return loss


def average(figures: Array) -> HorizonFigures:
    """Return the mean of figures (N, H), without NaN."""
    figures = figures.astype(np.float64)
    known = ~np.isnan(figures)
    return _pool(np.where(known, figures, 0), known.astype(np.float64))


def _pool(
    numerator: Array, denominator: Array, finish: Callable[[Array], Array] = lambda ratio: ratio
) -> HorizonFigures:
    """Return finish(ratio) of the sums of two arrays (N, H); finish must keep NaN."""
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
