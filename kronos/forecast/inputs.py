"""A series to forecast, checked: whatever is wrong with it is said with its name and row."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN, TRUE_ORDER, Array, stack_columns
from kronos.errors import ConfigError, DataError
from kronos.forecast.future import make_future_timestamps

Timestamps = pd.Series | pd.Index | Sequence[Any]

logger = logging.getLogger(__name__)

YEAR_FIRST = re.compile(r"\d{4}\D")
MIN_ROWS = 2  # one candle has no spread to normalise by
NOTHING, PUT_BACK = pd.Timedelta(0), pd.Timedelta(hours=1)
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class ForecastInput:
    """One series and the times to forecast.

    candles: (L, 6) float64. timestamps: its L local times. future: the horizon's times. notes: what was assumed of them.
    """

    name: str
    candles: Array
    timestamps: pd.DatetimeIndex
    future: pd.DatetimeIndex
    notes: tuple[str, ...] = ()


def check_count(what: str, value: object) -> int:
    """Return a number of things.

    Raises:
        ConfigError: value is not a whole number of at least 1.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ConfigError("{what} must be a whole number of at least 1, got {value!r}.", what=what, value=value)
    return int(value)


def count_times(y_timestamp_list: Sequence[Timestamps | None] | None) -> int:
    """Return how many times to come are given for the first series that has any."""
    listed = y_timestamp_list if isinstance(y_timestamp_list, Sized) else ()
    given = next((y for y in listed if y is not None), None)
    if given is None:
        raise ConfigError("the horizon is missing. Give pred_len, or the y_timestamp to forecast.")
    if not isinstance(given, Sized):
        template = "y_timestamp must be a Series, an index or a list of times, got {type}."
        raise ConfigError(template, type=type(given).__name__)
    return len(given)


