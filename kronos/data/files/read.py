"""Read files of candles as they are, symbol by symbol; kronos.data.quality finds and repairs what is wrong with them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN, Array, Float32Array, stack_columns
from kronos.data.files.aliases import SYMBOL
from kronos.data.files.choices import choose_columns, needs_choice
from kronos.data.files.columns import match_columns
from kronos.data.files.errors import ErrorsInRows, join_errors
from kronos.data.files.notes import ReadingNote
from kronos.data.files.options import ReadingOptions
from kronos.data.files.rows import RowReader
from kronos.data.files.sources import symbol_of
from kronos.data.files.tables import Table, open_table
from kronos.data.files.text.numbers import Decimal, parse_numbers
from kronos.data.files.times import NOT_A_TIME, TimestampFormat
from kronos.errors import DataError
from kronos.names import name_symbol

logger = logging.getLogger(__name__)

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
    table = open_table(path, options)
    return [series for each in table.split() for series in _read_table(each, options)]


def _read_table(table: Table, options: ReadingOptions) -> list[RawSeries]:
    chosen = None
    if needs_choice(table.names, options.columns) and set(options.columns.values()) <= set(table.names):
        chosen = choose_columns(table.sample(), table.names, options, table.decimal)
    matched = match_columns(table.names, options.columns, table.path, chosen and chosen.names)
    reader = RowReader(table, matched.names, options)
    if matched.errors:
        raise join_errors(table.path, [*matched.errors, *_check_first_rows(reader)])
    rows, clock, symbols = _Rows(), None, _Symbols()
    for frame, is_last_piece in reader.read():
        lines = frame.index.to_numpy(np.int64) + table.first
        errors = ErrorsInRows(table, lines)
        with errors.collect(lines[0]):
            clock = clock or reader.recognise_times(frame, is_last_piece)
        pieces = _read_piece(reader, frame, clock, symbols, errors, is_last_piece)
        errors.raise_all()
        rows.append(**pieces)
    if clock is None:
        template = "{path}: the file has a header but no candles. Add candles, or remove the file."
        raise DataError(template, path=table.path)
    notes = (*table.notes, *matched.notes, *(chosen.notes if chosen else ()), *reader.describe(), *clock.describe())
    for note in notes:
        if note.is_doubt:
            logger.warning("%s: %s", table.path, note.message)
    series = _split_by_symbol(table, rows.finish(), symbols, clock, notes)
    return [replace(each, columns=matched.names, zone_given=bool(options.timezone)) for each in series]


def _read_piece(
    reader: RowReader,
    frame: pd.DataFrame,
    clock: TimestampFormat | None,
    symbols: _Symbols,
    errors: ErrorsInRows,
    is_last_piece: bool,
) -> dict[str, Array]:
    pieces: dict[str, Array] = {}
    if clock:
        times = reader.times_of(frame)
        local, instants = clock.parse(times)
        unread = (local == NOT_A_TIME) | (instants == NOT_A_TIME)
        if unread.any() and not (keep := reader.drop_remarks(frame, times, unread)).all():
            same = instants is local
            frame, times, local, unread = frame[keep], times[keep], local[keep], unread[keep]
            instants = local if same else instants[keep]
            errors.lines = errors.lines[keep]
        if unread.any():
            row = int(unread.argmax())
            is_last = is_last_piece and row == len(frame) - 1 > 0
            errors.add(_explain_time(clock, times, row, is_last), row)
        pieces = {"local": local} | ({"instants": instants} if clock.zoned else {})
    pieces |= {"lines": errors.lines}
    pieces["values"] = _to_candles(frame, reader.table.decimal, errors, reader.factors)
    if SYMBOL in frame:
        pieces["symbol"] = symbols.encode(frame[SYMBOL], errors)
    return pieces


def _check_first_rows(reader: RowReader) -> list[DataError]:
    """Return what else is wrong in a file whose columns are not all known."""
    names = {ours: name for ours, name in reader.names.items() if list(reader.names.values()).count(name) == 1}
    try:
        sample = reader.table.sample()
    except DataError:
        return []  # without names, the first lines are perhaps no table
    frame = sample[list(names.values())].set_axis(list(names), axis=1)
    errors = ErrorsInRows(reader.table, frame.index.to_numpy(np.int64) + reader.table.first)
    if frame.empty:
        return []
    for name in CANDLE_COLUMNS:
        if name in frame:
            _to_numbers(frame[name], reader.table.decimal, errors)
    if TIMESTAMP_COLUMN in frame:
        with errors.collect(int(errors.lines[0])):
            TimestampFormat.recognise(reader.times_of(frame), reader.options)
    return errors.listed


def _explain_time(clock: TimestampFormat, times: Any, row: int, is_last: bool) -> DataError:
    error = clock.explain(times, row)
    template = f"{error.template} It is the last row: if it is no candle, delete it." if is_last else error.template
    return DataError(template, **error.values)


def _to_candles(
    frame: pd.DataFrame, decimal: Decimal, errors: ErrorsInRows, factors: Mapping[str, float]
) -> Float32Array:
    """Return the six columns (N, 6), times their factors; NaN for blanks, infinity for values beyond float32."""
    numbers = {name: _to_numbers(frame[name], decimal, errors) for name in CANDLE_COLUMNS if name in frame}
    numbers |= {name: numbers[name] * factor for name, factor in factors.items()}
    blank = {name: np.isnan(numbers[name]) for name in ("volume", "amount") if name in numbers}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        prices = np.mean([numbers[name] for name in PRICE_COLUMNS], axis=0)
        if "volume" in numbers and "amount" not in numbers:
            # An amount computed from a blank volume is not blank.
            numbers["amount"] = np.where(blank["volume"], 0, numbers["volume"]) * prices
        elif "amount" in numbers and "volume" not in numbers:
            numbers["volume"] = np.where(blank["amount"] | ~(prices > 0), 0, numbers["amount"]) / prices
        values = stack_columns(numbers).astype(np.float32)
    for name, mask in blank.items():
        values[mask, 4 if name == "volume" else 5] = np.nan
    return values


def _to_numbers(column: Any, decimal: Decimal, errors: ErrorsInRows) -> Array:
    if column.dtype.kind in "iuf":
        plain: Array = column.to_numpy(np.float64, na_value=np.nan)
        return plain
    numbers = parse_numbers(column, decimal)
    wrong = np.isnan(numbers) & column.notna().to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        more = " ({n:,} more such rows)" if wrong.sum() > 1 else ""
        template = f"{{column}} is {{value!r}}, not a number{more}. Write it with digits and a decimal point."
        errors.add(DataError(template, column=column.name, value=str(column.iloc[row])[:40], n=wrong.sum() - 1), row)
    return numbers


class _Symbols:
    """Symbols, numbered in order of appearance."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}

    def encode(self, column: Any, errors: ErrorsInRows) -> Array:
        codes, names = pd.factorize(column.astype("str").str.strip())
        if (codes < 0).any():
            errors.add(DataError("the symbol is blank. Write a symbol in every row."), int((codes < 0).argmax()))
            return np.zeros(len(codes), np.int32)
        numbers = [self.names.setdefault(name_symbol(str(name)), len(self.names)) for name in names]
        return np.asarray(numbers, np.int32)[codes]


def _split_by_symbol(
    table: Table, arrays: dict[str, Array], symbols: _Symbols, clock: TimestampFormat, notes: tuple[ReadingNote, ...]
) -> list[RawSeries]:
    names = list(symbols.names) or [name_symbol(table.symbol) or symbol_of(table.path)]
    named = bool(symbols.names or table.symbol)
    instants = arrays.get("instants", arrays["local"])
    series = RawSeries(
        *(
            names[0],
            str(table.path),
            arrays["values"],
            arrays["local"],
            instants,
            arrays["lines"],
            table.unit,
            clock.zoned,
        ),
        *(notes, table.path.stat().st_mtime, named),
    )
    if len(names) == 1:
        return [series]
    order = np.argsort(arrays["symbol"], kind="stable")
    ends = np.cumsum(np.bincount(arrays["symbol"]))
    return [replace(series.take(rows), symbol=name) for name, rows in zip(names, np.split(order, ends[:-1]))]
