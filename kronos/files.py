"""Write files and folders completely or not at all, and remove what killed processes left of them."""

import ctypes
import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from kronos.errors import WriteError

HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
TEMPORARY_NAME = re.compile(r"\.(?:([0-9a-f]{6})-)?(\d+)\..+")  # without a host: of an earlier version
LONGEST_PART = 56  # characters of a temporary name; with its beginning they take at most 255 bytes
ABANDONED_SECONDS = 86_400  # nothing is written for so long by a live process of another machine
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, beside path; on success it replaces path in one step.

    Raises:
        WriteError: the file system refuses.
    """
    temporary = name_temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except OSError as error:
        raise WriteError.about(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path, keep: Callable[[Path], bool] = lambda file: False) -> Iterator[Path]:
    """Give a temporary folder to fill, beside path; on success it replaces path as a whole.

    At any moment there is the old folder or the new one, complete. Where the file system cannot exchange two folders,
    neither may be there for a moment; `restore_folder` brings the old one back if the process ends just then.

    Args:
        keep: whether an entry of the old folder is taken over.

    Raises:
        WriteError: the file system refuses.
    """
    temporary = name_temporary(path)
    try:
        with _translate(path):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
        yield temporary
        with _translate(path):
            restore_folder(path)
            for each in path.iterdir() if path.is_dir() else ():
                if keep(each) and not (temporary / each.name).exists():
                    _copy(each, temporary / each.name)
            _put_in_place(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def restore_folder(path: Path) -> None:
    """Bring a folder back that was being replaced when the process ended."""
    with suppress(OSError):
        if not path.exists():
            _name_old(path).rename(path)


def name_temporary(path: Path) -> Path:
    """Return a path beside path that no other process writes to."""
    return path.with_name(f".{HOST}-{os.getpid()}.{path.name[-LONGEST_PART:]}")


def remove_temporaries(folder: Path, recursive: bool = True) -> None:
    """Remove the files and folders that processes were writing when they were killed.

    What a live process of this machine writes is kept, and what another machine has written to within a day.
    """
    for path in list(folder.rglob(".*") if recursive else folder.glob(".*")):
        with suppress(OSError):  # another process may be faster
            if (name := TEMPORARY_NAME.fullmatch(path.name)) and not _is_being_written(path, name[1], int(name[2])):
                _remove(path)


def _is_being_written(path: Path, host: str | None, process: int) -> bool:
    modified = path.stat().st_mtime
    if host not in (HOST, None):
        return time.time() - modified < ABANDONED_SECONDS
    try:
        return psutil.Process(process).create_time() <= modified + 1  # a later process has the number of a former one
    except psutil.Error:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _copy(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _put_in_place(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
    elif not _exchange(new, path):
        old = _name_old(path)
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
        new.rename(path)
        shutil.rmtree(old, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; False where that is not possible."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):  # not Linux
        return False
    return bool(rename(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0)


def _name_old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


@contextmanager
def _translate(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError.about(path, error) from error


def sync(path: Path) -> None:
    """Flush a file to the disk, to keep it complete even after a power failure."""
    with path.open("rb") as file, suppress(OSError):  # some file systems cannot
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file completely or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def shorten_names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest unique end of each folder's path."""
    names = []
    for folder in folders:
        others = [other.parts for other in folders if other != folder]
        n = next(
            (n for n in range(1, len(folder.parts)) if all(other[-n:] != folder.parts[-n:] for other in others)),
            len(folder.parts),
        )
        names.append(str(Path(*folder.parts[-n:])))
    return names
