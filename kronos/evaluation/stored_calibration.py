"""The calibration of a run's bands, stored by an evaluation for later forecasts: {run}/evaluation/calibration.json."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, Array
from kronos.evaluation.scores.calibration import Calibration, measure_volatility
from kronos.evaluation.scores.quantiles import find_quantiles
from kronos.files import read_sealed, write_sealed
from kronos.forecast import Forecast, KronosPredictor, Sampling
from kronos.forecast.forecast import check_quantile
from kronos.model.pretrained import hash_weights

logger = logging.getLogger(__name__)

MOST_QUANTILES = 199  # computed for the calibrated paths: 0.5%, 1%, … with all ends of bands
FEWEST_PATHS = 19  # with fewer, even the outermost paths enclose less than 90%


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class CalibratedForecast(Forecast):
    """A forecast whose quantiles of prices are calibrated; its paths, mean and volumes are as sampled.

    The correction was fitted on closes. Open, high and low get the same correction and stay on the same side of the
    close.

    volatility: that of the lookback, see `measure_volatility`.
    """

    calibrated: ClassVar[bool] = True
    calibration: Calibration
    volatility: float

    def quantile(self, q: float) -> pd.DataFrame:
        """Return the q-quantile over the paths, shaped as `mean`; see `Calibration.quantile`."""
        frame = super().quantile(q)
        scale = np.array([self.volatility])
        for column in PRICE_COLUMNS:
            returns = np.log(self.paths[np.newaxis, ..., CANDLE_COLUMNS.index(column)] / self.last_close)
            prices = self.last_close * np.exp(self.calibration.quantile(returns, scale, check_quantile(q))[0])
            frame[column] = prices.clip(*self._reach[..., CANDLE_COLUMNS.index(column)])
        return frame

    @cached_property
    def _reach(self) -> Array:
        """The lowest and the highest prices (2, horizon, 6) that price limits allow; without limits 0 and infinity."""
        extremes = np.zeros((2, *self.paths.shape[1:]))
        extremes[1] = np.inf
        return self.keep_to_limits(extremes)

    def calibrated_paths(self) -> Array:
        """Return the paths, each price moved to the calibrated quantile of its rank among the paths at its time.

        The map keeps ranks, and with them how a path goes on from one candle to the next: ensemble copula coupling with
        quantiles (Schefzik, Thorarinsdottir & Gneiting 2013, doi 10.1214/13-STS443, section 3.2). A rank stands for the share
        rank / (n_paths + 1), as in `quantile`: a calibration without corrections leaves the paths as they are. Highs and lows
        are widened where they would no longer enclose open and close.
        """
        return self._moved_paths

    @cached_property
    def _moved_paths(self) -> Array:
        paths = self.paths.copy()
        prices = paths[..., : len(PRICE_COLUMNS)]
        ranks = prices.argsort(axis=0, kind="stable").argsort(axis=0)
        moved = np.take_along_axis(self._move(np.sort(prices, axis=0)), ranks, axis=0)
        opens, highs, lows, closes = np.moveaxis(moved, -1, 0)
        prices[...] = np.stack(
            [opens, np.maximum.reduce([opens, highs, closes]), np.minimum.reduce([opens, lows, closes]), closes],
            axis=-1,
        )
        return paths

    def _move(self, ordered: Array) -> Array:
        """Return prices (P, H, 4) in ascending order as calibrated.

        The shifts of very many paths are interpolated between those of some; beyond the widest band they are constant.
        """
        n_paths = len(ordered)
        shares, n_computed = np.arange(1, n_paths + 1) / (n_paths + 1), min(n_paths, MOST_QUANTILES)
        grid = np.arange(1, n_computed + 1) / (n_computed + 1)
        calibrated = np.stack([self.quantile(share)[list(PRICE_COLUMNS)].to_numpy() for share in grid])  # (Q, H, 4)
        if n_computed < n_paths:
            returns = np.log(ordered).reshape(n_paths, -1)
            sampled = find_quantiles(returns, grid.tolist(), "weibull").reshape(calibrated.shape)
            shift = np.log(calibrated) - sampled
            calibrated = ordered * np.exp(np.apply_along_axis(lambda each: np.interp(shares, grid, each), 0, shift))
        return np.sort(calibrated, axis=0)


def describe_conditions(predictor: KronosPredictor, sampling: Sampling, lookback: int, horizon: int) -> dict[str, Any]:
    """Return the conditions under which a calibration is valid: the models and the settings of forecasts."""
    return {
        "tokenizer": hash_weights(predictor.tokenizer),
        "base model": hash_weights(predictor.model),
        "lookback": lookback,
        "horizon": horizon,
        "max_context": predictor.max_context,
        "clip": predictor.clip,
        "context_policy": predictor.context_policy,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
    }


def write_calibration(path: Path, calibration: Calibration, conditions: dict[str, Any]) -> None:
    """Write a calibration and its conditions to `RunFolder.calibration`.

    Raises:
        KronosError: path cannot be written.
    """
    write_sealed(path, {"conditions": conditions, **calibration.to_json()})


def find_calibration(path: Path, conditions: dict[str, Any], n_paths: int) -> Calibration | None:
    """Return the stored calibration if it is valid for a forecast, else None. Log which, with the reason."""
    if not path.is_file():
        return None
    try:
        stored = read_sealed(path)
        kept, calibration = dict(stored["conditions"]), Calibration.from_json(stored)
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning(
            "%s: cannot be read (%s). The bands are as sampled; kronos evaluate writes the file.", path, error
        )
        return None
    differences = [key for key, value in conditions.items() if kept.get(key) != value]
    if differences:
        logger.warning("%s: made with another %s. The bands are as sampled.", path, ", ".join(differences))
        return None
    if n_paths < FEWEST_PATHS:
        logger.warning(
            "%d paths are too few for calibrated bands (at least %d). The bands are as sampled.", n_paths, FEWEST_PATHS
        )
        return None
    logger.info(
        "the bands are calibrated on %d origins of validation (%s); --no-calibrate leaves them as sampled",
        *(calibration.n_origins, path),
    )
    return calibration


def calibrate(forecast: Forecast, calibration: Calibration | None, closes: Array) -> Forecast:
    """Return a forecast with calibrated quantiles; unchanged without a calibration, or if its prices have no log return.

    Args:
        closes: those of the lookback (L,), as long as in the calibration.
    """
    if calibration is None:
        return forecast
    if not ((closes > 0).all() and (forecast.paths[..., : len(PRICE_COLUMNS)] > 0).all()):
        logger.warning("%s: prices at or below 0 have no log return. The bands are as sampled.", forecast.name)
        return forecast
    own = {field.name: getattr(forecast, field.name) for field in fields(forecast)}
    volatility = float(measure_volatility(closes[np.newaxis])[0])
    return CalibratedForecast(**own, calibration=calibration, volatility=volatility)
