"""Load all candles that `data_path` names, audited; large sets are kept on disk and mapped into memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data.candle_kind import CandleKind, describe_kind
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.elsewhere.snapshot import Snapshot
from kronos.data.files.options import ReadingOptions
from kronos.data.files.read import RawSeries, read_file
from kronos.data.files.sources import name_files
from kronos.data.quality.findings import FINDINGS, Finding, raise_errors
from kronos.data.quality.series import InspectedSeries, inspect_series
from kronos.data.windows.candle_cache import CACHE_FROM_BYTES, CandleCache
from kronos.data.windows.candle_set import CandleSet, join_series
from kronos.data.windows.gaps import classify_gaps
from kronos.data.windows.limits import TimeLimits
from kronos.data.windows.parts import concatenate, join_parts
from kronos.errors import DataError
from kronos.names import Message
from kronos.progress.bars import track
from kronos.urls import CandleSource, parse_source

logger = logging.getLogger(__name__)

ROWS_COMPARED = 256  # that two copies have in common


class Audited(NamedTuple):
    """Candles and the findings about them. Do not use the candles if there are errors among the findings."""

    candles: CandleSet
    findings: tuple[Finding, ...]


def load_candles(data: DataConfig, repairs: RepairsConfig) -> Audited:
    """Read, repair and audit all files that data.data_path names.

    Sets of more than about a million candles are memory-mapped from data.cache_dir; the content of their files and the
    settings of reading identify them there.

    Raises:
        DataError: there is no such file. Errors within files are among the findings.
    """
    gathered = gather_files(data.data_path, FetchOptions.of(data))
    files = gathered.files
    if sum(file.stat().st_size for file in files) < CACHE_FROM_BYTES:
        findings: list[Finding] = []
        candles = join_series(list(_inspect_all(files, data, repairs, findings)))
    else:
        cache = CandleCache.find(data, repairs, files)
        candles, findings = cache.load() or cache.build(lambda new: _inspect_all(files, data, repairs, new))
        logger.info("The set is large: its candles are mapped into memory from %s.", cache.folder)
    findings += classify_gaps(candles, data.max_gap)
    findings += [*_find_copies(candles), *_check_clocks(candles)]
    findings += [*_find_short(candles, data.window), *_name_passed_over(gathered.passed_over)]
    findings += [_name_snapshot(snapshot) for snapshot in gathered.snapshots]
    return Audited(candles, tuple(findings))


def _name_passed_over(files: Sequence[Path]) -> list[Finding]:
    """Name the files of folders that hold no candles."""
    folders: dict[Path, list[str]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file.name)
    template = "files of the folder that hold no candles and are passed over: {names}"
    return [
        Finding("reading", "note", str(folder), "", len(names), (), template, {"names": ", ".join(names[:20])})
        for folder, names in folders.items()
    ]


def _name_snapshot(snapshot: Snapshot) -> Finding:
    """Tell when candles were fetched, and the hash of what was."""
    again = "; data.refetch=true fetches it again" if snapshot.remote else ""
    template = f"fetched {{fetched}} into {{folder}} (files: {{files:,}}, bytes: {{bytes:,}}, sha256 {{sha256}}){again}"
    plain = snapshot.to_json()
    return Finding("fetched", "note", snapshot.source, "", len(snapshot.files), (), template, plain)


def read_all(files: Sequence[Path], options: ReadingOptions, findings: list[Finding]) -> Iterator[RawSeries]:
    """Read files one after the other; a file that cannot be read becomes a finding.

    Rows of one symbol in several files are joined if the files have a symbol column, and parts in time of one series as
    options.series sets it. Folders distinguish files of one name.
    """
    names, named = name_files(files), list[RawSeries]()
    limits = TimeLimits(options, findings)
    unnamed = _read_each(files, names, options, findings, named, limits)
    yield from join_parts(unnamed, names, options.series, findings)
    if len(files) > 1:
        named = _join_symbols(named, findings)
    yield from join_parts(named, [each.symbol for each in named], options.series, findings)
    limits.finish()


def _read_each(
    files: Sequence[Path],
    names: Sequence[str],
    options: ReadingOptions,
    findings: list[Finding],
    named: list[RawSeries],
    limits: TimeLimits,
) -> Iterator[RawSeries]:
    """Yield the series of files without a symbol column; those of the others are appended to named."""
    each_file = track(zip(files, names), Message("reading"), len(files), "files", delay=2)
    for file, name in each_file:
        try:
            series = limits.apply(read_file(file, options))
        except DataError as error:
            template = error.template.removeprefix("{path}").lstrip(":, ")
            findings.append(Finding("unreadable", "error", str(file), "", 1, (), template, error.values))
            continue
        if not series:  # all rows are outside data.since and data.until
            continue
        if series[0].named:
            named += series
        else:
            yield replace(series[0], symbol=name)


def _join_symbols(series: Sequence[RawSeries], findings: list[Finding]) -> list[RawSeries]:
    """Join the rows of each symbol from several files."""
    parts: dict[str, list[RawSeries]] = {}
    for each in series:
        parts.setdefault(each.symbol, []).append(each)
    joined = []
    for symbol, same_symbol in parts.items():
        clocks = {part.zoned: part.source for part in same_symbol}
        if len(clocks) > 1:
            template = "the times of {zoned} have a time zone, those of {local} have none. Write all the same way."
            values = {"zoned": clocks[True], "local": clocks[False]}
            findings.append(Finding("unreadable", "error", same_symbol[0].source, symbol, 1, (), template, values))
        else:
            joined.append(same_symbol[0] if len(same_symbol) == 1 else concatenate(same_symbol))
    return joined


def _inspect_all(
    files: Sequence[Path], data: DataConfig, repairs: RepairsConfig, findings: list[Finding]
) -> Iterator[InspectedSeries]:
    for raw in read_all(files, ReadingOptions.of(data), findings):
        inspected = inspect_series(raw, repairs)
        findings += inspected.findings
        if len(inspected.raw):
            yield inspected


def _find_copies(candles: CandleSet) -> list[Finding]:
    """Find symbols that begin or end with the candles of an earlier one: they would count twice, or test nothing."""
    seen: dict[tuple[str, int, bytes], str] = {}
    findings = []
    for symbol in candles.symbols:
        n = min(len(symbol), ROWS_COMPARED)
        ends = {"first": slice(symbol.start, symbol.start + n), "last": slice(symbol.stop - n, symbol.stop)}
        keys = [(end, int(candles.instants[rows][0]), candles.values[rows].tobytes()) for end, rows in ends.items()]
        twin = next((seen[key] for key in keys if key in seen), None)
        if twin:
            template = f"{FINDINGS['copies']}, {{other}}: leave one out"
            shown = (symbol.source, symbol.symbol, len(symbol), (), template, {"other": twin})
            findings.append(Finding("copies", "note", *shown))
        for key in keys:
            seen.setdefault(key, symbol.symbol)
    return findings


def _check_clocks(candles: CandleSet) -> list[Finding]:
    """Report that some files have true times and others the exchange's times only: these cannot be compared."""
    with_zones, without = ([s for s in candles.symbols if s.zoned is zoned] for zoned in (True, False))
    if not (with_zones and without):
        return []
    few, other = sorted((with_zones, without), key=len)
    have = "have a time zone" if few[0].zoned else "have none"
    template = f"{FINDINGS['zones']}: those of {{n:,}} of {{n_symbols:,}} symbols {have}"
    values = {"n": len(few), "n_symbols": len(few) + len(other), "zoned": few[0].zoned}
    remedy = "Write all times the same way, or train on the two groups separately."
    return [Finding("zones", "error", few[0].source, few[0].symbol, len(few), (), template, values, remedy)]


