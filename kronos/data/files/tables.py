"""Read tables of any format from disk, as frames of many rows at a time."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa

from kronos.data.files.arrow import read_batches, read_names
from kronos.data.files.notes import ReadingNote
from kronos.data.files.opening import open_bytes, open_lines
from kronos.data.files.options import ReadingOptions
from kronos.data.files.text.affixes import strip_affixes
from kronos.data.files.text.encodings import detect_encoding
from kronos.data.files.text.headers import DELIMITERS, MAX_TITLES, SPACES, Layout, find_layout, name_all
from kronos.data.files.text.numbers import Decimal
from kronos.errors import DataError
from kronos.names import Template

ROWS_AT_A_TIME = 50_000
ROWS_SAMPLED = 2_000
HEAD_BYTES = 1 << 16
MAX_COLUMNS = 20_000
MAX_CELL = 10_000  # characters
BLANKS = (
    *("", "-", "--", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan"),
    *(
        "\\N",
        ".",
        "–",
        "—",
        "n.a.",
        "N.A.",
        "(null)",
        "NULL",
        "null",
        "None",
        "1.#IND",
        "-1.#IND",
        "1.#QNAN",
        "-1.#QNAN",
    ),
)
FOREIGN: dict[
    bytes, Template
] = {  # beginnings of files that are no tables; MetaTrader's tables begin with <DATE> or <TICKER>
    b"pk\x03\x04": "an archive in an archive or a damaged one",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    **dict.fromkeys((b"<!", b"<?", b"<html", b"<head", b"<table", b"<div", b"<meta"), "a web page or XML"),
    b"{": "JSON",
    b"[": "JSON",
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), "a pickle"),
    b"\x93numpy": "an array of NumPy",
    b"rdx": "data of R",
    b"%pdf": "a PDF",
    b"\x89hdf": "HDF5",
    b"sqlite format 3": "a database",
}


@dataclass(frozen=True)
class Table:
    """A file's columns and how to read it.

    unit: what the rows are counted in, "line" or "row". first: the number of the first row.
    """

    path: Path
    names: list[str]
    unit: str
    first: int
    notes: tuple[ReadingNote, ...]
    encoding: str = ""
    layout: Layout | None = None  # of a text
    symbol: str = ""  # if the columns are those of one symbol among several
    stored: tuple[str, ...] = ()  # the names in the file, of a table that is no text
    symbols: Mapping[str, str] = field(default_factory=dict)  # of each column, if there are several

    @property
    def decimal(self) -> Decimal:
        """The decimal sign of numbers that are texts."""
        return self.layout.decimal if self.layout else "."

    def split(self) -> list[Table]:
        """Return a table for each symbol, if the columns of several stand side by side."""
        symbols = self.layout.symbols if self.layout else self.symbols
        tables = []
        for symbol in dict.fromkeys(symbols.values()):
            names = []
            for name in self.names:
                own = symbols.get(name, symbol) == symbol
                names.append(re.sub(r" \(\d+\)$", "", name) if own else f"{name} of {symbols[name]}")
            tables.append(replace(self, names=names, symbol=symbol))
        return tables or [self]

    def read(self, columns: Sequence[str], texts: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Read columns in pieces of many rows, indexed by the number of the row from 0; those in texts stay as text.

        Raises:
            DataError: the file is damaged.
        """
        with _translate_damage(self.path):
            for piece in self._read_text(texts, self.layout) if self.layout else self._read_arrow(columns):
                self._check_cells(piece)
                yield piece

    def _check_cells(self, piece: pd.DataFrame) -> None:
        for name, kind in piece.dtypes.items():
            if not isinstance(kind, pd.StringDtype):
                continue
            if (piece[name].str.len() > MAX_CELL).any():
                template = "{path}: a cell of {name} has more than {n:,} characters. Save the candles again, without other texts."
                raise DataError(template, path=self.path, name=name, n=MAX_CELL)

    def sample(self) -> pd.DataFrame:
        """Read the first rows; those of a text stay as text.

        Raises:
            DataError: the file is damaged.
        """
        with _translate_damage(self.path):
            pieces = (
                self._read_text(self.names, self.layout, ROWS_SAMPLED) if self.layout else self._read_arrow(self.names)
            )
            sample = next(pieces, pd.DataFrame(columns=self.names)).iloc[:ROWS_SAMPLED]
            self._check_cells(sample)
            return sample

    def _read_text(self, texts: Sequence[str], layout: Layout, rows: int = ROWS_AT_A_TIME) -> Iterator[pd.DataFrame]:
        with open_lines(self.path) as file:
            pieces = pd.read_csv(
                file,
                sep=layout.delimiter,
                names=self.names,
                header=None,
                skiprows=layout.skip,
                dtype=dict.fromkeys(texts, "str"),
                encoding=self.encoding,
                decimal=layout.decimal,
                keep_default_na=False,
                na_values={name: [""] if name in texts else BLANKS for name in self.names},  # NA is a symbol too
                skipinitialspace=True,
                skip_blank_lines=False,  # rows keep their line numbers
                chunksize=rows,
                low_memory=False,
            )
            for piece in pieces:
                if not isinstance(piece.index, pd.RangeIndex):
                    raise DataError(
                        "{path}: the rows have more values than the header has columns. Remove the extra delimiter at "
                        "the end of the rows, or name every column.",
                        path=self.path,
                    )
                yield piece

    def _read_arrow(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        first = 0
        with open_bytes(self.path) as file:
            stored = dict(zip(self.names, self.stored))
            for batch in read_batches(file, [stored[name] for name in columns], self.path, ROWS_AT_A_TIME):
                frame = batch.to_pandas(ignore_metadata=True)  # the metadata would make the times an index
                frame = frame[[stored[name] for name in columns]].set_axis(list(columns), axis=1)
                frame.index = pd.RangeIndex(first, first + len(frame))
                first += len(frame)
                yield frame


def open_table(path: Path, options: ReadingOptions | None = None) -> Table:
    """Detect the format of a file by its content, and read its column names.

    Raises:
        DataError: the file is empty, damaged or no table.
    """
    with _translate_damage(path):
        with open_bytes(path) as file:
            head = file.read(HEAD_BYTES)
        if not head.strip():
            raise DataError("{path}: the file is empty. Save the candles again.", path=path)
        if head.startswith((b"PAR1", b"ARROW1", b"FEA1")):
            with open_bytes(path) as file:
                names = read_names(file, path)
            _check_width(path, len(names))
            if repeated := sorted({name for name in names if names.count(name) > 1}):
                template = "{path}: column {names} occurs more than once. Keep one."
                raise DataError(template, path=path, names=", ".join(repeated))
            stripped = strip_affixes(names, (options or ReadingOptions()).columns.values())
            written = name_all(stripped.names)
            symbols = {name: symbol for name, symbol in zip(written, stripped.symbols) if symbol}
            return Table(path, written, "row", 1, (), stored=tuple(names), symbols=symbols)
        for beginning, what in FOREIGN.items():
            if head.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(beginning):
                raise _build_foreign_error(path, what)
        return _open_text(path, head, options or ReadingOptions())


def _build_foreign_error(path: Path, what: str) -> DataError:
    remedy = "Save it as CSV (UTF-8)."
    if "archive" in what:
        remedy = "Unpack it, or save the workbook in it as CSV (UTF-8)."
    if what == "a pickle":
        remedy = (
            "It may run any code when it is loaded, so it is not. If you trust it, write it as CSV with "
            "pandas.read_pickle(path).to_csv(other_path)."
        )
    return DataError("{path}: this is {what}, not a table of candles. {remedy}", path=path, what=what, remedy=remedy)


def _open_text(path: Path, head: bytes, options: ReadingOptions) -> Table:
    encoding = detect_encoding(path, head, open_bytes)
    lines = re.split(r"\r\n?|\n", head.decode(encoding, errors="ignore").lstrip("\ufeff"))
    if len(lines) == 1 and len(head) >= HEAD_BYTES:
        raise DataError(
            "{path}: the first line has no end within {n:,} bytes, so this is no table.", path=path, n=HEAD_BYTES
        )
    _check_width(path, 1 + max(line.count(each) for line in lines[:MAX_TITLES] for each in DELIMITERS))
    try:
        layout = find_layout(lines, options)
    except DataError as error:
        raise error.within("{path}", path=path) from None
    notes = (
        [ReadingNote.make("read as {encoding}", encoding=encoding.upper())] if not encoding.startswith("utf-8") else []
    )
    if layout.delimiter != ",":
        shown = "spaces" if layout.delimiter == SPACES else repr(layout.delimiter)
        notes.append(ReadingNote.make("columns separated by {delimiter}", delimiter=shown))
    notes += [ReadingNote("numbers with a decimal comma")] if layout.decimal == "," else []
    return Table(path, layout.names, "line", 1 + layout.skip, (*notes, *layout.notes), encoding, layout)


def _check_width(path: Path, n_columns: int) -> None:
    if n_columns > MAX_COLUMNS:
        template = "{path}: there are {n:,} columns; at most {most:,} are read. Save fewer symbols in each file."
        raise DataError(template, path=path, n=n_columns, most=MAX_COLUMNS)


@contextmanager
def _translate_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except pa.ArrowMemoryError as error:  # a damaged length asks for more than any machine has
        template = "{path}: the file is damaged, or too large for the memory: {reason}. Save the candles again."
        raise DataError(template, path=path, reason=error) from None
    except MemoryError:
        raise
    except pd.errors.ParserError as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ")
        raise DataError(
            "{path}: not a well-formed CSV file: {reason}. Correct that line.", path=path, reason=reason
        ) from None
    except ImportError as error:
        raise DataError("{path}: {reason}", path=path, reason=error) from None
    except (pa.ArrowException, Exception) as error:  # the errors of decompressors have no common ancestor
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        if "zoneinfo" in reason:
            reason = "a time zone of its columns is unknown"
        raise DataError("{path}: the file cannot be read: {reason}. Save it again.", path=path, reason=reason) from None
