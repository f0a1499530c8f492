"""The columns of a candle and of its calendar row, in the order in which the models read them."""

from typing import Any

import numpy as np
import pandas as pd

TIMESTAMP_COLUMN = "timestamps"
PRICE_COLUMNS = ("open", "high", "low", "close")
CANDLE_COLUMNS = (*PRICE_COLUMNS, "volume", "amount")
CALENDAR_FIELDS = ("minute", "hour", "weekday", "day", "month")

Float32Array = np.ndarray[Any, np.dtype[np.float32]]


def compute_calendar(timestamps: pd.Series | pd.DatetimeIndex) -> Float32Array:
    """Return the calendar row of each timestamp.

    Args:
        timestamps: T local (exchange) times.

    Returns:
        (T, 5) float32: minute, hour, weekday (Monday 0), day of month, month.
    """
    index = pd.DatetimeIndex(timestamps)
    fields = [getattr(index, field).to_numpy() for field in CALENDAR_FIELDS]
    return np.stack(fields, axis=-1).astype(np.float32)
