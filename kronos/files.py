"""Write files and folders completely or not at all, and notice later changes.

A kept file carries the SHA-256 of its content: JSON under the key "seal", a binary file in its last bytes, the files of a
folder in complete.json.
"""

import ctypes
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kronos.disk.reading import read_json
from kronos.disk.temporaries import beside, name_complete, remove_temporaries
from kronos.errors import WriteError
from kronos.names import make_printable

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux

MANIFEST_NAME = "complete.json"  # in a sealed folder, written last: the size and SHA-256 of every other file
SEAL_KEY = "seal"
DIGEST_BYTES = hashlib.sha256().digest_size
CHUNK_BYTES = 1 << 24

logger = logging.getLogger(__name__)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, beside path; on success it replaces path in one step.

    Raises:
        WriteError: the file system refuses.
    """
    with beside(path) as temporary, _translate(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        temporary.replace(path)


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
    with beside(path) as temporary:
        with _translate(path):
            remove_temporaries(path.parent, of=[path.name])
            _make_empty(temporary)
        yield temporary
        with _translate(path):
            restore_folder(path)
            for each in path.iterdir() if path.is_dir() else ():
                if keep(each) and not (temporary / each.name).exists():
                    _copy(each, temporary / each.name)
            _put_in_place(temporary, path)


@contextmanager
def replacing_files(folder: Path, name: str) -> Iterator[Path]:
    """Give a temporary folder to fill, in folder; on success its files move to folder and replace those of their names.

    They move one by one, which takes no space on the disk.

    Args:
        name: what the files are, for the name of the temporary folder.

    Raises:
        WriteError: the file system refuses.
    """
    with beside(folder / name, becomes=folder) as temporary, _translate(folder):
        _make_empty(temporary)
        yield temporary
        for file in sorted(temporary.iterdir()):
            file.replace(folder / file.name)


def _make_empty(temporary: Path) -> None:
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed process with the same number
    temporary.mkdir(parents=True)


def restore_folder(path: Path) -> None:
    """Bring a folder back that was being replaced when the process ended."""
    with suppress(OSError):
        if not path.exists():
            name_old(path).rename(path)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _put_in_place(new: Path, path: Path) -> None:
    if not path.exists():
        new.rename(path)
        return
    swap_folders(new, path)


def swap_folders(first: Path, second: Path) -> None:
    """Exchange two folders: in one step, where the file system can; else second is missing for a moment.

    Raises:
        WriteError: the file system refuses.
    """
    with _translate(second):
        if not _exchange(first, second):
            old = name_old(second)
            shutil.rmtree(old, ignore_errors=True)
            second.rename(old)
            first.rename(second)
            old.rename(first)


def _exchange(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; False where that is not possible."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):  # not Linux
        return False
    return bool(rename(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) == 0)


def name_old(path: Path) -> Path:
    """Return where a folder is while it is being replaced, if the file system cannot exchange two."""
    return path.with_name(f".{path.name}.old")


def find_replaced(old: Path) -> Path:
    """Return the folder that is kept under another name while it is being replaced."""
    return old.with_name(old.name.removeprefix(".").removesuffix(".old"))


@contextmanager
def _translate(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        named = Path(error.filename) if isinstance(error.filename, str) else path
        raise WriteError.about(name_complete(named), error) from error


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
    write_text(path, make_printable(json.dumps(value, indent=2, ensure_ascii=False), keep="\n") + "\n")


def write_sealed(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object with its own SHA-256, completely or not at all."""
    write_json(path, value | {SEAL_KEY: _hash_values(value)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote, or a JSON object that an earlier version wrote without a seal.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is no JSON object, or it has changed since it was written.
    """
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    if value.pop(SEAL_KEY, None) not in (None, _hash_values(value)):
        raise ValueError("changed since it was written: its checksum does not match")
    return value


def find_sealed(path: Path) -> dict[str, Any] | None:
    """Return what `read_sealed` does; None if the file is missing or damaged, which is logged."""
    try:
        return read_sealed(path) if path.exists() else None
    except (OSError, ValueError) as error:
        logger.warning("%s: damaged (%s). It is not used.", path, error)
        return None


def _hash_values(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def append_digest(path: Path) -> None:
    """Append the SHA-256 of a binary file to it."""
    digest = _hash_start(path, path.stat().st_size)
    with path.open("ab") as file:
        file.write(digest)


def ends_with_digest(path: Path) -> bool:
    """Whether a file is as `append_digest` left it."""
    try:
        size = path.stat().st_size - DIGEST_BYTES
        return path.is_file() and size >= 0 and _hash_start(path, size) == _read_end(path, size)
    except OSError:
        return False


def _hash_start(path: Path, n_bytes: int) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for start in range(0, n_bytes, CHUNK_BYTES):
            digest.update(file.read(min(CHUNK_BYTES, n_bytes - start)))
    return digest.digest()


def _read_end(path: Path, start: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read()


def seal_folder(folder: Path) -> None:
    """Mark a folder as complete: flush every file in it to the disk, and record its size and hash."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MANIFEST_NAME]
    for path in files:
        sync(path)
    write_json(folder / MANIFEST_NAME, {path.relative_to(folder).as_posix(): _identify(path) for path in files})


def is_whole(folder: Path) -> bool:
    """Whether every file of a folder is unchanged since it was sealed."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
        return bool(manifest) and all(is_unchanged(folder / name, each) for name, each in manifest.items())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def is_unchanged(path: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a file has this size and SHA-256. A large file is only read if the size is right."""
    return path.is_file() and path.stat().st_size == identity["bytes"] and hash_file(path) == identity["sha256"]


def _identify(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": hash_file(path)}


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
