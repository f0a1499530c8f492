"""Read tables of any format from disk, as frames of many rows at a time."""

from __future__ import annotations

import codecs
import csv
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN
from kronos.data.files.columns import is_known
from kronos.data.files.notes import ReadingNote
from kronos.errors import DataError

ROWS_AT_A_TIME = 50_000
HEAD_BYTES = 1 << 16
MAX_TITLES = 5  # lines that may stand above the column names
DELIMITERS = ",;\t|"
BLANKS = (
    *("", "-", "--", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan"),
    *("NULL", "null", "None", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
DECIMAL = re.compile(r"[-+]?\d+[.,]\d+")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}(?:,\d{3})+")
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "xz"}
FOREIGN = {  # beginnings of files that are no tables; MetaTrader's tables begin with <DATE> or <TICKER>
    b"pk\x03\x04": "an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    **dict.fromkeys((b"<!", b"<?", b"<html", b"<head", b"<table", b"<div", b"<meta"), "a web page or XML"),
    b"{": "JSON",
    b"[": "JSON",
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
    delimiter: str = ""
    decimal: str = "."
    titles: int = 0  # lines above the column names

    def read(self, columns: Sequence[str], texts: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Read columns in pieces of many rows, indexed by the number of the row from 0; those in texts stay as text.

        Raises:
            DataError: the file is damaged.
        """
        with _translate_damage(self.path):
            yield from self._read_text(texts) if self.encoding else self._read_arrow(columns)

    def _read_text(self, texts: Sequence[str]) -> Iterator[pd.DataFrame]:
        with open_bytes(self.path) as file:
            pieces = pd.read_csv(
                file,
                sep=self.delimiter,
                names=self.names,
                header=0,
                skiprows=self.titles,
                dtype=dict.fromkeys(texts, "str"),
                encoding=self.encoding,
                decimal=self.decimal,
                keep_default_na=False,
                na_values={name: [""] if name in texts else BLANKS for name in self.names},  # NA is a symbol too
                skipinitialspace=True,
                skip_blank_lines=False,  # rows keep their line numbers
                chunksize=ROWS_AT_A_TIME,
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
            for batch in _arrow_batches(file, list(columns)):
                frame = batch.to_pandas(ignore_metadata=True)  # the metadata would make the times an index
                frame.index = pd.RangeIndex(first, first + len(frame))
                first += len(frame)
                yield frame


def open_table(path: Path) -> Table:
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
                names = _arrow_schema(file)
            _check_names(names, path)
            return Table(path, names, "row", 1, ())
        for beginning, what in FOREIGN.items():
            if head.removeprefix(codecs.BOM_UTF8).lstrip().lower().startswith(beginning):
                template = "{path}: this is {what}, not a table of candles. Save it as CSV (UTF-8)."
                raise DataError(template, path=path, what=what)
        return _open_text(path, head)


def _open_text(path: Path, head: bytes) -> Table:
    encoding = _detect_encoding(path, head)
    lines = re.split(r"\r\n?|\n", head.decode(encoding, errors="ignore").lstrip("\ufeff"))
    titles = _count_titles(lines)
    header, *lines = lines[titles:]
    delimiter = max(DELIMITERS, key=header.count)
    if not header.strip():
        raise DataError("{path}: the first line is blank. Put the column names there.", path=path)
    if "\0" in header:
        raise DataError("{path}: the first line has NUL bytes, so this is not text. Save it as CSV (UTF-8).", path=path)
    names = [name.strip() for name in next(_split([header], delimiter))]
    if sum(bool(re.fullmatch(r"[-+]?[\d.,:/ -]*\d[\d.,:/ -]*", name)) for name in names) > len(names) / 2:
        template = "{path}: the first line holds numbers. Put the column names above it, for example {names}."
        raise DataError(template, path=path, names=",".join((TIMESTAMP_COLUMN, *CANDLE_COLUMNS)))
    names = [name or f"column {i}" for i, name in enumerate(names, start=1)]
    _check_names(names, path)
    comma = delimiter != "," and _has_decimal_comma(lines, delimiter, path)
    notes = (
        [ReadingNote.make("read as {encoding}", encoding=encoding.upper())] if not encoding.startswith("utf-8") else []
    )
    notes += [ReadingNote.make("columns separated by {delimiter!r}", delimiter=delimiter)] if delimiter != "," else []
    notes += [ReadingNote("numbers with a decimal comma")] if comma else []
    if titles:
        notes.append(ReadingNote.make("lines above the column names that were skipped: {n}", n=titles))
    return Table(path, names, "line", 2 + titles, tuple(notes), encoding, delimiter, "," if comma else ".", titles)


def _count_titles(lines: Sequence[str]) -> int:
    """Return the number of lines above the column names, as in exports of Chinese brokers."""
    for n, line in enumerate(lines[:MAX_TITLES]):
        names = next(_split([line], max(DELIMITERS, key=line.count)), [])
        if sum(is_known(name.strip()) for name in names) >= len(PRICE_COLUMNS):
            return n
    return 0


def _split(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def _has_decimal_comma(lines: Sequence[str], delimiter: str, path: Path) -> bool:
    """Whether commas are decimal: 1,5 is, 1,000 may be one or a thousand. The last line may be cut off."""
    cells = [cell.strip() for line in lines[:-1] or lines for cell in line.replace('"', "").split(delimiter)]
    commas = [cell for cell in cells if "," in cell and DECIMAL.fullmatch(cell)]
    unclear = [cell for cell in commas if THOUSANDS.fullmatch(cell)]
    points = any("." in cell and DECIMAL.fullmatch(cell) for cell in cells)
    if commas and len(unclear) == len(commas) and not points:
        raise DataError(
            "{path}: {number!r} is ambiguous: the comma may separate thousands or be a decimal comma. Write numbers without "
            "thousands separators and with a decimal point.",
            path=path,
            number=unclear[0],
        )
    return len(commas) > len(unclear) and not points


def _check_names(names: Sequence[str], path: Path) -> None:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError("{path}: column {names} occurs more than once. Keep one.", path=path, names=", ".join(repeated))


def _detect_encoding(path: Path, head: bytes) -> str:
    """Return the encoding of a byte order mark, else UTF-8, else GB18030."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if head.startswith(mark) and len(head) > len(mark):
            return encoding
    for encoding in ("utf-8", "gb18030"):
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            with open_bytes(path) as file:
                while piece := file.read(1 << 20):
                    decoder.decode(piece)
                decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding
    raise DataError("{path}: this is neither UTF-8 nor GB18030 text. Save it as CSV (UTF-8).", path=path)


def open_bytes(path: Path) -> Any:
    """Open a file for reading bytes. Its content tells the compression, its name whether it is a zip archive."""
    with path.open("rb") as file:
        head = file.read(6)
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            if len(names := [name for name in archive.namelist() if not name.endswith("/")]) != 1:
                template = "{path}: this archive holds {n:,} files. Unpack it into a folder and name the folder."
                raise DataError(template, path=path, n=len(names))
        return fsspec.open(str(path.absolute()), "rb", compression="zip").open()
    if head.startswith(b"\x28\xb5\x2f\xfd"):  # fsspec's reader does not notice that a file was cut off
        return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")
    compression = next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), None)
    return fsspec.open(str(path.absolute()), "rb", compression=compression).open()


def _arrow_schema(file: IO[bytes]) -> list[str]:
    if _is_parquet(file):
        return [str(name) for name in pyarrow.parquet.ParquetFile(file).schema_arrow.names]
    return [str(name) for name in pyarrow.feather.read_table(file, memory_map=False).column_names]


def _arrow_batches(file: IO[bytes], columns: list[str]) -> Iterator[Any]:
    if _is_parquet(file):
        yield from pyarrow.parquet.ParquetFile(file).iter_batches(ROWS_AT_A_TIME, columns=columns)
    else:
        yield from pyarrow.feather.read_table(file, columns=columns).to_batches(ROWS_AT_A_TIME)


def _is_parquet(file: IO[bytes]) -> bool:
    magic = file.read(4)
    file.seek(0)
    return magic == b"PAR1"


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
        raise DataError("{path}: not a well-formed CSV file: {reason}.", path=path, reason=reason) from None
    except ImportError as error:
        raise DataError("{path}: {reason}", path=path, reason=error) from None
    except (pa.ArrowException, Exception) as error:  # the errors of decompressors have no common ancestor
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise DataError("{path}: the file cannot be read: {reason}.", path=path, reason=reason) from None
