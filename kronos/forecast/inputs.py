"""Check the input of a forecast. Errors name the series and the row."""

import logging
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from numbers import Integral

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, TRUE_ORDER, Array, stack_columns
from kronos.data.files.options import ReadingOptions
from kronos.data.frames import Frame, is_frame, to_pandas
from kronos.errors import ConfigError, DataError
from kronos.forecast.frames import recognise_frame
from kronos.forecast.future import make_future_timestamps
from kronos.forecast.timestamps import Timestamps, convert_times
from kronos.names import Message

logger = logging.getLogger(__name__)

MIN_ROWS = 2  # one candle has no standard deviation to normalise by
NOTHING, PUT_BACK = pd.Timedelta(0), pd.Timedelta(hours=1)
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class InputSeries:
    """One checked series, and the times to forecast.

    candles: (L, 6) float64. timestamps: the L local times of the candles. future: the times of the horizon. notes:
    assumptions about these times. symbol: part of the seed; empty: the series draws like any other of the same origin.
    """

    name: str
    candles: Array
    timestamps: pd.DatetimeIndex
    future: pd.DatetimeIndex
    notes: tuple[str, ...] = ()
    symbol: str = ""


def check_count(what: str, value: object) -> int:
    """Return value as an int.

    Raises:
        ConfigError: value is not a whole number of at least 1.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ConfigError("{what} must be a whole number of at least 1, got {value!r}.", what=what, value=value)
    return int(value)


def count_times(y_timestamp_list: Sequence[Timestamps | None] | None) -> int:
    """Return the number of future times of the first series for which they are given.

    Raises:
        ConfigError: no series has future times, or they are not a list.
    """
    listed = y_timestamp_list if isinstance(y_timestamp_list, Sized) else ()
    given = next((y for y in listed if y is not None), None)
    if given is None:
        raise ConfigError("the horizon is missing. Give pred_len, or the y_timestamp to forecast.")
    if not isinstance(given, Sized):
        template = "y_timestamp must be a Series, an index or a list of times, got {type}."
        raise ConfigError(template, type=type(given).__name__)
    return len(given)


def log_notes(notes: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Log the notes of many series, given as (name, notes). A note that several series share is logged once."""
    names: dict[str, list[str]] = {}
    for name, own_notes in notes:
        for note in own_notes:
            names.setdefault(note, []).append(name)
    for note, (first, *others) in names.items():
        if others:
            template = "{name} and {n:,} more" if len(others) > 1 else "{name} and {other}"
            first = Message(template, name=first, n=len(others), other=others[0])
        logger.warning("%s: %s", first, note)


def list_frames(df_list: object) -> list[Frame]:
    """Return the frames of many series as a list.

    Raises:
        DataError: it is not a list of frames, or is empty.
    """
    if is_frame(df_list):
        raise DataError(
            "expected a list of frames, one for each series, got one frame. Use forecast or predict for one."
        )
    if isinstance(df_list, Mapping | str) or not isinstance(df_list, Iterable):
        raise DataError("expected a list of frames, one for each series, got {type}.", type=type(df_list).__name__)
    if not (frames := list(df_list)):
        raise DataError("the list of frames is empty. Give at least one series to forecast.")
    return frames


def build_all_inputs(
    df_list: Sequence[Frame],
    x_timestamp_list: Sequence[Timestamps | None] | None,
    y_timestamp_list: Sequence[Timestamps | None] | None,
    names: Sequence[str] | None,
    horizon: int,
    exchange: str | None,
    symbols: Sequence[str] | None = None,
    reading: ReadingOptions | Mapping[str, str] | None = None,
) -> list[InputSeries]:
    """Check many series, see `build_input`. Missing lists stand for a list of None; missing names are numbers.

    Raises:
        DataError: the lists have different lengths, or a series is malformed.
    """
    n = len(df_list)
    lists = {"x_timestamp": x_timestamp_list, "y_timestamp": y_timestamp_list, "names": names, "symbols": symbols}
    for what, given in lists.items():
        if given is not None and (not isinstance(given, Sized) or len(given) != n):
            count = len(given) if isinstance(given, Sized) else type(given).__name__
            template = "{n} series, but {count} {what}. Give a list with one {what} for each series."
            raise DataError(template, n=n, count=count, what=what)
    x_list, y_list = ([None] * n if times is None else times for times in (x_timestamp_list, y_timestamp_list))
    names = [f"series {i}" for i in range(n)] if names is None else names
    each_series = zip(names, df_list, x_list, y_list)
    built = [build_input(name, df, x, y, horizon, exchange, reading) for name, df, x, y in each_series]
    return built if symbols is None else [replace(each, symbol=str(own)) for each, own in zip(built, symbols)]


def build_input(
    name: str,
    df: Frame,
    x_timestamp: Timestamps | None,
    y_timestamp: Timestamps | None,
    horizon: int,
    exchange: str | None,
    reading: ReadingOptions | Mapping[str, str] | None = None,
) -> InputSeries:
    """Check a series. Without y_timestamp, the future times are inferred from the history or an exchange's calendar.

    Raises:
        DataError: the series is malformed. The message has its name and the row, counted from 0.
    """
    df = to_pandas(df, name)
    columns, given = recognise_frame(df, name, x_timestamp, ReadingOptions.of(reading))
    candles = _to_candles(columns, name)
    put_back = PUT_BACK if x_timestamp is None and df.attrs.get(TRUE_ORDER) else NOTHING
    x = convert_times(given, f"{name}: x_timestamp", put_back)
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
        return InputSeries(name, candles, x, future, notes)
    y = convert_times(y_timestamp, f"{name}: y_timestamp", put_back)
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
    return InputSeries(name, candles, x, y)


def _to_candles(df: pd.DataFrame, name: str) -> Array:
    """Return the six columns of a frame (L, 6) float64, with substitutes for missing volume and amount."""
    values = stack_columns({column: _to_numbers(df[column], name) for column in map(str, df)})
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
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiu":  # most columns, and many times as fast
        return column.to_numpy(np.float64)
    is_logical = column.dtype == object and any(isinstance(value, bool | np.bool_) for value in column)
    if is_logical or column.dtype.kind in "bmMc" or isinstance(column.dtype, pd.PeriodDtype):
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
