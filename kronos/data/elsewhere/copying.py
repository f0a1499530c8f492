"""Copy what a server sends into files."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Protocol

from kronos.errors import DataError
from kronos.names import name_file
from kronos.progress.bars import Progress
from kronos.urls import Url

CHUNK = 1 << 20
MAX_UNANNOUNCED = 1 << 32  # bytes of a file whose size is not announced
SLOWEST, PATIENCE_SECONDS = 1000, 30  # bytes a second, on average, after this time
ENDING = re.compile(r"^.+?(?=(\.[A-Za-z0-9]{1,10}){0,2}\Z)", re.DOTALL)  # what stands before .csv.gz
MASKED_HINT = (
    "{url}: its secret is not saved, and there is no copy of what was fetched with it. Give the whole URL again, on the "
    "command line."
)


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def copy_stream(stream: Stream, path: Path, url: Url, size: int | None) -> None:
    """Copy a stream into a file, with a progress bar if that takes long; size: in bytes, if it is known.

    Raises:
        DataError: the file cannot be written, does not end, or comes too slowly; other errors are those of the stream.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    read = getattr(stream, "read1", stream.read)  # as much as is there, to notice a slow server
    n_bytes, start = 0, time.monotonic()
    with path.open("wb") as file, Progress(url.name, size, "B", delay=2, unit_scale=True) as bar:
        while chunk := read(CHUNK):
            n_bytes += len(chunk)
            _check_pace(url, n_bytes, MAX_UNANNOUNCED if size is None else size, time.monotonic() - start)
            try:
                file.write(chunk)
                file.flush()
            except OSError as error:
                template = "{path}: cannot be written: {reason}. Choose another folder with data.cache_dir."
                raise DataError(template, path=path, reason=error.strerror or error) from None
            bar.update(len(chunk))


def _check_pace(url: Url, n_bytes: int, limit: int, seconds: float) -> None:
    if n_bytes > limit:
        template = "{url}: the download does not end after {n:,} bytes. Check the URL, or download the file yourself."
        raise DataError(template, url=url, n=limit)
    if seconds > PATIENCE_SECONDS and n_bytes < SLOWEST * seconds:
        template = (
            "{url}: the server sends less than {n:,} bytes a second. Try again later, or download the file yourself."
        )
        raise DataError(template, url=url, n=SLOWEST)


def check_size(path: Path, url: Url, expected: int | None) -> None:
    """Check that a download has the length that was announced.

    Raises:
        DataError: it was cut off, or is empty.
    """
    size = path.stat().st_size
    if expected is not None and size != expected:
        template = "{url}: the download was cut off after {n:,} of {expected:,} bytes. Try again."
        raise DataError(template, url=url, n=size, expected=expected)
    if not size:
        raise DataError("{url}: the file is empty.", url=url)


def safe_name(name: str) -> str:
    """Return the last part of a name that a server gives as a file name; others have others."""
    last = re.split(r"[/\\]", name)[-1]
    ending = ENDING.sub("", last, count=1)
    return name_file(last.removesuffix(ending)) + ending
