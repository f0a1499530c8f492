"""The tokens of a split's windows on disk: one file, named after everything that decides its content.

A file is written under a temporary name and renamed when it is complete. Its parts are written with `write`, not through
a memory map: on a full disk a map kills the process, whereas `write` raises an error and training can go on without a cache.
"""

import errno
import logging
import os
import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from kronos.candles import Array
from kronos.files import DIGEST_BYTES, append_digest, ends_with_digest, sync
from kronos.names import Message

logger = logging.getLogger(__name__)

SUFFIX = ".tokens"
MAX_TOTAL_BYTES = 20 * 10**9
MAX_AGE_SECONDS = 30 * 86_400
MAX_TEMPORARY_AGE_SECONDS = 86_400


@dataclass(frozen=True)
class TokenFile:
    """Subtokens (N, 2, T) int16, s1 and s2 of each window, followed by their SHA-256. bits: of s1 and s2."""

    path: Path
    n_windows: int
    window: int
    bits: tuple[int, int]

    @property
    def window_bytes(self) -> int:
        return 2 * self.window * np.dtype(np.int16).itemsize

    @property
    def n_bytes(self) -> int:
        """Bytes of the tokens: 4 for each candle of each window."""
        return self.n_windows * self.window_bytes

    def is_whole(self, verify: bool) -> bool:
        """Whether the file exists with the right size; with verify, also whether its checksum and the range of its tokens fit."""
        try:
            right_size = self.path.stat().st_size == self.n_bytes + DIGEST_BYTES
        except OSError:
            return False
        is_whole = right_size and (not verify or (ends_with_digest(self.path) and self._is_in_range()))
        if not is_whole:
            logger.warning("%s is damaged and is made anew", self.path)
        return is_whole

    def _is_in_range(self) -> bool:
        """Whether the vocabularies have all tokens: whoever can write the file can append its checksum again."""
        tokens = self.map()
        return all(tokens[:, n].min() >= 0 and tokens[:, n].max() < 2**bits for n, bits in enumerate(self.bits))

    def map(self) -> Array:
        return np.memmap(self.path, np.int16, "r", shape=(self.n_windows, 2, self.window))

    def touch(self) -> None:
        """Mark the file as used; the least recently used files are deleted first."""
        with suppress(OSError):
            os.utime(self.path)

    def describe_unfit(self) -> Message:
        """Explain why the file would take too much disk or memory; empty if it would not."""
        size = self.n_bytes / 1e9
        folder = next(parent for parent in self.path.parents if parent.exists())
        if self.n_bytes > shutil.disk_usage(folder).free // 4:
            return Message(
                "{size:,.1f} GB is more than a quarter of the free disk space at {folder}", size=size, folder=folder
            )
        if self.n_bytes > psutil.virtual_memory().available:
            return Message("{size:,.1f} GB is more than the free memory", size=size)
        return Message("")

    def create(self, temporary: Path) -> None:
        """Create an empty temporary file in the same folder.

        Raises:
            OSError: the folder is not writable, or the disk is too full.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(self.path.parent).free < self.n_bytes + DIGEST_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path.parent))
        temporary.open("xb").close()

    def finish(self, temporary: Path) -> None:
        """Append the checksum to the filled temporary file and rename it.

        Raises:
            OSError: the disk is full.
        """
        append_digest(temporary)
        sync(temporary)
        temporary.replace(self.path)


def prune_tokens(folder: Path, in_use: Collection[Path]) -> None:
    """Delete files unused for 30 days, then the least recently used files beyond 20 GB in all.

    Files in use stay, and count. A run that has mapped a deleted file can still read it.
    """
    files = []
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(OSError):  # another run may just have deleted it
            status = path.stat()
            files.append((path in in_use, status.st_mtime, status.st_size, path))
    total = 0
    for used, modified, size, path in sorted(files, reverse=True):
        is_temporary = path.name.startswith(".")  # being written, or left by a run that was killed
        too_old = time.time() - modified > (MAX_TEMPORARY_AGE_SECONDS if is_temporary else MAX_AGE_SECONDS)
        too_much = total + size > MAX_TOTAL_BYTES and not is_temporary
        if used or not (too_old or too_much):
            total += size
            continue
        with suppress(OSError):
            path.unlink()
