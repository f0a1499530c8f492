"""Find the files of candles that sources name: on disk as they are, from elsewhere fetched once."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from kronos.data.elsewhere.database import plan_query
from kronos.data.elsewhere.hive import (
    find_kind,
    find_partitioned,
    identify,
    list_partitioned,
    plan_local,
    write_dataset,
)
from kronos.data.elsewhere.http import fetch_http
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.elsewhere.remote import connect, fetch_files, translate_errors
from kronos.data.elsewhere.snapshot import Fetch, Snapshot, fetch_once
from kronos.data.files.sources import explain_search, find_files
from kronos.errors import ConfigError
from kronos.urls import DATABASE, CandleSource, Url


@dataclass(frozen=True)
class Gathered:
    """Files of candles on disk. passed_over: files of folders that hold none. snapshots: what was fetched."""

    files: list[Path]
    passed_over: list[Path] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)


def gather_files(sources: Sequence[CandleSource], options: FetchOptions) -> Gathered:
    """Return the files that paths and URLs name, each once. What is elsewhere is fetched into options.cache_dir first.

    Raises:
        ConfigError: a query is given without a database, or a database without a query. DataError: there is nothing at a
            path, or it cannot be fetched.
    """
    if options.query and not any(isinstance(each, Url) and each.scheme == DATABASE for each in sources):
        raise ConfigError(
            "data.query needs a database. Name it in data.data_path, for example duckdb:///candles.db, or remove the query."
        )
    gathered, paths = Gathered([]), list[Path]()
    for source in sources:
        fetch = _plan(source, options)
        if fetch is None:
            assert isinstance(source, Path)
            paths.append(source)
            continue
        snapshot = fetch_once(fetch, options)
        gathered.snapshots.append(snapshot)
        paths += _choose_paths(snapshot)
    gathered.files.extend(find_files(paths, gathered.passed_over))
    return gathered


def _choose_paths(snapshot: Snapshot) -> list[Path]:
    """Return the folder if its files lie directly in it, to pass over those without candles; else all files."""
    if len(snapshot.files) > 1 and all(file.parent == snapshot.folder for file in snapshot.files):
        return [snapshot.folder]
    return list(snapshot.files)


def _plan(source: CandleSource, options: FetchOptions) -> Fetch | None:
    if isinstance(source, Path):
        with explain_search(source):
            files = find_partitioned(source)
        return plan_local(source, files, options) if files else None
    if source.scheme == DATABASE:
        return plan_query(source, options)
    if source.scheme in ("http", "https"):
        return Fetch(str(source), source.name, {"url": str(source)}, partial(fetch_http, source))
    # Whether a folder is partitioned is known only on the server. Its rows depend on these settings.
    is_folder = not (glob.has_magic(source.address) or find_kind(source.address))
    identity = {"url": str(source)} | (identify(options) if is_folder else {})
    return Fetch(str(source), source.name, identity, partial(_fetch_remote, source, options))


def _fetch_remote(url: Url, options: FetchOptions, folder: Path) -> None:
    with translate_errors(url):
        system, path = connect(url)
        names = list_partitioned(system, path)
        if names:
            write_dataset(names, system, str(url), url.name, options, folder)
            return
    fetch_files(url, folder)
