"""Fetch candles once: into a folder that is complete or not there, with a record of what it holds."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from kronos.data.elsewhere.options import FetchOptions
from kronos.errors import DataError
from kronos.files import hash_file, is_unchanged, read_sealed, replacing_folder, write_sealed
from kronos.names import shorten_name
from kronos.urls import MAX_NAME

logger = logging.getLogger(__name__)

RECORD = ".snapshot.json"  # written last; its name begins with a dot, so it is no file of candles
FOLDER = "sources"  # within data.cache_dir


@dataclass(frozen=True)
class Fetch:
    """Something to fetch.

    source: its name without secrets. name: a short one. identity: values of JSON that tell it from others. write: writes
    its files into a folder. remote: whether a change is only seen by fetching it again.
    """

    source: str
    name: str
    identity: Mapping[str, Any]
    write: Callable[[Path], None]
    remote: bool = True


@dataclass(frozen=True)
class Snapshot:
    """What was fetched: its files, when, and one SHA-256 of all of them."""

    folder: Path
    source: str
    fetched: datetime
    files: tuple[Path, ...]
    size: int
    sha256: str
    remote: bool
    query: str | None = None

    def __str__(self) -> str:
        files = f"{len(self.files):,} files, " if len(self.files) > 1 else ""
        what = f"{files}{format_size(self.size)}, sha256 {self.sha256[:12]}"
        return f"{self.source}: fetched {self.fetched:%Y-%m-%d %H:%M} UTC ({what})"

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain values for a JSON file."""
        plain = {"source": self.source, "query": self.query, "fetched": self.fetched.isoformat()}
        return plain | {"files": len(self.files), "bytes": self.size, "sha256": self.sha256, "folder": str(self.folder)}


def fetch_once(fetch: Fetch, options: FetchOptions) -> Snapshot:
    """Return the snapshot of an earlier fetch, or fetch. One process fetches; others wait for it.

    Raises:
        DataError: there is nothing, or it cannot be fetched or written.
    """
    key = hashlib.sha256(json.dumps(fetch.identity, sort_keys=True, default=str).encode()).hexdigest()[:16]
    name = shorten_name(re.sub(r"[^\w.-]+", "_", fetch.name).strip("._"), MAX_NAME) or "candles"
    folder = options.cache_dir / FOLDER / f"{name}-{key}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            snapshot = _load(folder, fetch.remote)
            if snapshot and not (options.refetch and snapshot.fetched < _start_of_process()):
                return snapshot
            return _write(fetch, folder)
    except OSError as error:
        raise DataError(
            "{path}: {source} cannot be written there: {reason}. Choose another folder with data.cache_dir.",
            path=folder,
            source=fetch.source,
            reason=error.strerror or error,
        ) from None


def format_size(size: float) -> str:
    """Return a number of bytes as a short text."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def _start_of_process() -> datetime:
    """Return when this process began: what was fetched since then, perhaps by another rank, is new."""
    return datetime.fromtimestamp(psutil.Process().create_time(), UTC)


def _load(folder: Path, remote: bool) -> Snapshot | None:
    """Read a snapshot; None if there is none, or a file is missing or has changed (logged)."""
    if not folder.exists():
        return None
    try:
        record = read_sealed(folder / RECORD)
        files = {folder / each["name"]: each["size"] for each in record["files"]}
        if not all(is_unchanged(folder / each["name"], each | {"bytes": each["size"]}) for each in record["files"]):
            raise ValueError("a file is missing or has changed")
        fetched = datetime.fromisoformat(record["fetched"])
        values = (sum(files.values()), record["sha256"], remote, record["query"])
        return Snapshot(folder, record["source"], fetched, tuple(files), *values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("%s is damaged or incomplete and is fetched again (%s)", folder, error)
        return None


def _write(fetch: Fetch, folder: Path) -> Snapshot:
    logger.info("Fetching %s …", fetch.source)
    with replacing_folder(folder) as new:
        fetch.write(new)
        write_sealed(new / RECORD, _describe(fetch, new))
    snapshot = _load(folder, fetch.remote)
    assert snapshot is not None
    return snapshot


def _describe(fetch: Fetch, folder: Path) -> dict[str, Any]:
    files, total = [], hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest = hash_file(path)
        name = path.relative_to(folder).as_posix()
        total.update(f"{name} {digest}\n".encode())
        files.append({"name": name, "size": path.stat().st_size, "sha256": digest})
    return {
        "source": fetch.source,
        "query": fetch.identity.get("query"),
        "fetched": datetime.now(UTC).isoformat(timespec="seconds"),
        "sha256": total.hexdigest(),
        "files": files,
    }


def keep_time(path: Path, modified: float | None) -> None:
    """Give a copy the time of its original: a last candle that was not complete then is not complete now."""
    if modified is not None:
        with suppress(OSError, ValueError, OverflowError):
            os.utime(path, (modified, modified))
