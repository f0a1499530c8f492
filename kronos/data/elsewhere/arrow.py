"""Write what a database or a partitioned folder returns into a Parquet file, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from kronos.progress.bars import Progress

ROWS_AT_A_TIME = 50_000


def write_batches(batches: Iterable[Any], schema: Any, path: Path) -> int:
    """Write record batches into a Parquet file, decimals as floats, and return the number of rows."""
    rows, plain = 0, pa.schema([field.with_type(_simplify(field.type)) for field in schema])
    bar = Progress(path.stem, unit="rows", delay=2, unit_scale=True)
    with pyarrow.parquet.ParquetWriter(path, plain, compression="zstd") as writer, bar:
        for batch in batches:
            if len(batch):
                writer.write_table(pa.Table.from_batches([batch]).cast(plain))
                rows += len(batch)
                bar.update(len(batch))
    return rows


def _simplify(kind: Any) -> Any:
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _simplify(kind.value_type)
    return kind