def _find_short(candles: CandleSet, window: int) -> list[Finding]:
    template = "{n:,} candles, fewer than a window of {window:,} (lookback_window + predict_window): not used"
    return [
        Finding(
            *("short", "note", symbol.source, symbol.symbol, len(symbol), (), template),
            {"n": len(symbol), "window": window},
        )
        for symbol in candles.symbols
        if len(symbol) < window and len(candles.symbols) > 1
    ]


class SymbolFrame(NamedTuple):
    """One symbol's candles, indexed by local time, and the findings about them.

    breaks: local times of the first candles after a jump, or after a gap longer than a window may cross. kind: interval,
    hours, zone and levels; None if there are no candles.
    """

    symbol: str
    source: str
    frame: pd.DataFrame
    findings: tuple[Finding, ...]
    breaks: tuple[pd.Timestamp, ...]
    kind: CandleKind | None = None


def read_frames(
    files: Sequence[Path],
    columns: ReadingOptions | Mapping[str, str] | None = None,
    repairs: RepairsConfig | None = None,
    max_gap: int | None = None,
) -> tuple[list[SymbolFrame], list[Finding]]:
    """Read files into a frame for each symbol. Repairs are logged; rows with errors are left out and listed.

    Args:
        columns: our name of a column to the file's, or all options of reading.
        repairs: what to do about defects; by default the configuration's defaults.
        max_gap: as data.max_gap.

    Returns:
        The frames, and findings about files that cannot be read.
    """
    frames, unreadable = [], list[Finding]()
    for raw in read_all(files, ReadingOptions.of(columns), unreadable):
        inspected = inspect_series(raw, repairs or RepairsConfig())
        for finding in inspected.findings:
            if finding.severity == "repair" or finding.kind == "reading":
                logger.info("%s", finding)
        candles = join_series([inspected])
        frame, breaks = candles.frame(), candles.symbols[0].breaks(max_gap)
        times = tuple(frame.index[breaks])
        wrong = [finding.at for finding in inspected.findings if finding.severity == "error"]
        if wrong:
            frame = frame[~np.isin(pd.DatetimeIndex(frame.index).as_unit("us").asi8, np.concatenate(wrong))]
        kind = describe_kind(candles, candles.symbols[0]) if len(candles) else None
        frames.append(SymbolFrame(raw.symbol, raw.source, frame, inspected.findings, times, kind))
    return frames, unreadable


def read_candles(
    path: str | CandleSource,
    columns: ReadingOptions | Mapping[str, str] | None = None,
    repairs: RepairsConfig | None = None,
    query: str | None = None,
) -> pd.DataFrame:
    """Read the candles of one symbol from a file: open, high, low, close, volume, amount, indexed by local time.

    Args:
        path: CSV (of any usual delimiter and encoding, also compressed), Parquet or Feather; or a URL, as data.data_path.
        columns: our name of a column to the file's, for columns that are not recognised; or all options of reading.
        repairs: what to do about defects; by default the configuration's defaults.
        query: SQL for a database.

    Raises:
        DataError: with the file, the line and the remedy; or there are several symbols.
    """
    options = ReadingOptions.of(columns)
    fetch = FetchOptions(query=query, since=options.since, until=options.until, columns=options.columns)
    gathered = gather_files([parse_source(path)], fetch)
    for snapshot in gathered.snapshots:
        logger.info("%s", snapshot)
    frames, unreadable = read_frames(gathered.files, options, repairs)
    raise_errors(unreadable)
    if len(frames) > 1:
        shown = ", ".join(each.symbol for each in frames[:5])
        template = "{path}: there are {n:,} symbols here ({symbols}, …). Read them with kronos.data.read_frames."
        raise DataError(template, path=path, n=len(frames), symbols=shown)
    raise_errors(frames[0].findings)
    return frames[0].frame
