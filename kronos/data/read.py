"""Read candles from a CSV file; whatever is wrong with it is said with its line."""

import hashlib
import logging
import re
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN, Array, Float32Array, compute_calendar, stack_columns
from kronos.errors import DataError

logger = logging.getLogger(__name__)

HEADER_LINES = 1
# Plain digits: how many stand for what. Seconds, milliseconds, … since 1970 in UTC, or a date written without separators.
EPOCH_UNITS = {9: "s", 10: "s", 12: "ms", 13: "ms", 15: "us", 16: "us", 18: "ns", 19: "ns"}
DATE_FORMATS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
COMPACT_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\d{4}|\d{6})?")
ZONE_SUFFIX = r"\s*(?:[Zz]|UTC|GMT|[+-]\d{2}:?\d{2})$"


@dataclass(frozen=True)
class Candles:
    """One symbol's candles, oldest first.

    values: (N, 6) contiguous float32, open, high, low, close, volume, amount, in the file's units.
    calendar: (N, 5) float32, minute, hour, weekday, day, month.
    timestamps: N local (exchange) times without a zone.
    """

    values: Float32Array
    calendar: Float32Array
    timestamps: pd.DatetimeIndex
    source: str

    def __len__(self) -> int:
        return len(self.values)

    def content_hash(self) -> str:
        """Return a SHA-256 of the values and times: the same candles, the same hash."""
        times = self.timestamps.as_unit("ns").asi8
        return hashlib.sha256(self.values.tobytes() + times.tobytes()).hexdigest()


def read_candles(path: Path) -> Candles:
    """Read a CSV file with the columns timestamps, open, high, low, close and, where there are, volume and amount.

    Columns may stand in any order; others are ignored. Absent volume is taken as 0, absent amount as
    volume × mean(open, high, low, close); rows out of order are sorted. Each is logged.

    Raises:
        DataError: naming the file, the line and the value.
    """
    frame = _read_csv(path).dropna(how="all")  # blank lines
    frame.columns = [str(name).strip() for name in frame.columns]
    _check_columns(frame, path)
    local, instants = _parse_timestamps(frame[TIMESTAMP_COLUMN], path)
    _note_absent_columns(frame, path)
    values = stack_columns({name: _to_numbers(frame[name], path) for name in CANDLE_COLUMNS if name in frame})
    order = _order_by_time(instants, path)
    timestamps = pd.DatetimeIndex(local.iloc[order])
    return Candles(np.ascontiguousarray(values[order], np.float32), compute_calendar(timestamps), timestamps, str(path))


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise DataError(
            f"{path}: no such file (looked in {Path.cwd()}); set data.data_path to a CSV with the columns "
            f"{TIMESTAMP_COLUMN}, {', '.join(CANDLE_COLUMNS)}."
        )
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; set data.data_path to a CSV file in it.")
    try:
        # Blank lines are kept until later, so that a row's line in the file stays known.
        frame = pd.read_csv(path, skip_blank_lines=False, dtype=str, encoding="utf-8-sig")
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: the file is empty.") from None
    except pd.errors.ParserError as error:
        raise DataError(f"{path}: not a well-formed CSV file: {str(error).strip()}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text (byte {error.start}); save it as CSV with UTF-8 encoding.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}.") from None
    return frame


def _check_columns(frame: pd.DataFrame, path: Path) -> None:
    missing = [name for name in (TIMESTAMP_COLUMN, *PRICE_COLUMNS) if name not in frame]
    if missing:
        raise DataError(f"{path}: column {', '.join(missing)} missing; the file has: {', '.join(frame.columns)}.")
    if repeated := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise DataError(f"{path}: column {', '.join(repeated)} stands more than once; keep one.")
    if frame.empty:
        raise DataError(f"{path}: the file has a header but no candles.")
    if extra := [name for name in frame if name not in (TIMESTAMP_COLUMN, *CANDLE_COLUMNS)]:
        logger.info("%s: columns ignored: %s", path, ", ".join(extra))


def _line(label: Hashable) -> int:
    """The line in the file of a row, from its label in the frame."""
    return int(str(label)) + HEADER_LINES + 1


