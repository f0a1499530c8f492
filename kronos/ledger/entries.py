"""Turn forecasts into records of the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS
from kronos.errors import DataError
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput, NotApplicable, PastCloses
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.forecasters.volatility import build_ewma
from kronos.forecast import Forecast
from kronos.ledger.records import SHARES, LoggedForecast

N_BASELINE_PATHS = 1000
MODELS = ("tokenizer", "base model")  # keys of `describe_conditions`


def build_records(
    forecasts: Sequence[Forecast], run: str, conditions: Mapping[str, Any], **settings: Any
) -> list[LoggedForecast]:
    """Return the records of forecasts that are made now.

    Args:
        run: the folder of the run, or the name of the model.
        conditions: of the forecasts, see `describe_conditions`.
        settings: what else they depend on, such as the seed and the number of paths.

    Raises:
        DataError: a forecast does not keep its known candles, or they are too few for the baseline.
    """
    written, kept = datetime.now(UTC), {key: value for key, value in conditions.items() if key not in MODELS}
    tokenizer, base_model = (str(conditions[key]) for key in MODELS)
    common = {
        "written": written,
        "run": run,
        "tokenizer": tokenizer,
        "base_model": base_model,
        "settings": kept | settings,
    }
    return [LoggedForecast(**common, **_describe(each, int(conditions["lookback"]))) for each in forecasts]


def _describe(forecast: Forecast, lookback: int) -> dict[str, Any]:
    if forecast.history is None:
        raise DataError(
            "{name}: the forecast does not keep its known candles, so it cannot be logged.", name=forecast.name
        )
    known = forecast.history[-lookback:]
    quantiles = [forecast.quantile(share)["close"].to_numpy() for share in SHARES]
    return {
        "candles": hash_frame(known),
        "symbol": forecast.name,
        "origin": forecast.origin,
        "times": tuple(forecast.timestamps),
        "last_close": forecast.last_close,
        "calibrated": forecast.calibrated,
        "close": tuple(map(tuple, np.stack(quantiles, axis=1).tolist())),
        "baseline": _forecast_baseline(forecast, known),
        "probability_up": tuple(forecast.probability_up().tolist()),
    }


def _forecast_baseline(forecast: Forecast, known: pd.DataFrame) -> tuple[tuple[float, ...], ...]:
    """Return the quantiles (H, Q) of the closes by the baseline `ewma`."""
    task = ForecastInput(forecast.name, known, forecast.timestamps)
    try:
        paths = _build_baseline(forecast, len(known)).sample([task], N_BASELINE_PATHS, seed=0)[0]
    except NotApplicable:
        raise DataError(
            "{name}: {n} known candles are too few for the baseline that forecasts are compared with. Give more candles.",
            name=forecast.name,
            n=len(known),
        ) from None
    return tuple(map(tuple, np.quantile(paths, SHARES, axis=0).T.tolist()))


def _build_baseline(forecast: Forecast, lookback: int) -> Forecaster:
    """Fit `ewma` on all known candles; if they are too few for that, take the random walk as volatile as the lookback."""
    assert forecast.history is not None
    closes, interval = forecast.history["close"], forecast.timestamps[0] - forecast.origin
    if (closes > 0).all():
        try:
            return build_ewma(PastCloses({"": [closes]}, lookback, len(forecast.timestamps), interval))
        except NotApplicable:
            pass
    return NAIVE_FORECASTERS["volatility"]


def hash_frame(candles: pd.DataFrame) -> str:
    """Return the SHA-256 of candles: of their times in microseconds and their columns, as little-endian 64-bit numbers."""
    digest = hashlib.sha256(pd.DatetimeIndex(candles.index).as_unit("us").asi8.astype("<i8").tobytes())
    digest.update(candles[list(CANDLE_COLUMNS)].to_numpy(np.float64).astype("<f8").tobytes())
    return digest.hexdigest()
