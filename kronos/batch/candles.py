"""Read the candles of some symbols from Parquet files, without those of the others."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from kronos.batch.symbol_index import ROWS_AT_A_TIME, Group, Partition, read_symbols
from kronos.data.files.aliases import SYMBOL
from kronos.data.files.columns import match_names
from kronos.errors import DataError, first_line
from kronos.names import Message


def read_partition(
    partition: Partition, columns: Mapping[str, str], damaged: dict[str, str]
) -> Iterator[tuple[str, list[Any]]]:
    """Yield each symbol of a partition and its rows: tables with a column of the symbol, one for each kind of columns.

    Args:
        damaged: takes the symbols of which a row cannot be read, and why. They are not yielded.

    Raises:
        DataError: a file has changed since it was indexed.
    """
    pieces: dict[str, list[Any]] = {symbol: [] for symbol in partition.symbols}
    wanted, damage = pa.array(partition.symbols, pa.string()), list[Message]()
    for file, groups in itertools.groupby(partition.groups, key=lambda each: each.file):
        try:
            for symbols, rows in _read_groups(file, list(groups), columns, damage):
                found = pc.is_in(symbols, wanted)
                for symbol, part in _split(symbols.filter(found), rows.filter(found)):
                    pieces[symbol].append(part)
        except (pa.ArrowException, OSError, IndexError, KeyError) as error:
            raise _changed(file, error) from None
    for symbol, n_rows in zip(partition.symbols, partition.n_rows):
        own = pieces.pop(symbol)
        if sum(map(len, own)) == n_rows:
            yield symbol, _join_alike(own)
        elif damage:
            damaged[symbol] = str(damage[0])
        else:
            raise _changed(partition.groups[0].file, "other rows than before")


def _changed(file: Path, reason: object) -> DataError:
    template = (
        "{path}: the file has changed while it was read ({reason}). Run the command again when nobody writes to it."
    )
    return DataError(template, path=file, reason=first_line(reason).rstrip("."))


def _join_alike(pieces: Sequence[Any]) -> list[Any]:
    """Return tables below one another: one for each kind of columns, which are recognised on their own."""
    alike: dict[Any, list[Any]] = {}
    for piece in pieces:
        alike.setdefault(piece.schema.remove_metadata(), []).append(piece)
    return [pa.concat_tables(each).combine_chunks() for each in alike.values()]


def _read_groups(
    file: Path, groups: Sequence[Group], columns: Mapping[str, str], damage: list[Message]
) -> Iterator[tuple[Any, Any]]:
    """Yield symbols and rows of row groups, some at a time. damage takes why some of them cannot be read."""
    with pq.ParquetFile(file) as parquet:
        for group in groups:
            try:
                for batch in parquet.iter_batches(ROWS_AT_A_TIME, [group.number], use_threads=False):
                    table = pa.Table.from_batches([batch])
                    if group.symbol is None:
                        yield find_symbols(table, columns), table
                    else:
                        symbols = pa.repeat(pa.scalar(group.symbol, pa.string()), len(table))
                        yield symbols, table.append_column(SYMBOL, symbols)
            except (pa.ArrowException, OSError) as error:
                if isinstance(error, OSError) and error.errno:  # of the disk or the network, not of the file
                    raise
                template = "{path} is damaged: {reason}. Write it again."
                damage.append(Message(template, path=file, reason=first_line(error).rstrip(".")))


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
    return read_symbols(table.column(column)).combine_chunks()


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
        joined = table if waiting is None else _join(waiting, table)
        symbols = find_symbols(joined, columns)
        if len(symbols):
            goes_on = pc.equal(symbols, symbols[-1])
            waiting, whole = joined.filter(goes_on), joined.filter(pc.invert(goes_on))
            if len(whole):
                yield whole
    if waiting is not None:
        yield waiting


def _join(first: Any, second: Any) -> Any:
    """Return two tables below one another; columns of other types become texts, which reading explains."""
    try:
        return pa.concat_tables([first, second], promote_options="permissive")
    except pa.ArrowException:
        texts = [each.cast(pa.schema([(name, pa.string()) for name in each.schema.names])) for each in (first, second)]
        return pa.concat_tables(texts, promote_options="permissive")
