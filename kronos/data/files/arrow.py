"""Read Parquet and Feather files in pieces whose size is checked before they are unpacked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.feather
import pyarrow.parquet

from kronos.data.files.opening import FREE_BYTES, check_unpacked
from kronos.errors import DataError

ARROW, PARQUET = b"ARROW1", b"PAR1"
MAX_PIECE, MAX_PIECE_RATIO = 4 * FREE_BYTES, 20  # of what is unpacked at once
HEADER, DICTIONARY, BUFFERS, COMPRESSION = 2, 1, 2, 3  # fields of messages in Arrow's format


def read_names(file: IO[bytes], path: Path) -> list[str]:
    """Return the names of the columns.

    Raises:
        DataError: the file unpacks to much more than its size.
    """
    if not _begins(file, PARQUET):
        if _begins(file, ARROW):
            _check_messages(file, path)
            names = pa.ipc.open_file(file).schema.names
        else:
            names = pyarrow.feather.read_table(file).column_names
        return [str(name) for name in names]
    parquet = pyarrow.parquet.ParquetFile(file)
    groups = [parquet.metadata.row_group(n) for n in range(parquet.metadata.num_row_groups)]
    n_values = parquet.metadata.num_rows * parquet.metadata.num_columns
    check_unpacked(path, max(sum(group.total_byte_size for group in groups), 8 * n_values))
    return [str(name) for name in parquet.schema_arrow.names]


def read_batches(file: IO[bytes], columns: list[str], path: Path, rows: int) -> Iterator[Any]:
    """Yield record batches of so many rows at most, with plain columns: bytes are texts, and each row has its value.

    Raises:
        DataError: the file unpacks to much more than its size.
    """
    n_bytes = 0
    for batch in _read_stored(file, columns, path, rows):
        size = measure_batch(batch)
        n_bytes += size
        check_unpacked(path, n_bytes)
        _check_piece(path, size)
        yield expand_batch(batch)


def _read_stored(file: IO[bytes], columns: list[str], path: Path, rows: int) -> Iterator[Any]:
    if _begins(file, PARQUET):
        texts = [field.name for field in pyarrow.parquet.ParquetFile(file).schema_arrow if _is_text(field.type)]
        file.seek(0)
        parquet = pyarrow.parquet.ParquetFile(file, read_dictionary=texts)  # each value once
        yield from parquet.iter_batches(rows, columns=columns)
        return
    if not _begins(file, ARROW):
        yield from pyarrow.feather.read_table(file, columns=columns).to_batches(rows)
        return
    names = pa.ipc.open_file(file).schema.names
    options = pa.ipc.IpcReadOptions(included_fields=sorted(map(names.index, columns)))
    reader = pa.ipc.open_file(file, options=options)
    for n in range(reader.num_record_batches):
        yield from pa.Table.from_batches([reader.get_batch(n)]).to_batches(rows)


def _check_messages(file: IO[bytes], path: Path) -> None:
    """Check what the batches of an Arrow file unpack to. Before each packed buffer stands its size."""
    n_bytes = 0
    file.seek(8)
    for message in pa.ipc.MessageReader.open_stream(file):
        sizes = _read_sizes(message)
        _check_piece(path, sum(sizes))
        n_bytes += sum(sizes)
        check_unpacked(path, n_bytes)
    file.seek(0)


def _read_sizes(message: Any) -> list[int]:
    """Return what the packed buffers of a message say about their sizes.

    A message and what is in it are tables of FlatBuffers: a distance back to a list of the places of its fields.
    https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format
    """
    if message.type not in ("record batch", "dictionary") or message.body is None:
        return []
    data = message.metadata.to_pybytes()

    def number(start: int, size: int = 4) -> int:
        return int.from_bytes(data[start : start + size], "little", signed=True)

    def find(table: int, field: int) -> int:
        places = table - number(table)
        place = number(places + 4 + 2 * field, 2) if 4 + 2 * field < number(places, 2) else 0
        return table + place if place else 0

    def follow(table: int, field: int) -> int:
        place = find(table, field)
        return place + number(place) if place else 0

    batch = follow(number(0), HEADER)
    if message.type == "dictionary":
        batch = follow(batch, DICTIONARY)
    buffers = follow(batch, BUFFERS)
    if not find(batch, COMPRESSION) or not buffers:
        return []
    places = [buffers + 4 + 16 * n for n in range(min(number(buffers), len(data) // 16))]
    starts = [number(place, 8) for place in places if number(place + 8, 8) >= 8]
    return [
        max(int.from_bytes(message.body[start : start + 8].to_pybytes(), "little", signed=True), 0) for start in starts
    ]


def _check_piece(path: Path, n_bytes: int) -> None:
    if n_bytes > max(MAX_PIECE, MAX_PIECE_RATIO * path.stat().st_size):
        template = (
            "{path}: {n:,} bytes would have to be unpacked at once. Save it with fewer rows in each group (row_group_size, "
            "chunksize), and without very long texts."
        )
        raise DataError(template, path=path, n=n_bytes)


def measure_batch(batch: Any) -> int:
    """Return an upper bound of the bytes of a batch with plain columns."""
    return sum(_measure_column(column) for column in batch.columns)


def _measure_column(column: Any) -> int:
    if pa.types.is_dictionary(column.type):
        return len(column) * (8 + _find_longest(column.dictionary))
    if pa.types.is_run_end_encoded(column.type):
        return len(column) * (8 + _find_longest(column.values))
    return max(int(column.nbytes), 8 * len(column))


def _find_longest(values: Any) -> int:
    if _is_text(values.type):
        return pyarrow.compute.max(pyarrow.compute.binary_length(values)).as_py() or 0
    return int(values.nbytes)


def _is_text(kind: Any) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    )


def expand_batch(batch: Any) -> Any:
    """Return a batch with plain columns."""
    for n, field in enumerate(batch.schema):
        column = batch[n]
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        elif pa.types.is_run_end_encoded(column.type):
            column = pyarrow.compute.run_end_decode(column)
        if str(column.type).startswith(("binary", "large_binary", "fixed_size_binary")):  # some programs store texts so
            texts = [each if each is None else each.decode(errors="backslashreplace") for each in column.to_pylist()]
            column = pa.array(texts, pa.string())
        if column is not batch[n]:
            batch = batch.set_column(n, field.name, column)
    return batch


def _begins(file: IO[bytes], magic: bytes) -> bool:
    file.seek(0)
    head = file.read(len(magic))
    file.seek(0)
    return head == magic
