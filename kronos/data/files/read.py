"""Read files of candles as they are, symbol by symbol; kronos.data.quality finds and repairs what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN, Array, Float32Array, stack_columns
from kronos.data.files.columns import SYMBOL, TIME, match_columns
from kronos.data.files.notes import ReadingNote
from kronos.data.files.options import ReadingOptions
from kronos.data.files.sources import symbol_of
from kronos.data.files.tables import ROWS_AT_A_TIME, Table, open_table
from kronos.data.files.times import NOT_A_TIME, TimestampFormat, join_date_and_time
from kronos.errors import DataError

LINES_A_PART = 1 << 40


@dataclass(frozen=True)
class RawSeries:
    """One symbol's rows in the order of the file, without repairs.

    values: (N, 6) float32 as in the file, NaN for a blank. local, instants: (N,) int64 microseconds since 1970,
    the exchange's clock and the true time; the same array if the file has no zones. lines: (N,) the place of each row,
    counted in unit; in a series of several files its line plus LINES_A_PART times the number of its file.
    zoned: whether instants are true times. notes: what was assumed in reading. modified: when the file was written, in
    seconds since 1970. named: whether a column holds the symbol. parts: the files of a series of several files.
    columns: our names of the columns that were read and the file's. zone_given: whether data.timezone gave the time zone.
    """

    symbol: str
    source: str
    values: Float32Array
    local: Array
    instants: Array
    lines: Array
    unit: str
    zoned: bool
    notes: tuple[ReadingNote, ...]
    modified: float
    named: bool = False
    parts: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    zone_given: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Array) -> RawSeries:
        """Return the rows that a mask or an index selects."""
        local = self.local[rows]
        instants = local if self.instants is self.local else self.instants[rows]
        return replace(self, values=self.values[rows], local=local, instants=instants, lines=self.lines[rows])


class _Rows:
    """Arrays that grow row by row without being copied as a whole."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}
        self._n = 0

    def append(self, **pieces: Array) -> None:
        stop = self._n + len(pieces["lines"])
        for name, piece in pieces.items():
            array = self._arrays.setdefault(name, np.empty((0, *piece.shape[1:]), piece.dtype))
            if stop > len(array):
                array.resize((stop + stop // 8, *array.shape[1:]), refcheck=False)
            array[self._n : stop] = piece
        self._n = stop

    def finish(self) -> dict[str, Array]:
        for array in self._arrays.values():
            array.resize((self._n, *array.shape[1:]), refcheck=False)
        return self._arrays


def read_file(path: Path, options: ReadingOptions | Mapping[str, str] | None = None) -> list[RawSeries]:
    """Read one file: CSV (of any usual delimiter and encoding, also compressed), Parquet or Feather.

    Args:
        path: a file with columns of times, open, high, low, close and, optionally, volume, amount and symbol.
        options: how to read what the file does not show itself; or only our names of columns to the file's.

    Returns:
        A series for each symbol, in order of appearance.

    Raises:
        DataError: with the file and, if one row is wrong, the line.
    """
    options = ReadingOptions.of(options)
    table = open_table(path)
    matched = match_columns(table.names, options.columns, path)
    names = matched.names
    rows, clock, symbols = _Rows(), None, _Symbols()
    for frame, is_last_piece in _read_rows(table, names):
        lines = frame.index.to_numpy(np.int64) + table.first
        times = _times_of(frame, options)
        clock = clock or _recognise(times, options, table, names, int(lines[0]), is_all=is_last_piece)
        local, instants = clock.parse(times)
        if (wrong := (local == NOT_A_TIME) | (instants == NOT_A_TIME)).any():
            row = int(wrong.argmax())
            is_last = row == len(lines) - 1 and is_last_piece
            raise _locate(_explain_time(clock, times, row, is_last and lines[row] > table.first), table, lines[row])
        pieces: dict[str, Array] = {"values": _to_candles(frame, table, lines), "lines": lines, "local": local}
        if clock.zoned:
            pieces["instants"] = instants
        if SYMBOL in names:
            pieces["symbol"] = symbols.encode(frame[SYMBOL], table, lines)
        rows.append(**pieces)
    if clock is None:
        raise DataError("{path}: the file has a header but no candles. Add candles, or remove the file.", path=path)
    notes = (*table.notes, *matched.notes, *clock.describe())
    series = _split_by_symbol(path, table, rows.finish(), symbols, clock, notes)
    return [replace(each, columns=names, zone_given=bool(options.timezone)) for each in series]


def _times_of(frame: pd.DataFrame, options: ReadingOptions) -> Any:
    if TIME not in frame:
        return frame[TIMESTAMP_COLUMN]
    return join_date_and_time(frame[TIMESTAMP_COLUMN], frame[TIME], options.time_format)


def _recognise(
    times: Any, options: ReadingOptions, table: Table, names: Mapping[str, str], line: int, is_all: bool
) -> TimestampFormat:
    def read_all() -> Any:
        return pd.concat([_times_of(frame, options) for frame, _ in _read_rows(table, names)])

    try:
        return TimestampFormat.recognise(times, options, None if is_all else read_all)
    except DataError as error:
        raise _locate(error, table, line) from None


def _read_rows(table: Table, names: Mapping[str, str]) -> Iterator[tuple[pd.DataFrame, bool]]:
    """Read the rows that are not blank, under our names, in pieces; and whether a piece is the last."""
    texts = [names[name] for name in (TIMESTAMP_COLUMN, TIME, SYMBOL) if name in names]
    for piece in table.read(list(names.values()), texts):
        frame = piece[list(names.values())].set_axis(list(names), axis=1)
        blank = frame.isna().all(axis=1)
        frame = frame[~blank] if blank.any() else frame
        if len(frame):
            yield frame, len(piece) < ROWS_AT_A_TIME


def _explain_time(clock: TimestampFormat, times: Any, row: int, is_last: bool) -> DataError:
    error = clock.explain(times, row)
    hint = " It is the last row: if it is no candle, delete it." if is_last else ""
    return DataError(error.template + hint, **error.values)


def _locate(error: DataError, table: Table, line: int) -> DataError:
    return error.within("{path}, {unit} {line}", path=table.path, unit=table.unit, line=line)


def _to_candles(frame: pd.DataFrame, table: Table, lines: Array) -> Float32Array:
    """Return the six columns (N, 6); NaN for blanks, infinity for values beyond float32."""
    numbers = {name: _to_numbers(frame[name], table, lines) for name in CANDLE_COLUMNS if name in frame}
    blank = {name: np.isnan(numbers[name]) for name in ("volume", "amount") if {name, "volume"} <= numbers.keys()}
    with np.errstate(over="ignore", invalid="ignore"):
        if "volume" in numbers and "amount" not in numbers:
            # An amount computed from a blank volume is not blank.
            prices = np.mean([numbers[name] for name in PRICE_COLUMNS], axis=0)
            numbers["amount"] = np.where(blank["volume"], 0, numbers["volume"]) * prices
        values = stack_columns(numbers).astype(np.float32)
    for name, mask in blank.items():
        values[mask, 4 if name == "volume" else 5] = np.nan
    return values


def _to_numbers(column: Any, table: Table, lines: Array) -> Array:
    if column.dtype.kind in "iuf":
        numbers: Array = column.to_numpy(np.float64, na_value=np.nan)
        return numbers
    text = column.astype("str")  # pandas makes no number of an integer of hundreds of digits
    numbers = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    wrong = np.isnan(numbers) & column.notna().to_numpy()
    if table.decimal == ",":
        wrong |= text.str.contains(".", regex=False).to_numpy(bool, na_value=False)  # then 1.000 is a thousand
    if wrong.any():
        row = int(wrong.argmax())
        more = " ({n:,} more such rows)" if wrong.sum() > 1 else ""
        error = DataError(
            f"{{column}} is {{value!r}}, not a number{more}. Write it with digits and a decimal point, without thousands "
            "separators.",
            column=column.name,
            value=str(column.iloc[row])[:40],
            n=wrong.sum() - 1,
        )
        raise _locate(error, table, lines[row])
    return numbers


class _Symbols:
    """Symbols, numbered in order of appearance."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    def encode(self, column: Any, table: Table, lines: Array) -> Array:
        codes, names = pd.factorize(column.astype("str").str.strip())
        if (codes < 0).any():
            line = lines[int((codes < 0).argmax())]
            raise _locate(DataError("the symbol is blank. Write a symbol in every row."), table, line)
        numbers = [self.names.setdefault(str(name), len(self.names)) for name in names]
        return np.asarray(numbers, np.int32)[codes]


def _split_by_symbol(
    path: Path,
    table: Table,
    arrays: dict[str, Array],
    symbols: _Symbols,
    clock: TimestampFormat,
    notes: tuple[ReadingNote, ...],
) -> list[RawSeries]:
    names = list(symbols.names) or [symbol_of(path)]
    instants = arrays.get("instants", arrays["local"])
    series = RawSeries(
        *(names[0], str(path), arrays["values"], arrays["local"], instants, arrays["lines"], table.unit, clock.zoned),
        *(notes, path.stat().st_mtime, bool(symbols.names)),
    )
    if len(names) == 1:
        return [series]
    order = np.argsort(arrays["symbol"], kind="stable")
    ends = np.cumsum(np.bincount(arrays["symbol"]))
    return [replace(series.take(rows), symbol=name) for name, rows in zip(names, np.split(order, ends[:-1]))]
