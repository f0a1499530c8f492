"""Forecast the symbols of Parquet files into a folder of Parquet files; a batch that was stopped goes on."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from kronos.batch.engines import Engine, run_partitions
from kronos.batch.forecaster import Forecaster
from kronos.batch.partitions import Done, PartitionWork, describe_files
from kronos.batch.symbol_index import SymbolIndex, find_parquet, index_symbols
from kronos.disk.temporaries import remove_temporaries
from kronos.errors import ConfigError, KronosError, WriteError
from kronos.files import find_sealed, replacing, write_sealed
from kronos.names import Message, name_cell
from kronos.progress.bars import Progress
from kronos.urls import CandleSource, parse_source

logger = logging.getLogger(__name__)

PARTITION_SIZE = 256  # symbols
WORKER_BYTES = 1 << 30  # PyTorch, the models and a partition
SETTINGS, LEFT_OUT, LOCK = "_batch.json", "_left_out.csv", ".batch.lock"  # readers of folders pass these over


@dataclass(frozen=True)
class BatchResult:
    """What a batch has done.

    n_forecast: the symbols with a forecast. left_out: the others, and files that cannot be read, with the reasons.
    n_partitions: all; n_kept of them are of an earlier command.
    """

    n_forecast: int
    left_out: Mapping[str, str]
    n_partitions: int
    n_kept: int


def run_batch(
    forecaster: Forecaster,
    data: str,
    out: Path,
    n_workers: int | None = None,
    engine: Engine = "processes",
    partition_size: int = PARTITION_SIZE,
) -> BatchResult:
    """Forecast all symbols of Parquet files into out/part-00000.parquet and so on, with the columns of `Forecaster.schema`.

    A partition is written whole or not at all. A second call with the same settings does what is missing. The symbols that
    cannot be forecast are listed in out/_left_out.csv.

    Args:
        data: a file, a folder of files, Hive folders such as symbol=AAPL, a glob, or a URL.
        n_workers: processes; by default as many as there are processors and memory for, and one on a GPU.
        partition_size: the most symbols in a partition.

    Raises:
        DataError: there are no candles. ConfigError: out holds a batch with other settings, or an option is wrong.
        WriteError: out cannot be written. KronosError: another command writes there, or a worker was killed.
    """
    source = parse_source(data)
    files = find_parquet(source, forecaster.fetching)
    _check_out(out, source, files)
    settings = forecaster.describe() | {"partition_size": partition_size, "candles": _hash(describe_files(files))}
    with _lock_folder(out):
        _check_same(out, settings)
        columns = forecaster.column_names
        index = index_symbols(files, columns)
        _report_index(index)
        work = PartitionWork(forecaster, index.plan(partition_size), columns, out)
        write_sealed(out / SETTINGS, settings)
        remove_temporaries(out)
        kept, todo = list[Done](), list[int]()
        for number in range(len(work.partitions)):
            done = work.find_done(number)
            kept, todo = ([*kept, done], todo) if done else (kept, [*todo, number])
        if kept:
            logger.info("%d of %d partitions are there already", len(kept), len(work.partitions))
        new = list(_track(work, todo, n_workers or choose_workers(forecaster, len(todo)), engine)) if todo else []
        left_out: dict[str, str] = dict(index.unreadable)
        for each in sorted([*kept, *new]):
            left_out |= each.left_out
        _write_left_out(out / LEFT_OUT, left_out)
    return BatchResult(sum(each.n_forecast for each in [*kept, *new]), left_out, len(work.partitions), len(kept))


def choose_workers(forecaster: Forecaster, n_partitions: int) -> int:
    """Return how many processes there are processors and memory for; one on a GPU, which they would share."""
    if not forecaster.on_cpu:
        return 1
    process = psutil.Process()
    n_processors = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count() or 1
    return max(1, min(n_processors, n_partitions, psutil.virtual_memory().available // WORKER_BYTES))


def _track(work: PartitionWork, todo: Sequence[int], n_workers: int, engine: Engine) -> Iterator[Done]:
    """Yield what is done, and show how many symbols that is."""
    sizes = [len(partition.symbols) for partition in work.partitions]
    done_before = sum(sizes) - sum(sizes[number] for number in todo)
    with Progress(Message("forecasting"), sum(sizes), "symbols", done_before) as progress:
        for done in run_partitions(work, todo, n_workers, engine):
            progress.update(sizes[done.number])
            yield done


def _report_index(index: SymbolIndex) -> None:
    if index.n_nameless:
        logger.warning("%d rows without a symbol are left out", index.n_nameless)
    for file, reason in index.unreadable[:5]:
        logger.warning("%s: left out: %s", file, reason)


def _check_out(out: Path, source: CandleSource, files: Sequence[Path]) -> None:
    if out.exists() and not out.is_dir():
        raise ConfigError("--out {out} is a file; choose a folder.", out=out)
    own = out.resolve()
    folder = Path(str(source).partition("**")[0]).expanduser()  # a later command would read its forecasts too
    if own.is_relative_to(folder.resolve()) or any(file.resolve().is_relative_to(own) for file in files):
        raise ConfigError("--out {out} is in the folder of the candles, or holds them. Choose another folder.", out=out)


@contextmanager
def _lock_folder(out: Path) -> Iterator[None]:
    lock = FileLock(out / LOCK)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise KronosError(
            "{out}: another batch is writing here. Wait for it, or choose another --out.", out=out
        ) from None
    except OSError as error:
        raise WriteError.about(out, error) from error
    try:
        yield
    finally:
        lock.release()


def _check_same(out: Path, settings: Mapping[str, Any]) -> None:
    """Check that what is in the folder was made with the same settings.

    Raises:
        ConfigError: it was not, or it is not known how.
    """
    parts = next(out.glob("part-*.parquet"), None)
    if parts is None:
        return
    stored = find_sealed(out / SETTINGS) or {}
    plain = json.loads(json.dumps(settings))
    if differences := [key for key in plain if stored.get(key) != plain[key]]:
        raise ConfigError(
            "{out} holds forecasts that were made otherwise (different: {differences}). Give the settings of before, choose another --out, or remove "
            "the folder.",
            out=out,
            differences=", ".join(differences) if stored else SETTINGS,
        )


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _write_left_out(path: Path, left_out: Mapping[str, str]) -> None:
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["symbol", "reason"])
        writer.writerows([name_cell(symbol), name_cell(str(reason))] for symbol, reason in left_out.items())
