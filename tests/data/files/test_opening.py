"""Files of candles that are none: devices, pipes, bombs, lines and rows without end."""

import bz2
import gzip
import lzma
import os
import socket
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from kronos.data.files import arrow, opening
from kronos.data.files.read import read_file
from kronos.data.files.sources import find_files
from kronos.data.files.tables import MAX_COLUMNS
from kronos.errors import DataError
from tests.conftest import ROOT

CSV = (ROOT / "data" / "synthetic_5min.csv").read_bytes()
BOMB = b"time,open,high,low,close\n" + b"0" * (1 << 20)


@pytest.fixture
def low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "FREE_BYTES", 1 << 19)


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_packed(folder: Path, kind: str, content: bytes) -> Path:
    path = folder / f"a.csv.{kind}"
    if kind == "zip":
        return write_zip(path, {"a.csv": content})
    if kind == "zst":
        with pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd") as file:
            file.write(content)
        return path
    path.write_bytes({"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[kind](content))
    return path


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz", "zst", "zip"])
def test_a_packed_bomb_is_not_unpacked(kind: str, tmp_path: Path, low_limit: None) -> None:
    with pytest.raises(DataError, match=r"a\.csv.*unpacks to more than 200 times its size.* unpack it yourself"):
        read_file(write_packed(tmp_path, kind, BOMB))
    for series in read_file(write_packed(tmp_path, kind, CSV)):  # larger than the limit, but packed as candles are
        assert len(series) == CSV.count(b"\n") - 1


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_a_bomb_of_columns_is_not_unpacked(kind: str, tmp_path: Path, low_limit: None) -> None:
    n, path = 1 << 20, tmp_path / f"a.{kind}"
    table = pa.table({name: pa.array(np.zeros(n)) for name in ("time", "open", "high", "low", "close")})
    if kind == "parquet":
        pyarrow.parquet.write_table(table, path, compression="zstd")
    else:
        pyarrow.feather.write_feather(table, str(path), compression="zstd")
    with pytest.raises(DataError, match="unpacks to more than 200 times"):
        read_file(path)


def write_columns(path: Path, columns: dict[str, Any]) -> Path:
    table = pa.table(columns)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path, compression="zstd")
    else:
        with (
            pa.OSFile(str(path), "wb") as file,
            pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer,
        ):
            writer.write_table(table)
    return path


@pytest.mark.parametrize("kind", ["parquet", "feather"])
@pytest.mark.parametrize("stored", ["dictionary", "plain", "run_end"])
def test_a_value_that_is_repeated_is_not_written_out(kind: str, stored: str, tmp_path: Path, low_limit: None) -> None:
    n = 2000
    text: Any = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int32)), pa.array(["x" * (1 << 16)]))
    if stored == "plain":
        text = text.dictionary_decode()
    if stored == "run_end":
        text = pa.RunEndEncodedArray.from_arrays(pa.array([n], pa.int32()), pa.array(["x" * (1 << 16)]))
    columns = {name: np.ones(n) for name in ("open", "high", "low", "close")}
    if (kind, stored) == ("parquet", "run_end"):
        return  # cannot be written
    with pytest.raises(DataError, match=r"unpacks to more than 200 times|unpacked at once"):
        read_file(write_columns(tmp_path / f"a.{kind}", {"time": text, **columns}))


def test_a_batch_that_no_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes in a file's messages tell what a batch unpacks to, before it is."""
    columns = {name: np.ones(100_000) for name in ("time", "open", "high", "low", "close")}
    path = write_columns(tmp_path / "a.feather", columns)
    monkeypatch.setattr(arrow, "MAX_PIECE", 8 * 500_000 - 1)
    monkeypatch.setattr(pa.ipc.RecordBatchFileReader, "get_batch", None)
    with pytest.raises(DataError, match=r"4,000,000 bytes would have to be unpacked at once"):
        read_file(path)


def test_formats_of_columns_are_read_as_before(tmp_path: Path) -> None:
    frame = pd.read_csv(ROOT / "data" / "synthetic_5min.csv")
    for version in (1, 2):
        frame.to_feather(tmp_path / "a.feather", version=version)
        (series,) = read_file(tmp_path / "a.feather")
        assert len(series) == len(frame) and np.allclose(series.values[:, 3], frame["close"])


