"""The table of a batch: a row for each symbol and step, with the mean and the quantiles of some columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from kronos.candles import CANDLE_COLUMNS, TIMESTAMP_COLUMN
from kronos.data.files.aliases import SYMBOL
from kronos.errors import ConfigError
from kronos.forecast import Forecast


def check_columns(names: Sequence[str]) -> list[str]:
    """Return names of columns of candles in their usual order.

    Raises:
        ConfigError: one is none, or there is none.
    """
    listed = list(names) if not isinstance(names, str) else [names]
    if unknown := [each for each in listed if each not in CANDLE_COLUMNS] or (not listed and ["none"]):
        template = "columns: there is no column {unknown}. Choose from {known}."
        raise ConfigError(template, unknown=", ".join(map(str, unknown)), known=", ".join(CANDLE_COLUMNS))
    return [each for each in CANDLE_COLUMNS if each in listed]


def build_schema(columns: Sequence[str], quantiles: Sequence[float]) -> Any:
    """Return the columns of the table, a schema of PyArrow.

    symbol, origin (the last known candle), timestamps and step (from 1); n_known, the candles that the forecast rests on,
    at most the lookback; last_close; of each column, such as close, its mean over the paths and its quantiles: close_mean,
    close_q0.05, …; probability_up, the share of paths that close above last_close.
    """
    names = [f"{name}_{each}" for name in columns for each in ("mean", *map(_name_quantile, quantiles))]
    keys = [(SYMBOL, pa.string()), ("origin", pa.timestamp("us")), (TIMESTAMP_COLUMN, pa.timestamp("us"))]
    figures = [(name, pa.float64()) for name in ("last_close", *names, "probability_up")]
    return pa.schema([*keys, ("step", pa.int32()), ("n_known", pa.int32()), *figures])


def tabulate(forecast: Forecast, columns: Sequence[str], quantiles: Sequence[float]) -> Any:
    """Return a forecast as a table of `build_schema`, with a row for each step; times are local."""
    n = len(forecast.timestamps)
    origin = forecast.origin.tz_localize(None).to_datetime64()
    values: dict[str, Any] = {
        SYMBOL: [forecast.name] * n,
        "origin": np.full(n, origin.astype("datetime64[us]")),
        TIMESTAMP_COLUMN: forecast.timestamps.tz_localize(None).to_numpy("datetime64[us]"),
        "step": np.arange(1, n + 1),
        "n_known": np.full(n, 0 if forecast.history is None else len(forecast.history)),
        "last_close": np.full(n, forecast.last_close),
        "probability_up": forecast.probability_up(),
    }
    bands = {"mean": forecast.mean} | {_name_quantile(q): forecast.quantile(q) for q in quantiles}
    values |= {f"{name}_{band}": frame[name] for band, frame in bands.items() for name in columns}
    schema = build_schema(columns, quantiles)
    return pa.table([pa.array(values[each.name], each.type) for each in schema], schema)


def _name_quantile(q: float) -> str:
    return f"q{q:.10g}"
