"""Find the symbols in Parquet files, and read some of them without the others."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kronos.candles import TIMESTAMP_COLUMN
from kronos.data.elsewhere.hive import PARTITION, find_kind, is_hidden
from kronos.data.files.aliases import SYMBOL
from kronos.data.files.columns import match_names
from kronos.data.files.sources import explain_search, name_files
from kronos.errors import DataError, first_line
from kronos.names import Message
from kronos.progress.bars import track

ROWS_AT_A_TIME = 1 << 17
MAX_ROWS = 2_000_000  # of a partition; reading takes some hundred bytes for each


class Group(NamedTuple):
    """A row group of a file. symbol: that of all of its rows, if the path names it; None: a column does."""

    file: Path
    number: int
    symbol: str | None


@dataclass
class _Span:
    """Where a symbol is: from its first row group to its last."""

    first: int
    last: int
    n_rows: int


class Partition(NamedTuple):
    """Whole symbols, few enough for the memory, and the row groups that hold them."""

    symbols: tuple[str, ...]
    groups: tuple[Group, ...]
    n_rows: int


@dataclass
class SymbolIndex:
    """The symbols of files in order of appearance, and where each is.

    unreadable: files that cannot be read, and why. n_nameless: rows without a symbol.
    """

    groups: list[Group] = field(default_factory=list)
    spans: dict[str, _Span] = field(default_factory=dict)
    unreadable: list[tuple[str, Message]] = field(default_factory=list)
    n_nameless: int = 0

    def plan(self, size: int, max_rows: int = MAX_ROWS) -> list[Partition]:
        """Divide the symbols into partitions of at most so many symbols, and so many rows if there is more than one."""
        partitions, names, n_rows = [], list[str](), 0
        for symbol, span in self.spans.items():
            if names and (len(names) == size or n_rows + span.n_rows > max_rows):
                partitions.append(self._gather(names, n_rows))
                names, n_rows = [], 0
            names.append(symbol)
            n_rows += span.n_rows
        return [*partitions, self._gather(names, n_rows)] if names else partitions

    def _gather(self, names: Sequence[str], n_rows: int) -> Partition:
        spans, wanted = [self.spans[name] for name in names], set(names)
        groups = self.groups[min(span.first for span in spans) : max(span.last for span in spans) + 1]
        return Partition(tuple(names), tuple(each for each in groups if each.symbol in (None, *wanted)), n_rows)

    def add(self, symbol: str, group: int, n_rows: int) -> None:
        span = self.spans.setdefault(symbol, _Span(group, group, 0))
        span.last, span.n_rows = group, span.n_rows + n_rows


def find_parquet(source: str) -> list[Path]:
    """Return the Parquet files that a path names: a file, a folder and those below it, or a glob.

    Raises:
        DataError: there are none.
    """
    path = Path(source).expanduser()
    with explain_search(path):
        if path.is_dir():
            inside = [(each, each.relative_to(path).as_posix()) for each in sorted(path.rglob("*"))]
            files = [each for each, name in inside if not is_hidden(name) and each.is_file()]
        elif glob.has_magic(source) and not path.exists():
            files = [Path(each) for each in sorted(glob.glob(str(path), recursive=True)) if Path(each).is_file()]  # noqa: PTH207
        else:
            files = [path] if path.is_file() else []
    if parquet := [each for each in files if find_kind(each.name) == "parquet"]:
        return parquet
    if not files:
        raise DataError(
            "{path}: no such file or folder. Name a Parquet file, a folder of them, or a glob.", path=source
        )
    raise DataError(
        "{path}: no Parquet file here. Write the candles as Parquet (.parquet), or forecast them with kronos predict.",
        path=source,
    )


def index_symbols(files: Sequence[Path], columns: Mapping[str, str]) -> SymbolIndex:
    """Find the symbols of files. Of each file only the column of symbols is read.

    A file's symbols are in that column; else in the name of a folder, such as symbol=AAPL; else its own name is the symbol.

    Args:
        columns: our names of columns to the files'.

    Raises:
        DataError: no file can be read, or none holds a row.
    """
    index = SymbolIndex()
    for file, name in track(zip(files, name_files(files)), Message("reading"), len(files), "files", delay=2):
        try:
            with pq.ParquetFile(file) as parquet:
                _index_file(parquet, file, name, columns, index)
        except (pa.ArrowException, OSError) as error:
            reason = Message("the file cannot be read: {reason}. Write it again.", reason=first_line(error).rstrip("."))
            index.unreadable.append((str(file), reason))
        except DataError as error:
            index.unreadable.append((str(file), Message("{error}", error=error)))
    if not index.spans:
        if index.unreadable:
            unread, reason = index.unreadable[0]
            raise DataError("{path}: {reason}", path=unread, reason=reason)
        raise DataError("{path}: the files hold no candles. Name others.", path=files[0].parent)
    return index


def _index_file(parquet: Any, file: Path, name: str, columns: Mapping[str, str], index: SymbolIndex) -> None:
    names, folders = parquet.schema_arrow.names, _read_folders(file)
    matched = match_names(names, {ours: theirs for ours, theirs in columns.items() if theirs in names})
    if missing := [ours for ours in (TIMESTAMP_COLUMN, "open", "high", "low", "close") if ours not in matched]:
        template = "no column {missing}; the file has {columns}. Name it with data.columns."
        raise DataError(template, missing=", ".join(missing), columns=", ".join(names))
    column = matched.get(SYMBOL)
    own = folders.get(match_names(list(folders), {}).get(SYMBOL, ""), name)
    first = len(index.groups)
    for number in range(parquet.num_row_groups):
        n_rows = parquet.metadata.row_group(number).num_rows
        index.groups.append(Group(file, number, None if column else own))
        if column is None:
            if n_rows:
                index.add(own, first + number, n_rows)
            continue
        for batch in parquet.iter_batches(ROWS_AT_A_TIME, [number], [column], use_threads=False):
            for each in pc.value_counts(_read_symbols(batch.column(0))):
                symbol, n = each["values"].as_py(), each["counts"].as_py()
                if symbol:
                    index.add(symbol, first + number, n)
                else:
                    index.n_nameless += n


def _read_folders(file: Path) -> dict[str, str]:
    parts = (PARTITION.fullmatch(part) for part in file.absolute().parts[:-1])
    return {part[1]: unquote(part[2]) for part in parts if part}


def _read_symbols(column: Any) -> Any:
    """Return a column of symbols as texts without spaces around them; blank where there is none."""
    return pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))


def read_partition(partition: Partition, columns: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield each symbol of a partition and its rows, a table with a column of the symbol.

    Raises:
        DataError: a file has changed since it was indexed.
    """
    pieces: dict[str, list[Any]] = {symbol: [] for symbol in partition.symbols}
    wanted = pa.array(partition.symbols, pa.string())
    for file, groups in itertools.groupby(partition.groups, key=lambda each: each.file):
        try:
            for symbols, rows in _read_groups(file, list(groups), columns):
                found = pc.is_in(symbols, wanted)
                for symbol, part in _split(symbols.filter(found), rows.filter(found)):
                    pieces[symbol].append(part)
        except (pa.ArrowException, OSError, IndexError, KeyError) as error:
            raise _changed(file, error) from None
    if sum(len(part) for parts in pieces.values() for part in parts) != partition.n_rows:
        raise _changed(partition.groups[0].file, "other rows than before")
    for symbol in partition.symbols:
        yield symbol, join_pieces(pieces.pop(symbol))


