"""Recognise the columns and the times of a frame, by the names that files may have too."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN
from kronos.data.files.aliases import SYMBOL, TIME
from kronos.data.files.columns import (
    NO_VOLUME,
    NO_VOLUME_BUT_AMOUNT,
    Columns,
    list_volumes,
    match_columns,
    recognise_columns,
)
from kronos.data.files.options import ReadingOptions
from kronos.data.files.times import NOT_A_TIME, TimestampFormat, join_date_and_time
from kronos.errors import DataError
from kronos.forecast.timestamps import YEAR_FIRST, Timestamps

logger = logging.getLogger(__name__)

DATE = re.compile(r"(19|20)\d\d([-/.]?\d\d){2}")
INDEX = "the index"  # stands for the times of the index among the columns


def recognise_frame(
    df: pd.DataFrame, name: str, given: Timestamps | None, options: ReadingOptions
) -> tuple[pd.DataFrame, Timestamps]:
    """Return a frame with our column names, and its times.

    Args:
        df: candles, under any names that are recognised in a file; yfinance's two rows of names are too.
        given: the times, if they are not to be found in the frame.
        options: columns, timezone and time_format as for files.

    Raises:
        DataError: a price or the times are missing, or the frame holds several symbols.
    """
    df = _flatten(df, name)
    names = [str(column) for column in df.columns]
    found = recognise_columns(names) | dict(options.columns)
    times = given
    if given is None and TIMESTAMP_COLUMN not in options.columns:
        times = _find_index_times(df, found, name, options)
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
    own = exact | dict.fromkeys([TIMESTAMP_COLUMN] * len(stand_in), INDEX) | dict(options.columns)
    matched = match_columns([*names, *stand_in], own, Path(name))
    if matched.errors:
        raise matched.errors[0]
    if repeated := [theirs for theirs in matched.names.values() if names.count(theirs) > 1]:
        raise DataError("{name}: column {names} occurs more than once. Keep one.", name=name, names=", ".join(repeated))
    _log_notes(matched, names, name)
    columns = {ours: df.iloc[:, names.index(theirs)] for ours, theirs in matched.names.items() if theirs in names}
    _check_one_symbol(columns.get(SYMBOL), name, matched.names.get(SYMBOL, ""))
    candles = pd.DataFrame({ours: columns[ours] for ours in CANDLE_COLUMNS if ours in columns})
    candles.attrs = df.attrs
    if given is not None:
        return candles, _convert_zone(given, options)
    return _put_newest_last(candles, _read_times(columns, name, options) if times is None else times, name)


def _log_notes(matched: Columns, names: Sequence[str], name: str) -> None:
    """Log what was recognised; warn if volume is taken as 0 although a column may hold it."""
    for note in matched.notes:
        note = NO_VOLUME if note == NO_VOLUME_BUT_AMOUNT else note  # as published: an amount alone is not used
        if not note.is_doubt:
            logger.info("%s: %s", name, note.message)
    if "volume" not in matched.names and (speaking := list_volumes(names)):
        logger.warning(
            "%s: volume and amount are taken as 0, although a column may hold the volume (%s). Rename it: "
            "df.rename(columns={%r: 'volume'}).",
            *(name, ", ".join(speaking), speaking[0]),
        )


def _convert_zone(times: Timestamps, options: ReadingOptions) -> Timestamps:
    """Return times of pandas in the zone of options.timezone."""
    written, market = options.zones
    if market is None or not pd.api.types.is_datetime64_any_dtype(pd.Series(times)):
        return times
    index = pd.DatetimeIndex(pd.Series(times))
    if index.tz is None and written:
        index = index.tz_localize(written)
    return index if index.tz is None else index.tz_convert(market)


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


def _find_index_times(
    df: pd.DataFrame, found: Mapping[str, str], name: str, options: ReadingOptions
) -> Timestamps | None:
    """Return the times of the index; None if it only counts the rows, or if a column has the times."""
    if isinstance(df.index, pd.DatetimeIndex):
        return _convert_zone(df.index, options)
    if isinstance(df.index, pd.PeriodIndex):
        return df.index.to_timestamp()
    named = not recognise_columns([str(df.index.name)]).keys().isdisjoint((TIMESTAMP_COLUMN, TIME))
    texts = len(df) > 0 and pd.api.types.is_string_dtype(df.index.dtype)
    dates = texts and all(DATE.match(str(value)) for value in df.index)
    other = TIMESTAMP_COLUMN in found or TIME in found
    if len(df) and (named or dates or (texts and not other)):
        return _to_times(df.index.to_series().reset_index(drop=True), f"{name}: the index", options)
    return None


def _read_times(columns: dict[str, pd.Series], name: str, options: ReadingOptions) -> Timestamps:
    times = columns[TIMESTAMP_COLUMN]
    if TIME in columns:
        times = join_date_and_time(times.astype("str"), columns[TIME].astype("str"))
    if isinstance(times.dtype, pd.PeriodDtype):
        return pd.PeriodIndex(times).to_timestamp()
    return _to_times(times, name, options)


def _to_times(times: pd.Series, name: str, options: ReadingOptions) -> Timestamps:
    """Return times of Python or pandas as they are; read texts and numbers as in a file."""
    if not len(times) or times.isna().any() or pd.api.types.is_bool_dtype(times):
        return times
    texts = pd.api.types.is_string_dtype(times) and all(isinstance(time, str) for time in times)  # not dates of Python
    plain = texts and not options.timezone and times.str.match(YEAR_FIRST.pattern).all()
    if plain or not (texts or pd.api.types.is_numeric_dtype(times)):
        return _convert_zone(times, options)
    try:
        clock = TimestampFormat.recognise(times.astype("str"), options)
    except DataError as error:
        raise error.within("{name}", name=name) from None
    local, _ = clock.parse(times.astype("str"))
    if (wrong := local == NOT_A_TIME).any():
        row = int(wrong.argmax())
        raise clock.explain(times, row).within("{name}, row {row}", name=name, row=row)
    for note in clock.describe():
        logger.info("%s: %s", name, note.message)
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