def test_a_workbook_bomb_and_odd_archives(tmp_path: Path, low_limit: None) -> None:
    book = write_zip(
        tmp_path / "a.xlsx", {"xl/workbook.xml": b"<workbook/>", "xl/worksheets/sheet1.xml": b" " * (1 << 20)}
    )
    with pytest.raises(DataError, match="unpacks to more than"):
        read_file(book)
    with pytest.raises(DataError, match="holds 300 files"):
        read_file(write_zip(tmp_path / "many.zip", {f"{n}.csv": b"" for n in range(300)}))
    for name, members in {"none": {}, "folder": {"a/": b""}, "hidden": {".a.csv": CSV, "__MACOSX/a.csv": CSV}}.items():
        with pytest.raises(DataError, match=r"holds no file. Put one file of candles"):
            read_file(write_zip(tmp_path / f"{name}.zip", members))
    inner = write_zip(tmp_path / "in.zip", {"a.csv": CSV}).read_bytes()
    with pytest.raises(DataError, match=r"an archive in an archive or a damaged one.*Unpack it"):
        read_file(write_zip(tmp_path / "out.zip", {"in.zip": inner}))
    locked = bytearray(inner)
    locked[6] |= 1
    locked[locked.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    with pytest.raises(DataError, match=r"needs a password. Unpack it yourself"):
        read_file(tmp_path / "locked.zip")


def test_an_archive_is_read_wherever_its_file_would_lie(tmp_path: Path) -> None:
    for n, name in enumerate(("../../up.csv", "/up.csv", "..\\up.csv")):
        assert len(read_file(write_zip(tmp_path / f"{n}.zip", {name: CSV}))[0]) == CSV.count(b"\n") - 1
    assert not list(tmp_path.parent.parent.glob("up.csv"))


def test_a_sheet_that_no_memory_holds(tmp_path: Path) -> None:
    """The reader ends its process when it asks for the memory of all cells up to the last one."""
    book = openpyxl.Workbook()
    for line in CSV.decode().splitlines()[:50]:
        book.active.append(line.split(","))
    book.save(tmp_path / "a.xlsx")
    assert len(read_file(tmp_path / "a.xlsx")[0]) == 49
    book.active.cell(1_048_576, 16_384, "x")
    book.save(tmp_path / "far.xlsx")
    with pytest.raises(DataError, match=r"far\.xlsx: this is an Excel workbook .* too large.* Save it as CSV"):
        read_file(tmp_path / "far.xlsx")


def test_a_first_line_without_end_and_too_many_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for first, message in (
        (b"a" * (1 << 20), "no end within"),
        (b"," * (1 << 20), "no end within"),
        (b"," * 30_000, "columns; at most"),
    ):
        path.write_bytes(first + b"\n2024-01-01,1,1,1,1\n")
        with pytest.raises(DataError, match=message):
            read_file(path)
    pyarrow.parquet.write_table(pa.table({f"c{n}": [1] for n in range(MAX_COLUMNS + 1)}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="columns; at most 20,000"):
        read_file(tmp_path / "a.parquet")


def test_blank_rows_without_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\n".join(CSV.splitlines()[:200]) + b"\n" * 1_100_000)
    with pytest.raises(DataError, match="more than 1,000,000 blank rows"):
        read_file(path)
    path.write_bytes(b"\n".join(CSV.splitlines()[:200]) + b"\n" * 1000)
    assert len(read_file(path)[0]) == 199


def test_what_is_no_regular_file_is_refused_or_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nothing")
    (tmp_path / "proc.csv").symlink_to("/proc/self/maps")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s.csv"))
        for name in ("fifo.csv", "zero.csv", "proc.csv", "s.csv"):
            with pytest.raises(DataError, match="not a regular file but"):
                find_files([tmp_path / name])
        for name in ("loop.csv", "gone.csv"):
            with pytest.raises(DataError, match="no such file"):
                find_files([tmp_path / name])
        good = tmp_path / "good.csv"
        good.write_bytes(CSV)
        assert (
            find_files([tmp_path])
            == [good]
            == find_files([tmp_path / "*.csv"])
            == find_files([tmp_path / "**" / "*.csv"])
        )
    with pytest.raises(DataError, match="no file matches"):
        find_files([Path("/proc/self/map*")])


def test_a_line_and_a_cell_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = CSV.splitlines()[:300]
    path = tmp_path / "a.csv"
    path.write_bytes(b"\n".join([*lines, b"1" * 30_000]))
    monkeypatch.setattr(opening, "MAX_LINE", 20_000)
    with pytest.raises(DataError, match=r"a\.csv: a line has no end within 20,000 bytes"):
        read_file(path)
    path.write_bytes(b"\n".join([*lines, b"x" * 15_000 + b",1,1,1,1,1,1"]))
    with pytest.raises(DataError, match=r"a\.csv: a cell of timestamps has more than 10,000 characters"):
        read_file(path)


@pytest.mark.parametrize("name", ["x" * 300, "x" * 5000])
def test_names_that_no_file_has(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be searched: File name too long\. Check data\.data_path"):
        find_files([tmp_path / name])


def test_a_tree_that_changes_while_it_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(self: Path, pattern: str) -> list[Path]:
        raise FileNotFoundError(2, "No such file or directory", str(tmp_path / "gone"))

    monkeypatch.setattr(Path, "glob", remove)
    with pytest.raises(DataError, match=r"cannot be searched: No such file or directory \(.*gone\)"):
        find_files([tmp_path / "**" / "*.csv"])
