"""Tell the layout of a text table: its delimiter, the lines above the rows, the names of the columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN
from kronos.data.files.columns import is_known, recognise_columns
from kronos.data.files.notes import ReadingNote
from kronos.data.files.options import ReadingOptions
from kronos.data.files.text.affixes import strip_affixes
from kronos.data.files.text.layouts import recognise_layout
from kronos.data.files.text.numbers import Decimal, find_decimal
from kronos.data.files.times import looks_like_times
from kronos.errors import DataError
from kronos.names import Template

MAX_TITLES = 40  # lines that may stand above the column names
MAX_LABELS = 3  # lines of labels or units below them
DELIMITERS = ",;\t|^~"
SPACES = r"\s+"
NUMBER_OR_DATE = re.compile(r"[-+]?[\d.,:/ -]*\d[\d.,:/ -]*(?:[eE]\+\d+)?")
NO_AFFIX: Template = "names of columns read without {used}"
TWO_POINTS = re.compile(r"\.\d*\.")


@dataclass(frozen=True)
class Layout:
    """What stands above the rows of a text table.

    names: of all columns, each once. header: the names as written, to recognise them below. skip: the number of lines
    above the rows. symbols: the symbol of each column, if the columns of several symbols stand side by side.
    """

    names: list[str]
    header: list[str]
    delimiter: str
    decimal: Decimal
    skip: int
    notes: tuple[ReadingNote, ...] = ()
    symbols: dict[str, str] = field(default_factory=dict)


def find_layout(lines: Sequence[str], options: ReadingOptions) -> Layout:
    """Tell the layout from the first lines of a file; the last may be cut off.

    Raises:
        DataError: without a place; there is no line of names, and the values do not show which column is which, or all
            commas in numbers are ambiguous.
    """
    titles = _count_titles(lines)
    header, rest = lines[titles], lines[titles + 1 :]
    delimiter = _find_delimiter(header)
    if not header.strip():
        raise DataError("the first line is blank. Put the column names there.")
    if "\0" in header:
        raise DataError("the first line has NUL bytes, so this is not text. Save it as CSV (UTF-8).")
    written = [name.strip() for name in next(split_lines([header], delimiter))]
    if len(written) == 1 and len(set(PRICE_COLUMNS) & recognise_columns(re.split(r"[,;\t|]", written[0])).keys()) > 1:
        raise DataError("each line stands in quotes as a whole. Remove the quotes at both ends of each line.")
    notes = [ReadingNote.make("lines above the column names that were skipped: {n}", n=titles)] if titles else []
    if _are_counted(written):  # a frame whose columns had no names
        return _name_columns(rest, titles + 1, delimiter, options, notes)
    if _has_no_names(written):
        return _name_columns([header, *rest], titles, delimiter, options, notes)
    names, tickers, labels = _read_levels(written, list(split_lines(rest[:MAX_LABELS], delimiter)))
    if titles and not tickers:
        names, tickers = _read_tickers_above(names, next(split_lines([lines[titles - 1]], delimiter), []), rest)
    if labels:
        notes.append(ReadingNote.make("lines of labels below the column names that were skipped: {n}", n=labels))
    rows = list(split_lines(rest[labels:-1] or rest[labels:], delimiter))
    decimal = options.decimal or _find_decimal(rest[labels:], rows, delimiter) or "."
    names = _fit_width(names, rows)
    if not tickers:
        names, tickers, used = strip_affixes(names, options.columns.values())
        notes += [ReadingNote.make(NO_AFFIX, used=used)] if used else []
    names = name_all(names)
    symbols = {name: ticker for name, ticker in zip(names[1:], tickers[1:]) if ticker}
    symbols = symbols if len(set(symbols.values())) > 1 else {}
    return Layout(names, written, delimiter, decimal, titles + 1 + labels, tuple(notes), symbols)


def split_lines(lines: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    """Split lines into cells."""
    if delimiter == SPACES:
        return (line.split() for line in lines)
    return csv.reader(lines, delimiter=delimiter, skipinitialspace=True)


def _find_decimal(lines: Sequence[str], rows: Sequence[Sequence[str]], delimiter: str) -> Decimal | None:
    text = "\n".join(lines)
    comma = '"' if delimiter == "," else ","  # a comma within a cell stands between quotes
    if text.isascii() and comma not in text and not TWO_POINTS.search(text):
        return None  # plain numbers; this is fast
    return find_decimal(cell for row in rows for cell in row)


def _find_delimiter(line: str) -> str:
    best = max(DELIMITERS, key=line.count)
    return best if line.count(best) or len(line.split()) <= len(PRICE_COLUMNS) else SPACES


def _count_titles(lines: Sequence[str]) -> int:
    """Return the number of lines above the column names, as in exports of Chinese brokers, and blank lines."""
    for n, line in enumerate(lines[:MAX_TITLES]):
        names = next(split_lines([line], _find_delimiter(line)), [])
        if sum(is_known(name.strip()) for name in names) >= len(PRICE_COLUMNS):
            return n
    for n, (line, below) in enumerate(pairwise(lines[: MAX_LABELS + 1]), start=1):
        delimiter = _find_delimiter(below)
        title, row = next(split_lines([line], delimiter), []), next(split_lines([below], delimiter), [])
        if len(row) > len(PRICE_COLUMNS) and _has_no_names(row) and len(title) < len(row) / 2:
            return n  # a title above a table without names
    filled = (n for n, line in enumerate(lines[:MAX_TITLES]) if re.search(r"\w", line))
    return next(filled, 0) if lines and not lines[0].strip(" ,;\t|") else 0


def _has_no_names(names: Sequence[str]) -> bool:
    return sum(bool(NUMBER_OR_DATE.fullmatch(name)) for name in names) > len(names) / 2


def _name_columns(
    lines: Sequence[str], titles: int, delimiter: str, options: ReadingOptions, notes: list[ReadingNote]
) -> Layout:
    """Return the layout of a file without column names."""
    rows = list(split_lines(lines[:-1] or lines, delimiter))
    decimal = options.decimal or _find_decimal(lines, rows, delimiter) or "."
    names = [f"column {n}" for n in range(1, 1 + max(map(len, rows)))]
    if set(options.columns.values()).isdisjoint(names):
        layout = recognise_layout(rows, decimal)
        if layout is None:
            raise _build_no_names_error(rows[0])
        names = layout.names
        template = "no column names; columns recognised by their values: {names}"
        notes.append(ReadingNote.make(template, names=layout.recognised))
    return Layout(names, [], delimiter, decimal, titles, tuple(notes))


def _build_no_names_error(row: Sequence[str]) -> DataError:
    shown = ", ".join(f"column {n}: {cell.strip()[:30]}" for n, cell in enumerate(row[:20], start=1))
    template = (
        "the first line holds numbers, so there are no column names, and the values do not show for certain which column is "
        "which. The first row is {row}. Name the columns by their numbers: {example}."
    )
    names = (TIMESTAMP_COLUMN, *CANDLE_COLUMNS[:5])
    return DataError(template, row=shown, example=" ".join(f"'data.columns.{name}=column N'" for name in names))


def _read_levels(names: list[str], below: Sequence[Sequence[str]]) -> tuple[list[str], list[str], int]:
    """Return the names of the columns, the symbol of each, and the number of lines of labels below the names.

    yfinance writes a line of fields, a line of tickers, in either order, and a line with the name of the index.
    """
    rows = [[cell.strip() for cell in row] for row in below]
    if (len(set(names)) < len(names) or names[0] == "Price") and rows and len(rows[0]) == len(names):
        fields, tickers = sorted((names, rows[0]), key=lambda each: -sum(map(is_known, each)))
        if (
            tickers[0] in ("Ticker", "Price", "")
            and sum(map(is_known, fields)) >= len(PRICE_COLUMNS)
            and all(tickers[1:])
        ):
            index = next((row[0] for row in rows[1:] if row and row[0] and not any(row[1:])), "")
            return [index or "Date", *fields[1:]], tickers, 1 + bool(index)
    labels = 0
    while labels < len(rows) and any(rows[labels]) and not re.search(r"\d", "".join(rows[labels])):
        labels += 1
    return names, [], labels


def _read_tickers_above(names: list[str], above: Sequence[str], rest: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names and the symbol of each, if a line above the names holds the symbols."""
    tickers = [cell.strip() for cell in above]
    if len(tickers) != len(names) or not all(tickers[1:]) or len(set(names[1:])) == len(names) - 1:
        return names, []
    index = next((line.strip(' ,;\t|"') for line in rest[:1] if not re.search(r"\d", line)), "")
    return [index or "Date", *names[1:]], tickers


