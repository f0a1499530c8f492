from __future__ import annotations

import os
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.files.read import RawSeries, read_file
from kronos.errors import DataError
from tests.data.elsewhere.conftest import make_candles

SYMBOLS = ("000001", "BRK/B")


def write_folder(root: Path, keys: tuple[str, ...] = ("symbol", "year"), form: str = "parquet") -> pd.DataFrame:
    frames = [
        make_candles(400, n, "2023-06-01", "D").assign(symbol=symbol, year=lambda frame: frame.timestamps.dt.year)
        for n, symbol in enumerate(SYMBOLS)
    ]
    frame = pd.concat(frames, ignore_index=True)
    drop = [key for key in ("symbol", "year") if key not in keys]
    schema = pa.schema([(key, pa.int32() if key == "year" else pa.string()) for key in keys])
    table = pa.Table.from_pandas(frame.drop(columns=drop), preserve_index=False)
    ds.write_dataset(table, root, format=form, partitioning=ds.partitioning(schema, flavor="hive"))
    return frame


def read(path: Path, options: FetchOptions) -> dict[str, RawSeries]:
    files = gather_files([path], options).files
    return {raw.symbol: raw for file in files for raw in read_file(file)}


@pytest.mark.parametrize("form", ["parquet", "feather", "csv"])
def test_the_partition_is_the_symbol(tmp_path: Path, options: FetchOptions, form: str) -> None:
    frame = write_folder(tmp_path / "candles", form=form)
    series = read(tmp_path / "candles", options)
    assert list(series) == ["000001", "BRK/B"]  # a number keeps its zeros, and %2F is a slash
    for symbol, raw in series.items():
        own = frame[frame.symbol == symbol]
        assert np.allclose(raw.values[:, 3], own.close) and len(raw) == 400
        assert (raw.local == own.timestamps.to_numpy("datetime64[us]").astype(np.int64)).all()


@pytest.mark.parametrize("path", ["candles/symbol=000001", "candles/symbol=0*/year=*/*.parquet"])
def test_a_part_of_the_folder(tmp_path: Path, options: FetchOptions, path: str) -> None:
    write_folder(tmp_path / "candles")
    series = read(tmp_path / path, options)
    assert list(series) == ["000001"] and len(series["000001"]) == 400


def test_a_single_file(tmp_path: Path, options: FetchOptions) -> None:
    write_folder(tmp_path / "candles", ("symbol",))
    (raw,) = read(tmp_path / "candles" / "symbol=000001" / "part-0.parquet", options).values()
    assert raw.symbol == "000001"


def test_a_folder_with_files_beside_is_read_as_before(tmp_path: Path, options: FetchOptions) -> None:
    (tmp_path / "run=1").mkdir()
    (tmp_path / "run=1" / "other.csv").write_text("x")
    make_candles(50).to_csv(tmp_path / "A.csv", index=False)
    assert gather_files([tmp_path], options).files == [tmp_path / "A.csv"]


def test_a_change_of_a_file_is_seen(tmp_path: Path, options: FetchOptions) -> None:
    write_folder(tmp_path / "candles", ("symbol",))
    before = gather_files([tmp_path / "candles"], options).snapshots[0]
    assert gather_files([tmp_path / "candles"], options).snapshots == [before]
    file = tmp_path / "candles" / "symbol=000001" / "part-0.parquet"
    pq.write_table(pq.read_table(file).slice(0, 10), file)
    after = gather_files([tmp_path / "candles"], options).snapshots[0]
    assert after.folder != before.folder and not after.remote


def test_a_copy_has_the_time_of_its_newest_file(tmp_path: Path, options: FetchOptions) -> None:
    write_folder(tmp_path / "candles", ("symbol",))
    for n, file in enumerate(sorted((tmp_path / "candles").rglob("*.parquet"))):
        os.utime(file, (1000 + n, 1000 + n))
    assert gather_files([tmp_path / "candles"], options).files[0].stat().st_mtime == 1001


def spoil(file: Path, row_groups: list[int]) -> None:
    """Overwrite the values of row groups; the footer stays."""
    metadata = pq.read_metadata(file)
    content = bytearray(file.read_bytes())
    for group in row_groups:
        for n in range(metadata.num_columns):
            column = metadata.row_group(group).column(n)
            start = column.dictionary_page_offset or column.data_page_offset
            content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    file.write_bytes(content)