def _to_numbers(column: pd.Series, path: Path) -> Array:
    """Return a column as float64; prices must be there, a volume or amount left blank counts as 0."""
    numbers = pd.to_numeric(column, errors="coerce").astype(np.float64)
    blank = column.isna() if column.name not in PRICE_COLUMNS else pd.Series(False, index=column.index)
    wrong = ~np.isfinite(numbers) & ~blank
    if wrong.any():
        label = wrong.idxmax()
        shown = "empty" if pd.isna(column[label]) else repr(column[label])
        more = f" ({wrong.sum() - 1:,} more such rows)" if wrong.sum() > 1 else ""
        raise DataError(f"{path}, line {_line(label)}: {column.name} is {shown}, not a number{more}.")
    if blank.any():
        logger.info("%s: %s is blank in %d rows, taken as 0", path, column.name, blank.sum())
    return numbers.fillna(0.0).to_numpy()


def _note_absent_columns(frame: pd.DataFrame, path: Path) -> None:
    if "volume" not in frame:
        logger.info("%s: no column volume; volume and amount are taken as 0", path)
    elif "amount" not in frame:
        logger.info("%s: no column amount; taken as volume × mean of open, high, low and close", path)


def _parse_timestamps(column: pd.Series, path: Path) -> tuple[pd.Series, pd.Series]:
    """Return local times without a zone, for the calendar, and instants, for the order of the rows."""
    text = column.fillna("").str.strip()
    digits = text.str.fullmatch(r"\d+(\.0*)?")
    if digits.all():
        local = _parse_digits(text.str.replace(r"\.0*$", "", regex=True), path)
        instants = local
    else:
        zoned = text.str.contains(r":.*" + ZONE_SUFFIX, regex=True)
        if zoned.any() and not zoned.all():
            label = (zoned != zoned.iloc[0]).idxmax()
            raise DataError(
                f"{path}, line {_line(label)}: timestamp {text[label]!r} {'has a' if zoned[label] else 'has no'} time "
                "zone, unlike the rows before it; write all rows the same way."
            )
        # The clock on the wall, as written, is what the calendar features and the sessions follow.
        local = _to_datetime(text.str.replace(ZONE_SUFFIX, "", regex=True) if zoned.all() else text, utc=False)
        instants = _to_datetime(text, utc=True) if zoned.all() else local
    unreadable = local.isna() | instants.isna()
    if unreadable.any():
        label = unreadable.idxmax()
        raise DataError(
            f"{path}, line {_line(label)}: timestamp {text[label]!r} cannot be read; write it like 2024-06-18 11:15:00, "
            "2024/6/18 11:15, or as seconds or milliseconds since 1970."
        )
    return local, instants


def _to_datetime(text: pd.Series, utc: bool) -> pd.Series:
    # Year first only: 05/06/2024 is May in one country and June in the next.
    return pd.to_datetime(text.where(text.str.match(r"\d{4}\D")), format="mixed", errors="coerce", utc=utc)


def _parse_digits(text: pd.Series, path: Path) -> pd.Series:
    """Parse timestamps of digits alone; all rows must be of one kind, told by the number of digits."""
    first = text.iloc[0]
    if COMPACT_DATE.fullmatch(first):
        return pd.to_datetime(text, format=DATE_FORMATS[len(first)], errors="coerce")
    unit = EPOCH_UNITS.get(len(first))
    if unit is None:
        raise DataError(
            f"{path}, line {_line(text.index[0])}: timestamp {first!r} is neither seconds nor milliseconds since 1970 nor a date."
        )
    logger.info("%s: timestamps read as %s since 1970, in UTC", path, {"s": "seconds", "ms": "milliseconds"}.get(unit, unit))
    same_unit = text.str.len().map(EPOCH_UNITS.get) == unit
    return pd.to_datetime(pd.to_numeric(text).where(same_unit), unit=unit, errors="coerce")


def _order_by_time(instants: pd.Series, path: Path) -> Array:
    """Return the order of the rows from oldest to newest; no two may stand at the same time."""
    repeated = instants.duplicated(keep="first")
    if repeated.any():
        label = repeated.idxmax()
        first = (instants == instants[label]).idxmax()
        raise DataError(
            f"{path}, line {_line(label)}: timestamp {instants[label]} stands already on line {_line(first)} "
            f"({repeated.sum():,} duplicates in all); keep one candle for each time."
        )
    if not instants.is_monotonic_increasing:
        logger.info("%s: rows were not in order of time; sorted", path)
    return instants.argsort(kind="stable").to_numpy()
