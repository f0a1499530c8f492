"""Read whole files that may come from anywhere: no device, no pipe, no more than fits."""

import errno
import json
import stat
from pathlib import Path
from typing import Any

MAX_RECORD_BYTES = 1 << 28  # of a file that a run has left


def find_irregularity(path: Path) -> str:
    """Return what is at a path if it is no regular file, for example "a named pipe"; reading it might never end.

    Raises:
        OSError: there is nothing, or it may not be seen.
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode):
        return "a file of the system itself" if path.resolve().parts[1:2] in (("proc",), ("sys",)) else ""
    kinds = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
    return next((kind for is_kind, kind in kinds.items() if is_kind(mode)), "a device")


def read_regular(path: Path, max_bytes: int = MAX_RECORD_BYTES) -> bytes:
    """Read a whole file.

    Raises:
        OSError: it cannot be read, is no regular file or is larger than max_bytes.
    """
    if kind := find_irregularity(path):
        raise OSError(errno.EINVAL, f"it is {kind}, not a regular file", str(path))
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {max_bytes:,} bytes", str(path))
    return content


def read_json(path: Path) -> Any:
    """Read a JSON file that a run has left.

    Raises:
        OSError: as `read_regular`. ValueError: it is damaged, or nested too deeply.
    """
    return parse_json(read_regular(path).decode("utf-8"))


def parse_json(text: str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