def log_notes(notes: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Log the notes of many series, (name, notes) each; what holds for several is said once."""
    names: dict[str, list[str]] = {}
    for name, of_series in notes:
        for note in of_series:
            names.setdefault(note, []).append(name)
    for note, (first, *others) in names.items():
        more = f" and {len(others):,} more series" if len(others) > 1 else f" and {others[0]}" if others else ""
        logger.warning("%s%s: %s", first, more, note)


def list_frames(df_list: object) -> list[pd.DataFrame]:
    """Return the frames of many series as a list.

    Raises:
        DataError: it is no list of frames, or holds none.
    """
    if isinstance(df_list, pd.DataFrame):
        raise DataError(
            "expected a list of frames, one for each series, got one frame. Use forecast or predict for one."
        )
    if isinstance(df_list, Mapping | str) or not isinstance(df_list, Iterable):
        raise DataError("expected a list of frames, one for each series, got {type}.", type=type(df_list).__name__)
    if not (frames := list(df_list)):
        raise DataError("the list of frames is empty. Give at least one series to forecast.")
    return frames


def build_all_inputs(
    df_list: Sequence[pd.DataFrame],
    x_timestamp_list: Sequence[Timestamps | None] | None,
    y_timestamp_list: Sequence[Timestamps | None] | None,
    names: Sequence[str] | None,
    horizon: int,
    exchange: str | None,
) -> list[ForecastInput]:
    """Check many series, see `build_input`; lists that are absent stand for a None, or a number as name, for each.

    Raises:
        DataError: the lists are of different lengths.
    """
    n = len(df_list)
    lists = {"x_timestamp": x_timestamp_list, "y_timestamp": y_timestamp_list, "names": names}
    for what, given in lists.items():
        if given is not None and (not isinstance(given, Sized) or len(given) != n):
            count = len(given) if isinstance(given, Sized) else type(given).__name__
            template = "{n} series, but {count} {what}. Give a list with one {what} for each series."
            raise DataError(template, n=n, count=count, what=what)
    x_list, y_list = ([None] * n if times is None else times for times in (x_timestamp_list, y_timestamp_list))
    names = [f"series {i}" for i in range(n)] if names is None else names
    return [build_input(name, df, x, y, horizon, exchange) for name, df, x, y in zip(names, df_list, x_list, y_list)]


def build_input(
    name: str,
    df: pd.DataFrame,
    x_timestamp: Timestamps | None,
    y_timestamp: Timestamps | None,
    horizon: int,
    exchange: str | None,
) -> ForecastInput:
    """Check a series; without y_timestamp the times to come are made, from the history or from an exchange's calendar.

    Raises:
        DataError: naming the series and, where it is one, the row (counted from 0).
    """
    if not isinstance(df, pd.DataFrame):
        template = "{name}: expected a pandas DataFrame of candles, got {type}."
        raise DataError(template, name=name, type=type(df).__name__)
    candles = _to_candles(df, name)
    given = _find_timestamps(df, name) if x_timestamp is None else x_timestamp
    put_back = PUT_BACK if x_timestamp is None and df.attrs.get(TRUE_ORDER) else NOTHING
    x = _to_times(given, f"{name}: x_timestamp", put_back)
    if len(candles) != len(x):
        template = "{name}: {n} candles, but {n_times} x_timestamp. Give one x_timestamp for each candle."
        raise DataError(template, name=name, n=len(candles), n_times=len(x))
    if len(candles) < MIN_ROWS:
        template = "{name}: {n} candles, but a forecast needs at least {least}, better hundreds."
        raise DataError(template, name=name, n=len(candles), least=MIN_ROWS)
    if y_timestamp is None:
        try:
            future, notes = make_future_timestamps(x, horizon, exchange)
        except DataError as error:
            raise error.within("{name}", name=name) from None
        return ForecastInput(name, candles, x, future, notes)
    y = _to_times(y_timestamp, f"{name}: y_timestamp", put_back)
    if len(y) != horizon:
        template = (
            "{name}: the horizon (pred_len) is {horizon}, but there are {n} y_timestamp. Give one for each candle."
        )
        raise DataError(template, name=name, horizon=horizon, n=len(y))
    if str(x.tz) != str(y.tz):
        raise DataError(
            "{name}: x_timestamp is in time zone {x_zone}, y_timestamp in {y_zone}. Convert both to the same zone.",
            name=name,
            x_zone=x.tz or "none",
            y_zone=y.tz or "none",
        )
    if y[0] <= x[-1] - put_back:
        template = "{name}: y_timestamp, row 0: {first} is not after the last known candle, {last}. Give later times."
        raise DataError(template, name=name, first=y[0], last=x[-1])
    return ForecastInput(name, candles, x, y)


def _to_candles(df: pd.DataFrame, name: str) -> Array:
    """Return the six columns of a frame (L, 6) float64, making up absent volume and amount."""
    if missing := [column for column in PRICE_COLUMNS if column not in df]:
        template = "{name}: column {missing} missing; the frame has {columns}. Rename or add it."
        has = ", ".join(map(str, df.columns)) or "none"
        raise DataError(template, name=name, missing=", ".join(missing), columns=has)
    present = [column for column in CANDLE_COLUMNS if column in df]
    if repeated := [column for column in present if isinstance(df[column], pd.DataFrame)]:
        raise DataError(
            "{name}: column {columns} occurs more than once. Keep one.", name=name, columns=", ".join(repeated)
        )
    values = stack_columns({column: _to_numbers(df[column], name) for column in present})
    usable = np.abs(values) <= LARGEST  # False for NaN too
    if not usable.all():
        row, column = np.argwhere(~usable)[0]
        raise DataError(
            "{name}, row {row}: {column} is {value}, not a usable finite number ({n} such rows). Fill it or leave the row out.",
            name=name,
            row=row,
            column=CANDLE_COLUMNS[column],
            value=values[row, column],
            n=(~usable).any(axis=1).sum(),
        )
    return values


def _to_numbers(column: pd.Series, name: str) -> Array:
    is_truth = column.dtype == object and any(isinstance(value, bool | np.bool_) for value in column)
    if is_truth or column.dtype.kind in "bmMc" or isinstance(column.dtype, pd.PeriodDtype):
        template = "{name}: {column} holds {type}, not numbers."
        raise DataError(template, name=name, column=column.name, type=_describe_type(column))
    try:
        numbers = pd.to_numeric(column, errors="coerce")
    except (TypeError, OverflowError) as error:
        template = "{name}: {column} does not hold numbers: {reason}."
        raise DataError(template, name=name, column=column.name, reason=error) from None
    unreadable = (numbers.isna() & column.notna()).to_numpy()
    if unreadable.any():
        row = int(unreadable.argmax())
        template = "{name}, row {row}: {column} is {value!r}, not a number."
        raise DataError(template, name=name, row=row, column=column.name, value=column.iloc[row])
    return numbers.to_numpy(np.float64, na_value=np.nan)


def _describe_type(column: pd.Series) -> str:
    return "true or false" if column.dtype == object or column.dtype.kind == "b" else str(column.dtype)


def _find_timestamps(df: pd.DataFrame, name: str) -> Timestamps:
    if isinstance(df.index, pd.DatetimeIndex):
        return df.index
    if TIMESTAMP_COLUMN in df and isinstance(df[TIMESTAMP_COLUMN], pd.Series):
        return df[TIMESTAMP_COLUMN]
    template = (
        "{name}: the candles have no times. Give x_timestamp, or a frame indexed by time or with a column {column}."
    )
    raise DataError(template, name=name, column=TIMESTAMP_COLUMN)


def _to_times(timestamps: Timestamps, name: str, put_back: pd.Timedelta) -> pd.DatetimeIndex:
    """Return timestamps as an index that increases, but for clocks put back so far; in one time zone or in none."""
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
    """05/06/2024 is May in one country and June in the next."""
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
