"""Write files completely or not at all."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kronos.errors import KronosError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, beside path; on success it replaces path in one step.

    Raises:
        KronosError: the file system refuses.
    """
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except OSError as error:
        raise KronosError("{path}: cannot be written: {reason}.", path=path, reason=error.strerror or error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


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
