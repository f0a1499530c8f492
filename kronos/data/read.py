"""Read candles from a CSV file; whatever is wrong with it is said with its line."""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from kronos.candles import (
    CANDLE_COLUMNS,
    PRICE_COLUMNS,
    TIMESTAMP_COLUMN,
    Array,
    Float32Array,
    compute_calendar,
    stack_columns,
)
from kronos.errors import DataError

logger = logging.getLogger(__name__)

FIRST_ROW_LINE = 2  # the header stands on line 1
# Plain digits: how many stand for what. Seconds, milliseconds, … since 1970 in UTC, or a date written without separators.
EPOCH_UNITS: dict[int, Literal["s", "ms", "us", "ns"]] = {
    9: "s",
    10: "s",
    12: "ms",
    13: "ms",
    15: "us",
    16: "us",
    18: "ns",
    19: "ns",
}
UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
DATE_FORMATS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
COMPACT_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\d{2}|\d{4}|\d{6})?")
ZONE_SUFFIX = r"\s*(?:[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"


@dataclass(frozen=True)
class Candles:
    """One symbol's candles, oldest first.

    values: (N, 6) float32, open, high, low, close, volume, amount, in the file's units; each column contiguous.
    calendar: (N, 5) float32, minute, hour, weekday, day, month.
    timestamps: N local (exchange) times without a zone.
    """

    values: Float32Array
    calendar: Float32Array
    timestamps: pd.DatetimeIndex
    source: str

    def __len__(self) -> int:
        return len(self.values)

    def to_frame(self) -> pd.DataFrame:
        """Return the candles as a frame in upstream's columns, indexed by timestamp."""
        return pd.DataFrame(self.values, columns=list(CANDLE_COLUMNS), index=self.timestamps)

    def content_hash(self) -> str:
        """Return a SHA-256 of the values and times: the same candles, the same hash."""
        times = self.timestamps.as_unit("ns").asi8
        return hashlib.sha256(self.values.tobytes() + times.tobytes()).hexdigest()


@dataclass(frozen=True)
class _Table:
    """The file's rows as text, and the line on which each stands."""

    path: Path
    frame: pd.DataFrame
    lines: Array

    def fault(self, row: int, message: str) -> DataError:
        return DataError(f"{self.path}, line {self.lines[row]}: {message}")

    def note(self, message: str) -> None:
        logger.info("%s: %s", self.path, message)


def read_candles(path: Path) -> Candles:
    """Read a CSV file with the columns timestamps, open, high, low, close and, where there are, volume and amount.

    Columns may stand in any order; others are ignored. Absent volume is taken as 0, absent amount as
    volume × mean(open, high, low, close); rows out of order are sorted. Each is logged.

    Raises:
        DataError: naming the file, the line and the value.
    """
    table = _read_table(path)
    _check_columns(table)
    local, instants = _parse_timestamps(table)
    values = stack_columns({name: _to_numbers(table, name) for name in CANDLE_COLUMNS if name in table.frame})
    order = _order_by_time(table, instants)
    timestamps = pd.DatetimeIndex(local.iloc[order])
    return Candles(np.asfortranarray(values[order], np.float32), compute_calendar(timestamps), timestamps, str(path))


def _read_table(path: Path) -> _Table:
    if not path.exists():
        columns = ", ".join((TIMESTAMP_COLUMN, *CANDLE_COLUMNS))
        raise DataError(
            f"{path}: no such file (looked in {Path.cwd()}); set data.data_path (--data) to a CSV with the columns {columns}."
        )
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; set data.data_path to a CSV file in it.")
    try:
        # Blank lines are kept until the rows have their line numbers.
        frame = pd.read_csv(path, skip_blank_lines=False, dtype=str, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: the file is empty.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}); save it as CSV with UTF-8 encoding.") from None
    except pd.errors.ParserError as error:
        raise DataError(f"{path}: not a well-formed CSV file: {str(error).strip()}") from None
    except Exception as error:  # what decompressors raise has no common ancestor
        raise DataError(f"{path}: cannot be read as CSV: {str(error).strip() or type(error).__name__}.") from None
    if not isinstance(frame.index, pd.RangeIndex):
        raise DataError(f"{path}: the rows have more values than the header has columns.")
    frame.columns = pd.Index([str(name).strip() for name in frame.columns])
    frame = frame.dropna(how="all")
    return _Table(path, frame.reset_index(drop=True), frame.index.to_numpy() + FIRST_ROW_LINE)


