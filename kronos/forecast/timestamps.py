"""Timestamps as users give them, checked and converted."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from kronos.errors import DataError

Timestamps = pd.Series | pd.Index | Sequence[Any]

YEAR_FIRST = re.compile(r"\d{4}\D")


def convert_times(timestamps: Timestamps, name: str, put_back: pd.Timedelta) -> pd.DatetimeIndex:
    """Return timestamps as an index, in one time zone or in none; it increases, except where clocks are put back."""
    try:
        values = pd.Series(timestamps).reset_index(drop=True)
    except (TypeError, ValueError, NotImplementedError):
        template = "{name} must be a Series, an index or a list of times, got {type}."
        raise DataError(template, name=name, type=type(timestamps).__name__) from None
    if pd.api.types.is_numeric_dtype(values):
        raise DataError("{name} holds numbers, not timestamps. Convert them with pd.to_datetime.", name=name)
    if values.dtype == object:
        _check_one_zone(values, name)
    _check_year_first(values, name)
    try:
        index = pd.DatetimeIndex(values)
    except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise DataError("{name} does not hold timestamps: {reason}.", name=name, reason=error) from None
    if index.hasnans:
        raise DataError(
            "{name} has no time in row {row}. Leave the row out.", name=name, row=int(index.isna().argmax())
        )
    late = np.flatnonzero(index[1:] <= index[:-1] - put_back)
    if len(late):
        row = int(late[0]) + 1
        raise DataError(
            "{name}, row {row}: {time} is not after the previous row, {previous}. Sort the rows by time and keep one of each. "
            "(When clocks are put back, an hour comes twice: give times in UTC, or a frame of kronos.data.read_candles.)",
            name=name,
            row=row,
            time=index[row],
            previous=index[row - 1],
        )
    return index


def _check_year_first(values: pd.Series, name: str) -> None:
    """Refuse times like 05/06/2024, which is in May in one country and in June in another."""
    for row, value in enumerate(values if pd.api.types.is_string_dtype(values) else ()):
        if isinstance(value, str) and not YEAR_FIRST.match(value):
            template = "{name} does not hold timestamps: row {row} is {value!r}. Write it like 2024-04-02 10:10."
            raise DataError(template, name=name, row=row, value=value)


def _check_one_zone(values: pd.Series, name: str) -> None:
    zones = [str(getattr(value, "tzinfo", None)) for value in values]
    other = next((row for row, zone in enumerate(zones) if zone != zones[0]), None)
    if other is not None:
        raise DataError(
            "{name}, row {row}: time zone {zone}, unlike the first row's {first}. Convert all rows to one time zone.",
            name=name,
            row=other,
            zone=zones[other],
            first=zones[0],
        )