def test_parts_outside_are_not_read(tmp_path: Path, options: FetchOptions) -> None:
    """Row groups by their statistics, and whole files by the year in the folder's name."""
    root = tmp_path / "candles"
    write_folder(root)
    for symbol in ("000001", "BRK%2FB"):
        (root / f"symbol={symbol}" / "year=2022").mkdir()
        (root / f"symbol={symbol}" / "year=2022" / "old.parquet").write_bytes(b"PAR1 no such file")
        file = root / f"symbol={symbol}" / "year=2023" / "part-0.parquet"
        pq.write_table(pq.read_table(file), file, row_group_size=50)  # from 2023-06-01
        spoil(file, [0, 1])
        (last,) = (root / f"symbol={symbol}" / "year=2024").iterdir()
        last.write_bytes(b"no table")
    limited = replace(options, since=date(2023, 9, 20), until=datetime(2023, 12, 1, 12))
    series = read(root, limited)
    assert list(series) == ["000001", "BRK/B"]
    first, last = (series["000001"].local[n].astype("datetime64[us]") for n in (0, -1))
    assert first <= np.datetime64("2023-09-19") and last >= np.datetime64("2023-12-01T00:00")
    with pytest.raises(DataError, match="cannot be read together"):
        read(root, replace(limited, since=date(2023, 6, 1)))


@pytest.mark.parametrize("kind", [pa.timestamp("ms"), pa.timestamp("us", "Asia/Shanghai"), pa.date32(), pa.string()])
def test_times_of_all_types_can_be_limited(tmp_path: Path, options: FetchOptions, kind: Any) -> None:
    frame = make_candles(100, start="2024-01-01", freq="D")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.set_column(0, "timestamps", table["timestamps"].cast(pa.timestamp("us")).cast(kind))
    ds.write_dataset(
        table.append_column("symbol", pa.array(["A"] * 100)),
        tmp_path / "candles",
        format="parquet",
        partitioning=ds.partitioning(pa.schema([("symbol", pa.string())]), flavor="hive"),
    )
    (raw,) = read(tmp_path / "candles", replace(options, since=date(2024, 2, 1), until=date(2024, 2, 10))).values()
    assert len(raw) == (100 if kind == pa.string() else 12)  # a day more on each side


def test_a_date_only_in_the_names_of_folders(tmp_path: Path, options: FetchOptions) -> None:
    frame = make_candles(10, start="2024-01-01", freq="D")
    for n, row in frame.iterrows():
        folder = tmp_path / "days" / "symbol=A" / f"date={row.timestamps:%Y-%m-%d}"
        folder.mkdir(parents=True)
        frame.iloc[[n]].drop(columns="timestamps").to_parquet(folder / "part.parquet")
    (raw,) = read(tmp_path / "days", options).values()
    assert len(raw) == 10 and raw.local[0] == np.datetime64("2024-01-01", "us").astype(int)
    (raw,) = read(tmp_path / "days", replace(options, since=date(2024, 1, 5))).values()
    assert len(raw) == 7


def test_a_year_is_no_date(tmp_path: Path, options: FetchOptions) -> None:
    folder = tmp_path / "candles" / "symbol=A" / "year=2024" / "month=1"
    folder.mkdir(parents=True)
    make_candles(10).drop(columns="timestamps").to_parquet(folder / "part.parquet")
    with pytest.raises(
        DataError, match=r"only the names of the folders hold the date \(year=…, month=…\).*into a column"
    ):
        gather_files([tmp_path / "candles"], options)


def test_a_given_name_of_the_symbol(tmp_path: Path, options: FetchOptions) -> None:
    folder = tmp_path / "candles" / "asset=A"
    folder.mkdir(parents=True)
    make_candles(10).to_parquet(folder / "part.parquet")
    given = replace(options, columns={"symbol": "asset"})
    (file,) = gather_files([tmp_path / "candles"], given).files
    assert [raw.symbol for raw in read_file(file, {"symbol": "asset"})] == ["A"]