def _changed(file: Path, reason: object) -> DataError:
    template = (
        "{path}: the file has changed while it was read ({reason}). Run the command again when nobody writes to it."
    )
    return DataError(template, path=file, reason=first_line(reason).rstrip("."))


def join_pieces(pieces: Sequence[Any]) -> Any:
    """Return tables below one another; columns of other types become texts, which reading explains."""
    try:
        return pa.concat_tables(pieces, promote_options="permissive")
    except pa.ArrowException:
        texts = [piece.cast(pa.schema([(name, pa.string()) for name in piece.schema.names])) for piece in pieces]
        return pa.concat_tables(texts, promote_options="permissive")


def _read_groups(file: Path, groups: Sequence[Group], columns: Mapping[str, str]) -> Iterator[tuple[Any, Any]]:
    """Yield symbols and rows of row groups, some at a time."""
    with pq.ParquetFile(file) as parquet:
        own = groups[0].symbol
        for batch in parquet.iter_batches(ROWS_AT_A_TIME, [each.number for each in groups], use_threads=False):
            table = pa.Table.from_batches([batch])
            if own is None:
                yield find_symbols(table, columns), table
            else:
                symbols = pa.repeat(pa.scalar(own, pa.string()), len(table))
                yield symbols, table.append_column(SYMBOL, symbols)


def find_symbols(table: Any, columns: Mapping[str, str]) -> Any:
    """Return the symbol of each row of a table.

    Raises:
        DataError: it has no column of symbols.
    """
    names = table.schema.names
    column = match_names(names, {ours: theirs for ours, theirs in columns.items() if theirs in names}).get(SYMBOL)
    if column is None:
        template = "no column holds the symbol; the frame has {columns}. Name it {symbol}."
        raise DataError(template, columns=", ".join(names) or "none", symbol=SYMBOL)
    return _read_symbols(table.column(column)).combine_chunks()


def split_symbols(table: Any, columns: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield each symbol of a table and its rows; rows without a symbol are left out."""
    return _split(find_symbols(table, columns), table)


def _split(symbols: Any, rows: Any) -> Iterator[tuple[str, Any]]:
    """Yield each symbol and its rows, in their order."""
    codes = symbols.dictionary_encode()
    order = pc.sort_indices(codes.indices)  # stable
    sorted_rows, start = rows.take(order), 0
    counts = {each["values"].as_py(): each["counts"].as_py() for each in pc.value_counts(codes.indices)}
    for code, symbol in enumerate(codes.dictionary.to_pylist()):
        if symbol:
            yield symbol, sorted_rows.slice(start, counts[code])
        start += counts[code]


def join_symbols(tables: Iterable[Any], columns: Mapping[str, str]) -> Iterator[Any]:
    """Yield tables of whole symbols: the last symbol of a table waits for the next one, where it may go on."""
    waiting = None
    for table in tables:
        joined = table if waiting is None else join_pieces([waiting, table])
        symbols = find_symbols(joined, columns)
        if len(symbols):
            goes_on = pc.equal(symbols, symbols[-1])
            waiting, whole = joined.filter(goes_on), joined.filter(pc.invert(goes_on))
            if len(whole):
                yield whole
    if waiting is not None:
        yield waiting
