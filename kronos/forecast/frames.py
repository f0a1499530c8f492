"""Recognise the columns and the times of a frame, by the names that files may have too."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN
from kronos.data.files.aliases import SYMBOL, TIME
from kronos.data.files.columns import NO_VOLUME, NO_VOLUME_BUT_AMOUNT, match_columns, recognise_columns
from kronos.data.files.options import ReadingOptions
from kronos.data.files.times import NOT_A_TIME, TimestampFormat, join_date_and_time
from kronos.errors import DataError
from kronos.forecast.timestamps import YEAR_FIRST, Timestamps

logger = logging.getLogger(__name__)

DATE = re.compile(r"(19|20)\d\d([-/.]?\d\d){2}")
INDEX = "the index"  # stands for the times of the index among the columns


def recognise_frame(df: pd.DataFrame, name: str, given: Timestamps | None) -> tuple[pd.DataFrame, Timestamps]:
    """Return a frame with our column names, and its times.

    Args:
        df: candles, under any names that are recognised in a file; yfinance's two rows of names are too.
        given: the times, if they are not to be found in the frame.

    Raises:
        DataError: a price or the times are missing, or the frame holds several symbols.
    """
    df = _flatten(df, name)
    names = [str(column) for column in df.columns]
    found = recognise_columns(names)
    times = _find_index_times(df, found, name) if given is None else given
    if missing := [column for column in PRICE_COLUMNS if column not in found]:
        template = "{name}: column {missing} missing; the frame has {columns}. Rename or add it."
        raise DataError(template, name=name, missing=", ".join(missing), columns=", ".join(names) or "none")
    if times is None and TIMESTAMP_COLUMN not in found and TIME not in found:
        raise DataError(
            "{name}: the candles have no times. Give x_timestamp, or a frame indexed by time or with a column {column}.",
            name=name,
            column=TIMESTAMP_COLUMN,
        )
    exact = {ours: ours for ours in (*CANDLE_COLUMNS, TIMESTAMP_COLUMN) if ours in names}
    stand_in = [] if times is None else [INDEX]
    own = exact | dict.fromkeys([TIMESTAMP_COLUMN] * len(stand_in), INDEX)
    matched = match_columns([*names, *stand_in], own, Path(name))
    if matched.errors:
        raise matched.errors[0]
    if repeated := [theirs for theirs in matched.names.values() if names.count(theirs) > 1]:
        raise DataError("{name}: column {names} occurs more than once. Keep one.", name=name, names=", ".join(repeated))
    for note in matched.notes:
        note = NO_VOLUME if note == NO_VOLUME_BUT_AMOUNT else note  # as published: an amount alone is not used
        logger.info("%s: %s", name, note.template.format(**dict(note.values)))
    columns = {ours: df.iloc[:, names.index(theirs)] for ours, theirs in matched.names.items() if theirs in names}
    _check_one_symbol(columns.get(SYMBOL), name, matched.names.get(SYMBOL, ""))
    candles = pd.DataFrame({ours: columns[ours] for ours in CANDLE_COLUMNS if ours in columns})
    candles.attrs = df.attrs
    if given is not None:
        return candles, given
    return _put_newest_last(candles, _read_times(columns, name) if times is None else times, name)


def _put_newest_last(candles: pd.DataFrame, times: Timestamps, name: str) -> tuple[pd.DataFrame, Timestamps]:
    index = pd.Index(times)
    if len(index) < 2 or not (index.is_unique and index.is_monotonic_decreasing):
        return candles, times
    logger.info("%s: the rows are put in order of time; they stood newest first", name)
    return candles[::-1], index[::-1]


def _flatten(df: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a frame with one level of rows and of column names; yfinance writes the ticker in a second."""
    if df.index.nlevels > 1:  # such as symbol and date
        known = [level for level in df.index.names if level is not None and recognise_columns([str(level)])]
        df = df.reset_index(known).reset_index(drop=True)
    if df.columns.nlevels == 1:
        return df
    levels = [df.columns.get_level_values(level).unique() for level in range(df.columns.nlevels)]
    prices = [n for n, values in enumerate(levels) if recognise_columns(map(str, values)).keys() >= set(PRICE_COLUMNS)]
    kept = prices[0] if prices else 0
    for level, values in enumerate(levels):
        if level != kept and len(values) > 1:
            raise DataError(
                "{name}: the frame holds candles of {n} symbols ({symbols}). Forecast one: df.xs({first!r}, axis=1, "
                "level={level}); or all: forecast_batch([df.xs(each, axis=1, level={level}) for each in {few}]).",
                name=name,
                n=len(values),
                symbols=", ".join(map(str, values[:5])),
                first=values[0],
                level=level,
                few=list(values[:5]),
            )
    return df.set_axis(df.columns.get_level_values(kept), axis=1)


def _find_index_times(df: pd.DataFrame, found: Mapping[str, str], name: str) -> Timestamps | None:
    """Return the times of the index; None if it only counts the rows, or if a column has the times."""
    if isinstance(df.index, pd.DatetimeIndex):
        return df.index
    if isinstance(df.index, pd.PeriodIndex):
        return df.index.to_timestamp()
    named = not recognise_columns([str(df.index.name)]).keys().isdisjoint((TIMESTAMP_COLUMN, TIME))
    texts = len(df) > 0 and pd.api.types.is_string_dtype(df.index.dtype)
    dates = texts and all(DATE.match(str(value)) for value in df.index)
    other = TIMESTAMP_COLUMN in found or TIME in found
    if len(df) and (named or dates or (texts and not other)):
        return _to_times(df.index.to_series().reset_index(drop=True), f"{name}: the index")
    return None


def _read_times(columns: dict[str, pd.Series], name: str) -> Timestamps:
    times = columns[TIMESTAMP_COLUMN]
    if TIME in columns:
        times = join_date_and_time(times.astype("str"), columns[TIME].astype("str"))
    if isinstance(times.dtype, pd.PeriodDtype):
        return pd.PeriodIndex(times).to_timestamp()
    return _to_times(times, name)


def _to_times(times: pd.Series, name: str) -> Timestamps:
    """Return times of Python or pandas as they are; read texts and numbers as in a file."""
    if not len(times) or times.isna().any() or pd.api.types.is_bool_dtype(times):
        return times
    texts = pd.api.types.is_string_dtype(times) and all(isinstance(time, str) for time in times)  # not dates of Python
    if not (pd.api.types.is_numeric_dtype(times) or (texts and not times.str.match(YEAR_FIRST.pattern).all())):
        return times
    try:
        clock = TimestampFormat.recognise(times.astype("str"), ReadingOptions())
    except DataError as error:
        raise error.within("{name}", name=name) from None
    local, _ = clock.parse(times.astype("str"))
    if (wrong := local == NOT_A_TIME).any():
        row = int(wrong.argmax())
        raise clock.explain(times, row).within("{name}, row {row}", name=name, row=row)
    for note in clock.describe():
        logger.info("%s: %s", name, note.template.format(**dict(note.values)))
    return pd.DatetimeIndex(local.astype("M8[us]"))


def _check_one_symbol(symbols: pd.Series | None, name: str, column: str) -> None:
    if symbols is None or len(found := symbols.dropna().unique()) < 2:
        return
    raise DataError(
        "{name}: the frame holds candles of {n} symbols ({symbols}, …), told apart by the column {column}. Forecast them "
        "together: forecast_batch([each for _, each in df.groupby({column!r})]).",
        name=name,
        n=len(found),
        symbols=", ".join(map(str, found[:3])),
        column=column,
    )
