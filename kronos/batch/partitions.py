"""The partitions of a batch: each is forecast and written as one file, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from kronos.batch.candles import read_partition
from kronos.batch.forecaster import Forecaster
from kronos.batch.symbol_index import Partition
from kronos.files import replacing
from kronos.names import name_symbol

LEFT_OUT = b"kronos.left_out"  # in the metadata of a partition's file: symbols that could not be forecast, and why


class Done(NamedTuple):
    """What became of a partition: the number of symbols that were forecast, and those left out, with the reasons."""

    number: int
    n_forecast: int
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class PartitionWork:
    """Forecasts a partition by its number and writes its file. A copy works in another process."""

    forecaster: Forecaster
    partitions: Sequence[Partition]
    columns: Mapping[str, str]
    out: Path

    def __call__(self, number: int) -> Done:
        """Forecast a partition.

        Raises:
            KronosError: a file has changed, the models cannot be used, or the file cannot be written.
        """
        damaged: dict[str, str] = {}
        made = self.forecaster.forecast(read_partition(self.partitions[number], self.columns, damaged))
        left_out = made.left_out | {name_symbol(symbol): reason for symbol, reason in damaged.items()}
        metadata = {LEFT_OUT: json.dumps(left_out).encode()}
        with replacing(self.path(number)) as temporary:
            pq.write_table(made.table.replace_schema_metadata(metadata), temporary, compression="zstd")
        return Done(number, len(self.partitions[number].symbols) - len(left_out), left_out)

    def path(self, number: int) -> Path:
        """Return the file of a partition."""
        return self.out / f"part-{number:05}.parquet"

    def find_done(self, number: int) -> Done | None:
        """Return what an earlier command did; None if the file is missing or damaged."""
        try:
            left_out = json.loads(pq.read_schema(self.path(number)).metadata[LEFT_OUT])
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
            return None
        return Done(number, len(self.partitions[number].symbols) - len(left_out), left_out)


def describe_files(files: Sequence[Path]) -> list[Any]:
    """Return what identifies files of candles: their names, sizes and times."""
    states = ((each, each.stat()) for each in files)
    return [[str(each.absolute()), state.st_size, state.st_mtime_ns] for each, state in states]
