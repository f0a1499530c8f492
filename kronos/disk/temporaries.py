"""Names of files and folders that are being written, and what killed processes left of them."""

import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
TEMPORARY_NAME = re.compile(r"\.(?:([0-9a-f]{6})-)?(\d+)\.(.+)")  # without a host: of an earlier version
LONGEST_PART = 56  # characters of a temporary name; with its beginning they take at most 255 bytes
ABANDONED_SECONDS = 86_400  # nothing is written for so long by a live process of another machine

_own: dict[Path, Path] = {}  # what this process is writing, and its name when it is complete


@contextmanager
def beside(path: Path, becomes: Path | None = None) -> Iterator[Path]:
    """Give a path beside path that no other process writes to, and remove what is there at the end.

    Args:
        becomes: its name when it is complete; by default path.
    """
    own = name_temporary(path)
    _own[own] = becomes or path
    try:
        yield own
    finally:
        _own.pop(own, None)
        with suppress(OSError):
            _remove(own)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give an empty folder in the system's place for temporary files, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp())
    _own[folder] = folder
    try:
        yield folder
    finally:
        _own.pop(folder, None)
        shutil.rmtree(folder, ignore_errors=True)


def name_temporary(path: Path) -> Path:
    """Return a path beside path that no other process writes to."""
    return path.with_name(f".{HOST}-{os.getpid()}.{_shorten(path.name)}")


def _shorten(name: str) -> str:
    return name[-LONGEST_PART:]


def name_complete(path: Path) -> Path:
    """Return the name that a path will have when what this process is writing is complete."""
    for own in (path, *path.parents):
        if _own.get(own, own) != own:
            return name_complete(_own[own] / path.relative_to(own))
    return path


def remove_own_temporaries() -> None:
    """Remove what this process is writing, because it ends at once."""
    for path in list(_own):
        with suppress(OSError):
            _remove(path)


def remove_temporaries(folder: Path, of: Iterable[str] | None = None) -> None:
    """Remove the files and folders that processes were writing when they were killed.

    What a live process of this machine writes is kept, and what another machine has written to within a day.

    Args:
        of: remove only what was to get one of these names. The folder may hold anything else, and is not searched deeper.
    """
    wanted = None if of is None else {_shorten(each) for each in of}
    for path in list(folder.rglob(".*") if wanted is None else folder.glob(".*")):
        name = TEMPORARY_NAME.fullmatch(path.name)
        if name is None or (wanted is not None and name[3] not in wanted):
            continue
        with suppress(OSError):  # another process may be faster
            if not _is_being_written(path, name[1], int(name[2])):
                _remove(path)


def _is_being_written(path: Path, host: str | None, process: int) -> bool:
    modified = path.stat().st_mtime
    if host not in (HOST, None):
        return time.time() - modified < ABANDONED_SECONDS
    try:
        owner = psutil.Process(process)
        is_dead = owner.status() == psutil.STATUS_ZOMBIE  # killed, and nobody has asked for its end
        return not is_dead and owner.create_time() <= modified + 1  # a later process has the number of a former one
    except psutil.Error:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
