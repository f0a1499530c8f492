"""Find the symbols in Parquet files, and divide them into partitions."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kronos.candles import TIMESTAMP_COLUMN
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.hive import PARTITION, find_kind, is_hidden
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.files.aliases import SYMBOL
from kronos.data.files.columns import match_names
from kronos.data.files.sources import explain_search, name_files
from kronos.errors import DataError, first_line
from kronos.names import Message
from kronos.progress.bars import track
from kronos.urls import CandleSource, Url

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
    """Whole symbols, few enough for the memory, the rows of each, and the row groups that hold them."""

    symbols: tuple[str, ...]
    n_rows: tuple[int, ...]
    groups: tuple[Group, ...]


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
                partitions.append(self._gather(names))
                names, n_rows = [], 0
            names.append(symbol)
            n_rows += span.n_rows
        return [*partitions, self._gather(names)] if names else partitions

    def _gather(self, names: Sequence[str]) -> Partition:
        spans, wanted = [self.spans[name] for name in names], {None, *names}
        groups = self.groups[min(span.first for span in spans) : max(span.last for span in spans) + 1]
        own = tuple(each for each in groups if each.symbol in wanted)
        return Partition(tuple(names), tuple(span.n_rows for span in spans), own)

    def add(self, symbol: str, group: int, n_rows: int) -> None:
        span = self.spans.setdefault(symbol, _Span(group, group, 0))
        span.last, span.n_rows = group, span.n_rows + n_rows

    def append(self, other: SymbolIndex) -> None:
        """Add what is in another file."""
        n_groups = len(self.groups)
        self.groups += other.groups
        self.n_nameless += other.n_nameless
        for symbol, span in other.spans.items():
            own = self.spans.setdefault(symbol, _Span(n_groups + span.first, 0, 0))
            own.last, own.n_rows = n_groups + span.last, own.n_rows + span.n_rows


def find_parquet(source: CandleSource, options: FetchOptions) -> list[Path]:
    """Return the Parquet files that a source names: a file, a folder and those below it, a glob, or a URL, fetched once.

    Raises:
        DataError: there are none, or they cannot be fetched.
    """
    path = source.expanduser() if isinstance(source, Path) else Path()
    with explain_search(path):
        if isinstance(source, Url):
            files = gather_files([source], options).files
        elif path.is_dir():
            inside = [(each, each.relative_to(path).as_posix()) for each in sorted(path.rglob("*"))]
            files = [each for each, name in inside if not is_hidden(name) and each.is_file()]
        elif glob.has_magic(str(source)) and not path.exists():
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
                index.append(_index_file(parquet, file, name, columns))
        except (pa.ArrowException, OSError) as error:
            reason = Message("the file cannot be read: {reason}. Write it again.", reason=first_line(error).rstrip("."))
            index.unreadable.append((str(file), reason))
        except DataError as error:
            index.unreadable.append((str(file), Message("{error}", error=error)))
    if not index.spans:
        if index.unreadable:
            unread, reason = index.unreadable[0]
            raise DataError("{path}: {reason}", path=unread, reason=reason)
        if index.n_nameless:
            raise DataError("{path}: no row has a symbol. Fill the column of symbols.", path=files[0])
        raise DataError("{path}: the files hold no candles. Name others.", path=files[0].parent)
    return index


def _index_file(parquet: Any, file: Path, name: str, columns: Mapping[str, str]) -> SymbolIndex:
    names, folders, index = parquet.schema_arrow.names, _read_folders(file), SymbolIndex()
    if repeated := sorted({each for each in names if names.count(each) > 1}):
        raise DataError("column {names} occurs more than once. Keep one.", names=", ".join(repeated))
    matched = match_names(names, {ours: theirs for ours, theirs in columns.items() if theirs in names})
    if missing := [ours for ours in (TIMESTAMP_COLUMN, "open", "high", "low", "close") if ours not in matched]:
        template = "no column {missing}; the file has {columns}. Name it with data.columns."
        raise DataError(template, missing=", ".join(missing), columns=", ".join(names))
    column = matched.get(SYMBOL)
    own = folders.get(match_names(list(folders), {}).get(SYMBOL, ""), name)
    for number in range(parquet.num_row_groups):
        n_rows = parquet.metadata.row_group(number).num_rows
        index.groups.append(Group(file, number, None if column else own))
        if column is None:
            if n_rows:
                index.add(own, number, n_rows)
            continue
        for batch in parquet.iter_batches(ROWS_AT_A_TIME, [number], [column], use_threads=False):
            for each in pc.value_counts(read_symbols(batch.column(0))):
                symbol, n = each["values"].as_py(), each["counts"].as_py()
                if symbol:
                    index.add(symbol, number, n)
                else:
                    index.n_nameless += n
    return index


def _read_folders(file: Path) -> dict[str, str]:
    parts = (PARTITION.fullmatch(part) for part in file.absolute().parts[:-1])
    return {part[1]: unquote(part[2]) for part in parts if part}


def read_symbols(column: Any) -> Any:
    """Return a column of symbols as texts without spaces around them; blank where there is none."""
    return pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))