def _check_columns(table: _Table) -> None:
    path, frame = table.path, table.frame
    if missing := [name for name in (TIMESTAMP_COLUMN, *PRICE_COLUMNS) if name not in frame]:
        separator = next((mark for mark in ";\t|" if len(frame.columns) == 1 and mark in frame.columns[0]), None)
        hint = f" It seems to be separated by {separator!r}; save it with commas." if separator else ""
        raise DataError(f"{path}: column {', '.join(missing)} missing; the file has: {', '.join(frame.columns)}.{hint}")
    known = (TIMESTAMP_COLUMN, *CANDLE_COLUMNS)
    if twice := [name for name in known if f"{name}.1" in frame or (frame.columns == name).sum() > 1]:
        raise DataError(f"{path}: column {', '.join(twice)} stands more than once; keep one.")
    if frame.empty:
        raise DataError(f"{path}: the file has a header but no candles.")
    if extra := [name for name in frame if name not in known]:
        table.note(f"columns ignored: {', '.join(map(str, extra))}")
    if "volume" not in frame:
        table.note("no column volume; volume and amount are taken as 0")
    elif "amount" not in frame:
        table.note("no column amount; taken as volume × mean of open, high, low and close")


def _to_numbers(table: _Table, name: str) -> Array:
    """Return a column as float64; prices must be there, a volume or amount left blank counts as 0."""
    column = table.frame[name]
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    blank = column.isna().to_numpy() & (name not in PRICE_COLUMNS)
    wrong = ~(np.abs(numbers) <= np.finfo(np.float32).max) & ~blank
    if wrong.any():
        row = int(wrong.argmax())
        shown = "empty" if pd.isna(column[row]) else repr(column[row])
        more = f" ({wrong.sum() - 1:,} more such rows)" if wrong.sum() > 1 else ""
        raise table.fault(row, f"{name} is {shown}, not a finite number{more}.")
    if blank.any():
        table.note(f"{name} is blank in {blank.sum():,} rows, taken as 0")
    return np.where(blank, 0.0, numbers)


def _parse_timestamps(table: _Table) -> tuple[pd.Series[pd.Timestamp], pd.Series[pd.Timestamp]]:
    """Return local times without a zone, for the calendar, and instants, for the order of the rows."""
    text = table.frame[TIMESTAMP_COLUMN].fillna("").str.strip()
    zoned = text.str.contains(":.*" + ZONE_SUFFIX)
    if zoned.any() and not zoned.all():
        row = int((zoned != zoned[0]).to_numpy().argmax())
        has = "has a" if zoned[row] else "has no"
        raise table.fault(
            row, f"timestamp {text[row]!r} {has} time zone, unlike the first row's; write all the same way."
        )
    if text.str.fullmatch(r"\d+(\.0*)?").all():
        local = instants = _parse_digits(table, text.str.replace(r"\.0*$", "", regex=True))
    elif zoned.all():
        # The clock on the wall, as written, is what the calendar features and the sessions follow.
        local = _to_datetime(text.str.replace(ZONE_SUFFIX, "", regex=True))
        instants = _to_datetime(text, utc=True)
    else:
        local = instants = _to_datetime(text)
    unreadable = (local.isna() | instants.isna()).to_numpy()
    if unreadable.any():
        row = int(unreadable.argmax())
        accepted = "2024-06-18 11:15:00, 2024/6/18 11:15, or as seconds or milliseconds since 1970"
        raise table.fault(row, f"timestamp {text[row]!r} cannot be read; write it like {accepted}.")
    return local, instants


def _to_datetime(text: pd.Series[str], utc: bool = False) -> pd.Series[pd.Timestamp]:
    # Year first only: 05/06/2024 is May in one country and June in the next.
    return pd.to_datetime(text.where(text.str.match(r"\d{4}\D")), format="mixed", errors="coerce", utc=utc)


def _parse_digits(table: _Table, text: pd.Series[str]) -> pd.Series[pd.Timestamp]:
    """Parse timestamps of digits alone; all rows must be of the first one's kind, told by the number of digits."""
    first = text[0]
    if COMPACT_DATE.fullmatch(first):
        return pd.to_datetime(text, format=DATE_FORMATS[len(first)], errors="coerce")
    unit = EPOCH_UNITS.get(len(first))
    if unit is None:
        raise table.fault(0, f"timestamp {first!r} is neither seconds nor milliseconds since 1970, nor a date.")
    table.note(f"timestamps read as {UNIT_NAMES[unit]} since 1970, in UTC")
    same_unit = text.str.len().map(EPOCH_UNITS) == unit
    numbers: pd.Series[float] = pd.to_numeric(text.where(same_unit))
    return pd.to_datetime(numbers, unit=unit, errors="coerce")


def _order_by_time(table: _Table, instants: pd.Series[pd.Timestamp]) -> Array:
    """Return the order of the rows from oldest to newest; no two may stand at the same time."""
    repeated = instants.duplicated().to_numpy()
    if repeated.any():
        row = int(repeated.argmax())
        first = table.lines[int((instants == instants[row]).to_numpy().argmax())]
        count = f"{repeated.sum():,} duplicate{'s' if repeated.sum() > 1 else ''} in all"
        text = table.frame[TIMESTAMP_COLUMN][row]
        raise table.fault(row, f"timestamp {text} stands already on line {first} ({count}); keep one.")
    if not instants.is_monotonic_increasing:
        table.note("rows were not in order of time; sorted")
    return instants.argsort(kind="stable").to_numpy()
