"""The columns of a candle and of its calendar row, in the order in which the models read them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

TIMESTAMP_COLUMN = "timestamps"
PRICE_COLUMNS = ("open", "high", "low", "close")
CANDLE_COLUMNS = (*PRICE_COLUMNS, "volume", "amount")

# In a frame's attrs: its rows are in order of true time, although the clock was put back and shows an hour twice.
TRUE_ORDER = "in_true_order"

Array = np.ndarray[Any, Any]
Float32Array = np.ndarray[Any, np.dtype[np.float32]]


def stack_columns(columns: Mapping[str, Array]) -> Array:
    """Stack the columns of N candles in model order, and compute absent columns.

    Args:
        columns: the four prices and, if known, volume and amount, (N,) each. Without volume both are 0; without amount
            it is volume × mean(open, high, low, close).

    Returns:
        (N, 6) float64.
    """
    prices = np.stack([np.asarray(columns[name], np.float64) for name in PRICE_COLUMNS], axis=1)
    volume = np.asarray(columns["volume"], np.float64) if "volume" in columns else np.zeros(len(prices))
    amount = columns["amount"] if {"volume", "amount"} <= columns.keys() else volume * prices.mean(axis=1)
    return np.column_stack([prices, volume, np.asarray(amount, np.float64)])


def compute_calendar(timestamps: pd.Series | pd.Index) -> Float32Array:
    """Return the calendar row of each timestamp.

    Args:
        timestamps: T local (exchange) times.

    Returns:
        (T, 5) float32: minute, hour, weekday (Monday 0), day of month, month; each column contiguous.
    """
    index = pd.DatetimeIndex(timestamps)
    fields = [index.minute, index.hour, index.day_of_week, index.day, index.month]
    return np.asfortranarray(np.stack(fields, axis=-1), np.float32)