def test_files_that_differ_in_their_columns(tmp_path: Path, options: FetchOptions) -> None:
    for symbol, drop in (("A", ["volume"]), ("B", [])):
        (tmp_path / "candles" / f"symbol={symbol}").mkdir(parents=True)
        make_candles(10).drop(columns=drop).to_parquet(tmp_path / "candles" / f"symbol={symbol}" / "p.parquet")
    (tmp_path / "candles" / "_SUCCESS").write_text("")
    series = read(tmp_path / "candles", options)
    assert np.isnan(series["A"].values[:, 4]).all() and (series["B"].values[:, 4] > 0).all()


def test_files_of_two_kinds(tmp_path: Path, options: FetchOptions) -> None:
    write_folder(tmp_path / "candles", ("symbol",))
    make_candles(10).to_csv(tmp_path / "candles" / "symbol=000001" / "more.csv", index=False)
    with pytest.raises(DataError, match=r"files of one kind.*found (csv, parquet|parquet, csv)"):
        gather_files([tmp_path / "candles"], options)


def test_no_rows_in_the_time(tmp_path: Path, options: FetchOptions) -> None:
    write_folder(tmp_path / "candles")
    with pytest.raises(DataError, match=r"hold no rows from data\.since to data\.until"):
        gather_files([tmp_path / "candles"], replace(options, since=date(2030, 1, 1)))


@pytest.mark.parametrize("first", [b"", b"\n\n"])
def test_an_empty_part(tmp_path: Path, options: FetchOptions, first: bytes) -> None:
    """Parts without a byte are passed over, as programs write them; one without columns is an error."""
    for symbol, content in (("A", first), ("B", make_candles(50).to_csv(index=False).encode())):
        (tmp_path / "c" / f"symbol={symbol}").mkdir(parents=True)
        (tmp_path / "c" / f"symbol={symbol}" / "p.csv").write_bytes(content)
    if not first:
        assert list(read(tmp_path / "c", options)) == ["B"]
        return
    with pytest.raises(DataError, match=r"cannot be read together.*CSV \(UTF-8\)"):
        read(tmp_path / "c", options)


@pytest.mark.parametrize("name", [b"symbol=A/p\xff.csv", b"symbol=\xff/p.csv", b"symbol=%FF/p.csv"])
def test_names_that_are_no_text(tmp_path: Path, options: FetchOptions, name: bytes) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path / "c") + b"/" + name))
    file.parent.mkdir(parents=True)
    make_candles(50).to_csv(file, index=False)
    with pytest.raises(DataError, match="cannot be read together"):
        read(tmp_path / "c", options)


def test_columns_in_another_encoding(tmp_path: Path, options: FetchOptions) -> None:
    (tmp_path / "c" / "symbol=A").mkdir(parents=True)
    (tmp_path / "c" / "symbol=A" / "p.csv").write_bytes("时间,开盘\n1,2\n".encode("gb18030"))
    with pytest.raises(DataError, match=r"cannot be read together.*UTF-8"):
        read(tmp_path / "c", options)


def test_a_part_that_is_no_file(tmp_path: Path, options: FetchOptions) -> None:
    (tmp_path / "c" / "symbol=A").mkdir(parents=True)
    (tmp_path / "c" / "symbol=A" / "p.csv").symlink_to("/proc/self/maps")
    with pytest.raises(DataError, match=r"p\.csv: not a regular file"):
        read(tmp_path / "c", options)


@pytest.mark.parametrize("form", ["csv.gz", "parquet", "feather"])
def test_parts_that_are_bombs(
    tmp_path: Path, options: FetchOptions, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("kronos.data.files.opening", "kronos.data.elsewhere.hive"):
        monkeypatch.setattr(f"{module}.FREE_BYTES", 1 << 19)
    columns = {name: [1.0] * 200_000 for name in ("timestamps", "open", "high", "low", "close")}
    file = tmp_path / "c" / "symbol=A" / f"p.{form}"
    file.parent.mkdir(parents=True)
    frame = pd.DataFrame(columns)
    if form == "csv.gz":
        frame.to_csv(file, index=False)
    else:
        (frame.to_parquet if form == "parquet" else frame.to_feather)(file, compression="zstd")
    with pytest.raises(DataError, match=r"unpacks? to more than 200 times"):
        read(tmp_path / "c", options)
