"""Read folders whose names are values, such as symbol=AAPL/year=2024/part-0.parquet, by pyarrow.dataset."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds

from kronos.candles import TIMESTAMP_COLUMN
from kronos.config.data import end_of, start_of
from kronos.data.elsewhere.arrow import ROWS_AT_A_TIME, write_batches
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.elsewhere.snapshot import Fetch, keep_time
from kronos.data.files.aliases import SYMBOL
from kronos.data.files.arrow import expand_batch, measure_batch
from kronos.data.files.columns import match_names
from kronos.data.files.opening import FREE_BYTES, MAX_RATIO, check_regular
from kronos.data.files.sources import find_files
from kronos.data.files.tables import open_table
from kronos.errors import DataError
from kronos.names import name_file

PARTITION = re.compile(r"([^=/]+)=([^/]*)")
ENDINGS = {
    **dict.fromkeys((".parquet", ".pq", ".parq"), "parquet"),
    **dict.fromkeys((".feather", ".ftr", ".arrow", ".ipc"), "feather"),
    **dict.fromkeys((".csv", ".tsv", ".txt"), "csv"),
}
YEAR, DAYS = ("year", "yyyy"), ("date", "day", "dt", "ds", "trade_date", "tradedate")
PARTS_OF_DATES = (*YEAR, "month", "mm", "dd", *DAYS)
ISO_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def find_partitioned(path: Path) -> list[Path]:
    """Return the files of a path whose files lie in folders named key=value; empty for other paths.

    These are folders with such folders directly in them and no tables beside these; and files, globs and folders in a
    folder that is named after a symbol, such as symbol=AAPL.
    """
    files: list[Path] = []
    if path.is_dir():
        inside = sorted(path.iterdir())
        below = any(each.is_dir() and PARTITION.fullmatch(each.name) for each in inside)
        if _is_of_symbol(path) or (below and not any(map(_is_table, inside))):
            files = sorted(each for each in path.rglob("*") if each.is_file())
    elif glob.has_magic(str(path)) and not path.exists():
        files = find_files([path])
        files = files if all(_is_of_symbol(each.parent) for each in files) else []
    elif path.is_file() and _is_of_symbol(path.parent):
        files = [path]
    names = {each: each.relative_to(path).as_posix() if path.is_dir() else each.name for each in files}
    files = [each for each, name in names.items() if not is_hidden(name)]
    for each in files:
        check_regular(each)
    return [each for each in files if each.stat().st_size] or files  # programs write empty parts


def _is_of_symbol(folder: Path) -> bool:
    keys = [match[1] for part in folder.parts if (match := PARTITION.fullmatch(part))]
    return SYMBOL in match_names(keys, {})


def _is_table(path: Path) -> bool:
    return path.is_file() and find_kind(path.name) is not None


def is_hidden(name: str) -> bool:
    """Whether a file is one of the programs that write such folders, such as _SUCCESS."""
    return any(part.startswith((".", "_")) for part in name.split("/"))


def plan_local(path: Path, files: Sequence[Path], options: FetchOptions) -> Fetch:
    """Return the fetch of a folder on disk. Its key holds the size and time of each file."""
    states = [(each.stat().st_size, each.stat().st_mtime_ns) for each in files]
    identity = {"hive": [str(each.absolute()) for each in files], "states": states} | identify(options)
    names = [each.absolute().as_posix() for each in files]
    modified = max(each.stat().st_mtime for each in files)

    def write(folder: Path) -> None:
        write_dataset(names, None, str(path), path.absolute().name, options, folder, modified)

    return Fetch(str(path), path.absolute().name, identity, write, remote=False)


def identify(options: FetchOptions) -> dict[str, Any]:
    """Return the settings that decide which rows of partitioned folders are read."""
    return {"since": options.since, "until": options.until, "columns": dict(options.columns)}


def write_dataset(
    names: Sequence[str],
    system: Any,
    source: str,
    title: str,
    options: FetchOptions,
    folder: Path,
    modified: float | None = None,
) -> None:
    """Write the rows of partitioned files into one file; parts that lie outside since and until are not read.

    Args:
        names: the files, with their folders. system: their file system; None for the disk.
        source: the folder, for errors. title: a name for the file. modified: its time.

    Raises:
        DataError: the files cannot be read together, or hold no rows.
    """
    try:
        rows = _write(names, system, source, folder / f"{name_file(title)}.parquet", options)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        if isinstance(error, OSError) and error.errno:  # the disk, not the content of a file
            raise
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        template = (
            "{source}: the files cannot be read together: {reason}. Save them in one form, Parquet or CSV (UTF-8)."
        )
        raise DataError(template, source=source, reason=reason) from None
    if not rows:
        template = "{source}: the partitions hold no rows{between}."
        between = " from data.since to data.until" if options.since or options.until else ""
        raise DataError(template, source=source, between=between)
    keep_time(folder / f"{name_file(title)}.parquet", modified)


def _write(names: Sequence[str], system: Any, source: str, path: Path, options: FetchOptions) -> int:
    partitions = _read_partitions(names[0])
    kept = [name for name in names if _may_hold(_read_partitions(name), options)]
    if not kept:
        return 0
    kind = _find_format(kept, source, partial(_open, system))
    if system is None and isinstance(kind, str):
        for name in kept:
            open_table(Path(name))  # refuses bombs
    schema = _unify(kept, kind, system)
    columns = _choose_columns(schema.names, partitions, options, source)
    keys = [pa.field(key, pa.string()) for key in partitions if key not in schema.names]
    dataset = ds.dataset(
        kept,
        schema=pa.schema([*schema, *keys]),
        format=kind,
        filesystem=system,
        partitioning=ds.partitioning(pa.schema(keys), flavor="hive"),
    )
    scanner = dataset.scanner(columns, filter=_limit_times(schema, options), batch_size=ROWS_AT_A_TIME)
    n_stored = sum(Path(name).stat().st_size if system is None else system.size(name) or 0 for name in kept)
    return write_batches(_limit_size(scanner.to_batches(), source, n_stored), scanner.projected_schema, path)


def _limit_size(batches: Iterable[Any], source: str, n_stored: int) -> Iterator[Any]:
    n_bytes = 0
    for batch in batches:
        n_bytes += measure_batch(batch)
        if n_bytes > max(FREE_BYTES, MAX_RATIO * n_stored):
            template = "{source}: the files unpack to more than {ratio} times their size, as no table of candles does. Save them again."
            raise DataError(template, source=source, ratio=MAX_RATIO)
        yield expand_batch(batch)


def _read_partitions(name: str) -> dict[str, str]:
    return {key: unquote(value) for key, value in PARTITION.findall(name.rpartition("/")[0])}


def _may_hold(partitions: Mapping[str, str], options: FetchOptions) -> bool:
    """Whether a part may hold rows from since to until, by its year or day; a day more on each side, for time zones."""
    first, last = _widen(options)
    for key, value in partitions.items():
        name = key.lower()
        if name in YEAR and re.fullmatch(r"\d{4}", value):
            if not first.year <= int(value) <= last.year:
                return False
        elif (
            name in DAYS
            and ISO_DAY.fullmatch(value)
            and not first.date().isoformat() <= value <= last.date().isoformat()
        ):
            return False
    return True


def _widen(options: FetchOptions) -> tuple[datetime, datetime]:
    day = timedelta(days=1)
    first = start_of(options.since) - day if options.since else datetime(1, 1, 1)
    return first, end_of(options.until) + day if options.until else datetime(9999, 12, 31)


def find_kind(name: str) -> str | None:
    """Return the format of a file by its ending; None if it is no table."""
    plain = re.sub(r"\.(gz|bz2|zst)$", "", name.lower())
    return next((kind for ending, kind in ENDINGS.items() if plain.endswith(ending)), None)


def _find_format(names: Sequence[str], source: str, open_file: Callable[[str], Any]) -> Any:
    kinds: dict[str, str] = {}
    for name in names:
        if kind := find_kind(name):
            kinds.setdefault(kind, name)
    if len(kinds) != 1:
        template = "{source}: the partitions must hold files of one kind, Parquet, Feather or CSV, by their endings; found {kinds}."
        raise DataError(template, source=source, kinds=", ".join(kinds) or Path(names[0]).name)
    kind, name = next(iter(kinds.items()))
    return _describe_text(open_file(name)) if kind == "csv" else kind


def _open(system: Any, name: str) -> Any:
    return (
        fsspec.open(name, "rb", compression="infer").open()
        if system is None
        else system.open(name, compression="infer")
    )


def _describe_text(file: Any) -> Any:
    """Return the format of CSV files whose columns all stay text: reading decides what they are."""
    with file:
        header = file.read(1 << 16).decode("utf-8-sig", errors="replace").strip().partition("\n")[0]
    delimiter = max(",;\t|", key=header.count)
    names = [name.strip('"') for name in header.split(delimiter)]
    return ds.CsvFileFormat(
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
        convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
    )


def _unify(names: Sequence[str], kind: Any, system: Any) -> Any:
    """Return the columns of all files; those that a file lacks are blank there."""
    schemas = (each.physical_schema for each in ds.dataset(list(names), format=kind, filesystem=system).get_fragments())
    return pa.unify_schemas([schema.remove_metadata() for schema in schemas], promote_options="permissive")


def _choose_columns(
    names: Sequence[str], partitions: Mapping[str, str], options: FetchOptions, source: str
) -> list[str]:
    """Return the files' columns, and the partitions that hold the symbol, or the time if no column does."""
    free = [key for key in partitions if key not in names]
    columns = [*names]
    of_files, of_both = match_names(names, {}), match_names([*names, *free], _only_known(options, [*names, *free]))
    if SYMBOL not in of_files and of_both.get(SYMBOL) in free:
        columns.append(of_both[SYMBOL])
    if TIMESTAMP_COLUMN in of_files:
        return columns
    if (time := of_both.get(TIMESTAMP_COLUMN)) in free:
        return [*columns, str(time)]
    if parts := [key for key in free if key.lower() in PARTS_OF_DATES]:
        template = (
            "{source}: only the names of the folders hold the date ({parts}); the files have no column of it: {names}. Write "
            "the time of each candle into a column of the files."
        )
        raise DataError(template, source=source, parts=", ".join(f"{key}=…" for key in parts), names=", ".join(names))
    return columns


