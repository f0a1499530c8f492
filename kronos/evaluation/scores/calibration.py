"""Calibrate bands on the validation split: split conformal prediction on top of the sampled paths.

The method is conformalised quantile regression (Romano, Patterson & Candès 2019, arXiv 1905.03222, eqs. 6 to 8). Let lo and hi
be the ends of the paths' central band, and y the actual value. The score is E = max(lo − y, y − hi) / u. It is negative if y
is inside the band. The unit u = volatility of the lookback × √h at step h of the horizon is known at the origin. It makes
scores comparable between calm and volatile periods and between symbols. Q is the ⌈(n + 1)(1 − α)⌉-th smallest score of
n validation origins. The calibrated band is [lo − Q u, hi + Q u]: wider if the paths are too narrow, narrower if they are too
wide (Q < 0).

The guarantee: if the scores of validation and of the new origin are exchangeable, the band contains the actual value with a
probability of at least 1 − α, at each step of the horizon separately, for any model. This is an average over origins and
symbols. It does not hold for each symbol, for calm and volatile periods separately, for all steps at once, or for one
given set of validation origins: with n of them the coverage varies by about √(α(1 − α) / n).

Candles are not exchangeable, so the guarantee must be measured. The test split comes after validation, and volatility drifts.
Origins closer together than the horizon share actual candles and are less informative. The checkpoint was selected on
validation and fits better there than later, so the bands are somewhat too narrow. Barber et al. 2023 (arXiv 2202.13415)
bound the coverage that such drifts cost. `measure_calibration` measures the coverage on candles after validation.

Paths are (N, P, H) and actual values are (N, H), log returns since the last known close. scale (N,) is the result of
`measure_volatility`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kronos.candles import Array
from kronos.evaluation.records import LEVELS, BandFigures, Note
from kronos.evaluation.results import CalibrationResult
from kronos.evaluation.scores.figures import Bands, average, compute_bands
from kronos.evaluation.scores.quantiles import find_quantiles

SMALLEST_VOLATILITY = 1e-5  # a tenth of a basis point per candle, for prices that did not move


@dataclass(frozen=True)
class Calibration:
    """The amounts by which to widen or narrow the bands of sampled paths.

    n_origins: the number of validation origins it was fitted on. corrections: Q for each of LEVELS and each of H steps.
    n_pooled: for each of LEVELS, the number of neighbouring steps that each Q was fitted on.
    """

    n_origins: int
    corrections: tuple[tuple[float, ...], ...]
    n_pooled: tuple[int, ...]

    def apply(self, paths: Array, scale: Array) -> Bands:
        """Return the calibrated bands, each within the next wider one.

        A band whose correction exceeds its width becomes the middle of the paths' own band. A wider band is extended to
        contain the narrower ones. Both rules only widen bands, and the guarantee still holds.

        Raises:
            ValueError: the horizon differs from the calibration's, or see `compute_bands`.
        """
        n_steps = len(self.corrections[0])
        if paths.shape[-1] != n_steps:
            raise ValueError(f"calibrated for a horizon of {n_steps}, got paths of {paths.shape[-1]}")
        unit, bands, inner = _measure_unit(scale, paths), Bands(), None
        for (level, (low, high)), correction in zip(compute_bands(paths).items(), self.corrections):
            middle, by = (low + high) / 2, np.asarray(correction) * unit
            low, high = np.minimum(low - by, middle), np.maximum(high + by, middle)
            if inner:
                low, high = np.minimum(low, inner[0]), np.maximum(high, inner[1])
            bands[level] = inner = low, high
        return bands

    def quantile(self, paths: Array, scale: Array, q: float) -> Array:
        """Return the calibrated q-quantile (N, H) of paths.

        If q is the end of a band, it is the end of the calibrated band. The median stays, within the narrowest band.
        Quantiles between these are interpolated in proportion. Quantiles beyond the widest band move as far as its end.

        Raises:
            ValueError: see `apply`.
        """
        sampled, value = _quantile(paths, 0.5), _quantile(paths, q)
        before, after = compute_bands(paths), self.apply(paths, scale)
        ends = [(0.5, sampled, np.clip(sampled, *after[min(LEVELS)]))]
        for level in LEVELS:
            low, high = (0.5 - level / 200, 0.5 + level / 200)
            ends = [(low, before[level][0], after[level][0]), *ends, (high, before[level][1], after[level][1])]
        i = int(np.searchsorted([p for p, _, _ in ends], q))
        if i in (0, len(ends)):
            _, old, new = ends[min(i, len(ends) - 1)]
            moved: Array = new + value - old
            return moved
        (p_low, old_low, new_low), (p_high, old_high, new_high) = ends[i - 1 : i + 1]
        width = old_high - old_low  # 0 if many paths agree
        share = np.where(width > 0, (value - old_low) / np.where(width > 0, width, 1), (q - p_low) / (p_high - p_low))
        between: Array = new_low + share * (new_high - new_low)
        return between

    def notes(self) -> list[Note]:
        """Return a note for each band whose correction pools neighbouring steps, because there were too few origins."""
        return [
            Note(
                code="few_calibration_origins",
                values={"n_origins": self.n_origins, "level": level, "n_steps": n_pooled},
            )
            for level, n_pooled in zip(LEVELS, self.n_pooled)
            if n_pooled > 1
        ]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Calibration:
        corrections = tuple(tuple(of_level) for of_level in values["corrections"])
        return cls(values["n_origins"], corrections, tuple(values["n_pooled"]))


def fit_calibration(paths: Array, actual: Array, scale: Array) -> Calibration:
    """Fit the corrections on forecasts from validation origins and the actual values.

    A level needs n ≥ (1 − α) / α origins (9 for the 90% band); with fewer, Q would be infinite. In that case the scores of
    neighbouring steps are pooled; √h makes them comparable. Pooling has no guarantee, because the scores of one origin
    are not independent. If there are still too few scores, Q is the largest one.

    Raises:
        ValueError: there are no origins, or see `compute_bands`.
    """
    if not len(paths):
        raise ValueError("no origins to calibrate on")
    _check_actual(paths, actual)
    unit = _measure_unit(scale, paths)
    corrections = [
        _find_corrections(np.maximum(low - actual, actual - high) / unit, level)
        for level, (low, high) in compute_bands(paths).items()
    ]
    return Calibration(
        len(paths), tuple(each for each, _ in corrections), tuple(n_pooled for _, n_pooled in corrections)
    )


def measure_calibration(calibration: Calibration, paths: Array, actual: Array, scale: Array) -> CalibrationResult:
    """Measure the sampled and the calibrated bands, on origins after those that the calibration was fitted on.

    Raises:
        ValueError: see `Calibration.apply`.
    """
    _check_actual(paths, actual)
    return CalibrationResult(
        n_origins=calibration.n_origins,
        before=_measure_bands(compute_bands(paths), actual),
        after=_measure_bands(calibration.apply(paths, scale), actual),
    )


def measure_volatility(closes: Array) -> Array:
    """Return the volatility (N,) per candle of known closes (N, L): the root mean square of their log returns.

    It is at least SMALLEST_VOLATILITY, because scores are divided by it.
    """
    volatility: Array = np.sqrt(np.square(np.diff(np.log(closes))).mean(axis=-1))
    return np.maximum(volatility, SMALLEST_VOLATILITY)


def _quantile(paths: Array, q: float) -> Array:
    """Return the q-quantile (N, H) of paths, by the method of `compute_bands`."""
    quantile: Array = find_quantiles(np.sort(paths, axis=1), [q], "weibull")[0]
    return quantile


def _measure_unit(scale: Array, paths: Array) -> Array:
    """Return the unit of scores (N, H): the standard deviation of a random walk after each step."""
    if scale.shape != paths.shape[:1] or not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError(f"scale must be finite, above 0 and {paths.shape[:1]}, got {scale.shape}")
    unit: Array = scale[:, np.newaxis] * np.sqrt(1 + np.arange(paths.shape[-1]))
    return unit


def _find_corrections(scores: Array, level: int) -> tuple[tuple[float, ...], int]:
    """Return Q at each step of scores (N, H), and the number of steps pooled."""
    n, n_steps = scores.shape
    n_needed = -(-level // (100 - level))  # in integers: in floats 0.9 / (1 - 0.9) is above 9
    n_pooled = min(-(-n_needed // n), n_steps)
    first = np.clip(np.arange(n_steps) - n_pooled // 2, 0, n_steps - n_pooled)
    n_scores = n * n_pooled
    last = min(-(-(n_scores + 1) * level // 100), n_scores) - 1
    pools = (scores[:, start : start + n_pooled] for start in first.tolist())
    return tuple(float(np.partition(pool, last, axis=None)[last]) for pool in pools), n_pooled


def _measure_bands(bands: Bands, actual: Array) -> BandFigures:
    return BandFigures(
        coverage={str(level): average((low <= actual) & (actual <= high)) for level, (low, high) in bands.items()},
        width={str(level): average(high - low) for level, (low, high) in bands.items()},
    )


def _check_actual(paths: Array, actual: Array) -> None:
    expected = (*paths.shape[:1], *paths.shape[-1:])
    if actual.shape != expected or not np.isfinite(actual).all():
        raise ValueError(f"actual must be finite and {expected}, got {actual.shape}")
