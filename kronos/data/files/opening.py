"""Open files of candles, packed or not: no devices, and nothing that unpacks to a bomb."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import fsspec
import pyarrow as pa

from kronos.data.files.excel.workbooks import is_workbook, read_workbook
from kronos.disk.reading import find_irregularity
from kronos.errors import DataError

TABLES_IN_ARCHIVES = (".csv", ".tsv", ".parquet", ".feather")
HIDDEN = re.compile(r"/$|^__MACOSX/|(^|/)\.[^./\\][^/]*$")
ENCRYPTED = 1  # the flag of a member
COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "xz"}
FREE_BYTES = 1 << 28  # may be unpacked from any file
MAX_LINE = 1 << 22  # bytes
MAX_RATIO = 200  # of larger ones; candles as text are packed to a tenth, hardly ever to a fiftieth


def check_regular(path: Path) -> None:
    """Check that a path is that of a regular file.

    Raises:
        DataError: it is not, for example a device, which may have no end.
    """
    if kind := find_irregularity(path):
        template = "{path}: not a regular file but {kind}. Save the candles to a file and name that."
        raise DataError(template, path=path, kind=kind)


def check_unpacked(path: Path, n_bytes: int) -> None:
    """Check the size of what a file unpacks to.

    Raises:
        DataError: it is so much larger than the file that this is no table of candles.
    """
    if n_bytes > max(FREE_BYTES, MAX_RATIO * path.stat().st_size):
        template = (
            "{path}: it unpacks to more than {ratio} times its size, as no table of candles does. If it is one, unpack it "
            "yourself and name the unpacked file."
        )
        raise DataError(template, path=path, ratio=MAX_RATIO)


class _Unpacked(io.RawIOBase):
    """What a packed file holds, up to a size that candles may have."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file = file
        self._path = path
        self._n_bytes = 0

    @classmethod
    def open(cls, file: Any, path: Path) -> IO[bytes]:
        return io.BufferedReader(cls(file, path), 1 << 16)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = 0) -> int:
        self._n_bytes = int(self._file.seek(offset, whence))
        return self._n_bytes

    def tell(self) -> int:
        return self._n_bytes

    def readinto(self, buffer: Any) -> int:
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        self._n_bytes += len(piece)
        check_unpacked(self._path, self._n_bytes)
        return len(piece)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Lines(_Unpacked):
    """A text whose lines end."""

    _n_open = 0  # bytes since the last end of a line

    def readinto(self, buffer: Any) -> int:
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        self._n_bytes += len(piece)
        after = 1 + max(piece.rfind(b"\n"), piece.rfind(b"\r"))
        self._n_open = len(piece) - after + (0 if after else self._n_open)
        if self._n_open > MAX_LINE:
            template = "{path}: a line has no end within {n:,} bytes, so this is no table. Write each candle on a line of its own."
            raise DataError(template, path=self._path, n=MAX_LINE)
        return len(piece)


def open_lines(path: Path) -> Any:
    """Open a file for reading the bytes of a text, as `open_bytes` does; its lines have at most MAX_LINE bytes."""
    return _Lines.open(open_bytes(path), path)


def open_bytes(path: Path) -> Any:
    """Open a file for reading bytes. Its content tells the compression, its name whether it is a zip archive."""
    check_regular(path)
    with path.open("rb") as file:
        head = file.read(6)
    if head.startswith(b"PK\x03\x04") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            check_unpacked(path, sum(member.file_size for member in archive.infolist()))
    if is_workbook(path, head):
        return io.BytesIO(read_workbook(path.absolute(), path.stat().st_mtime))
    if path.suffix.lower() == ".zip" or (head.startswith(b"PK\x03\x04") and zipfile.is_zipfile(path)):
        return _Unpacked.open(_open_archive(path), path)
    if head.startswith(b"\x28\xb5\x2f\xfd"):  # fsspec's reader does not notice that a file was cut off
        return _Unpacked.open(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"), path)
    compression = next((name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), None)
    file = fsspec.open(str(path.absolute()), "rb", compression=compression).open()
    return _Unpacked.open(file, path) if compression else file


def _open_archive(path: Path) -> IO[bytes]:
    """Open the only file of an archive, or its only table. Nothing is unpacked, so its folder does not matter."""
    archive = zipfile.ZipFile(path)
    members = [each for each in archive.infolist() if not HIDDEN.search(each.filename)]
    tables = [each for each in members if each.filename.lower().endswith(TABLES_IN_ARCHIVES)]
    if not members:
        raise DataError("{path}: this archive holds no file. Put one file of candles into it.", path=path)
    if len(found := members if len(members) == 1 else tables) != 1:
        template = "{path}: this archive holds {n:,} files. Unpack it into a folder and name the folder."
        raise DataError(template, path=path, n=len(members))
    if found[0].flag_bits & ENCRYPTED:
        raise DataError("{path}: this archive needs a password. Unpack it yourself and name the file.", path=path)
    return archive.open(found[0])