def _only_known(options: FetchOptions, names: Sequence[str]) -> dict[str, str]:
    return {ours: name for ours, name in options.columns.items() if name in names}


def _limit_times(schema: Any, options: FetchOptions) -> Any:
    """Return a filter that leaves out parts of files outside since and until; a day more is kept on each side."""
    name = match_names(schema.names, _only_known(options, schema.names)).get(TIMESTAMP_COLUMN)
    if name is None or not (options.since or options.until):
        return None
    kind = schema.field(name).type
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return None
    first, last = _widen(options)
    limits = []
    if options.since:
        limits.append(ds.field(name) >= _to_scalar(first, kind))
    if options.until:
        limits.append(ds.field(name) < _to_scalar(last, kind))
    return limits[0] if len(limits) == 1 else limits[0] & limits[1]


def _to_scalar(moment: datetime, kind: Any) -> Any:
    value: date = moment if pa.types.is_timestamp(kind) else moment.date()
    if isinstance(value, datetime) and kind.tz:
        value = value.replace(tzinfo=UTC)
    return pa.scalar(value, kind)


def list_partitioned(system: Any, path: str) -> list[str]:
    """Return the files of a folder on a server whose files lie in folders named key=value; empty for other paths."""
    if not system.isdir(path):
        return []
    inside = [info["name"].rstrip("/") for info in system.ls(path, detail=True) if info["type"] == "directory"]
    if not any(PARTITION.fullmatch(name.rpartition("/")[2]) for name in inside) and not PARTITION.fullmatch(
        path.rstrip("/").rpartition("/")[2]
    ):
        return []
    return [name for name in sorted(system.find(path)) if not is_hidden(name.removeprefix(path))]