def _are_counted(names: Sequence[str]) -> bool:
    """Whether names are 0, 1, 2 … behind a blank one at most."""
    filled = names[1:] if names and not names[0].strip() else names
    return len(filled) > len(PRICE_COLUMNS) and list(filled) == [str(n) for n in range(len(filled))]


def _fit_width(names: list[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return as many names as the rows have cells, if the others are blank, or a counter that has no name."""
    width = max(map(len, rows), default=0)
    more = width - len(names)
    if more <= 0:
        return names
    if not any(cell.strip() for row in rows for cell in row[len(names) :]):
        return names + [""] * more
    first = [row[0] for row in rows if len(row) == width]
    has_time = TIMESTAMP_COLUMN in recognise_columns(names)
    beside = pd.Series([" ".join(row[:more]) for row in rows if len(row) == width])
    if more <= 2 and not has_time and looks_like_times(beside):  # names of rows, as R and pandas write them
        return [*(["date", "time"] if more == 2 else [""]), *names]
    if more == 1 and first[0].strip('"') in ("0", "1") and all(cell.strip('"').isdigit() for cell in first):
        return ["", *names]
    return names


def name_all(names: Sequence[str]) -> list[str]:
    """Return names of which each stands once."""
    seen: dict[str, int] = {}
    unique = []
    for n, written in enumerate(names, start=1):
        name = written or f"column {n}"
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return unique
