import bz2
import gzip
import io
import logging
import lzma
import zipfile
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pyarrow.parquet as pq
import pytest
import zstandard

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import load_candles, read_candles, read_frames
from kronos.data.files.read import RawSeries, read_file
from kronos.errors import DataError

HEADER = "timestamps,open,high,low,close,volume,amount\n"
ROW = ",10,11,9,10.5,100,1050\n"
TIMES = ["2024-06-18 09:35:00", "2024-06-18 09:40:00", "2024-06-18 13:05:00"]
EXPECTED = pd.DatetimeIndex(TIMES)
START = datetime(2024, 6, 18, 9, 35)
TWO = {"open": [1.0, 2.0], "high": [2.0, 3.0], "low": [1.0, 1.0], "close": [1.5, 2.0], "volume": [10, 20]}


def write(tmp_path: Path, text: str | bytes, name: str = "c.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(tmp_path: Path, text: str | bytes, columns: dict[str, str] | None = None) -> pd.DataFrame:
    return read_candles(write(tmp_path, text), columns)


def read_raw(tmp_path: Path, text: str | bytes) -> RawSeries:
    (series,) = read_file(write(tmp_path, text))
    return series


def with_times(*times: str) -> str:
    return HEADER + "".join(f'"{time}"{ROW}' for time in times)


def local_times(raw: RawSeries) -> list[str]:
    return [f"{time:%Y-%m-%d %H:%M:%S}" for time in pd.DatetimeIndex(raw.local.astype("M8[us]"))]


@pytest.mark.parametrize(
    "times",
    [
        TIMES,
        ["2024/6/18 9:35", "2024/6/18 9:40", "2024/6/18 13:05"],
        ["2024.06.18 09:35", "2024.06.18 09:40", "2024.06.18 13:05"],
        ["2024-06-18T09:35:00", "2024-06-18T09:40:00", "2024-06-18T13:05:00"],
        ["2024-06-18T09:35:00+08:00", "2024-06-18T09:40:00+08:00", "2024-06-18T13:05:00+08:00"],
        ["2024-06-18 09:35:00 -0400", "2024-06-18 09:40:00 -0400", "2024-06-18 13:05:00 -0400"],
        ["2024-06-18 09:35:00+08", "2024-06-18 09:40:00+08", "2024-06-18 13:05:00+08"],
        ["2024-06-18T09:35:00Z", "2024-06-18T09:40:00Z", "2024-06-18T13:05:00Z"],
        ["2024-06-18T09:35:00.000Z", "2024-06-18T09:40:00.000Z", "2024-06-18T13:05:00.000Z"],
        ["2024-06-18 09:35:00 UTC", "2024-06-18 09:40:00 UTC", "2024-06-18 13:05:00 UTC"],
        ["2024-06-18 09:35 AM", "2024-06-18 09:40 AM", "2024-06-18 01:05 PM"],
        ["2024年6月18日 09:35", "2024年6月18日 09:40", "2024年6月18日 13:05"],
        ["2024年06月18日09时35分", "2024年06月18日09时40分", "2024年06月18日13时05分"],
        ["1718703300", "1718703600", "1718715900"],
        ["1718703300.0", "1718703600.0", "1718715900.0"],
        ["1718703300000", "1718703600000", "1718715900000"],
        ["1718703300000000", "1718703600000000", "1718715900000000"],
        ["1718703300000000000", "1718703600000000000", "1718715900000000000"],
        ["202406180935", "202406180940", "202406181305"],
        ["20240618093500", "20240618094000", "20240618130500"],
        ["20240618093500000", "20240618094000000", "20240618130500000"],
    ],
)
def test_timestamps(tmp_path: Path, times: list[str]) -> None:
    candles = read(tmp_path, with_times(*times))
    assert list(candles.index) == list(EXPECTED)


def test_hours_without_separators_are_not_epoch_seconds(tmp_path: Path) -> None:
    raw = read_raw(tmp_path, with_times("2024061809", "2024061810"))
    assert local_times(raw) == ["2024-06-18 09:00:00", "2024-06-18 10:00:00"]


def test_daily_dates(tmp_path: Path) -> None:
    for times in (["2024-06-18", "2024-06-19"], ["20240618", "20240619"], ["2024/6/18", "2024/6/19"]):
        assert list(read(tmp_path, with_times(*times)).index) == list(pd.to_datetime(["2024-06-18", "2024-06-19"]))


def test_epoch_seconds_go_on_from_nine_digits_to_ten(tmp_path: Path) -> None:
    raw = read_raw(tmp_path, with_times("999993600", "1000080000"))
    assert local_times(raw) == ["2001-09-09 00:00:00", "2001-09-10 00:00:00"]


def test_a_clock_change_keeps_the_wall_clock_and_the_order(tmp_path: Path) -> None:
    for times in (
        ["2024-11-03T01:30:00-04:00", "2024-11-03T01:00:00-05:00"],
        ["2024-11-03 01:30:00-04", "2024-11-03 01:00:00-05"],
    ):
        candles = read(tmp_path, with_times(*times))
        assert candles.index.tz is None
        assert [f"{time:%H:%M}" for time in candles.index] == ["01:30", "01:00"]


def test_times_with_zones_are_true_times(tmp_path: Path) -> None:
    raw = read_raw(tmp_path, with_times("2024-06-18 09:35:00+08:00"))
    assert raw.zoned and raw.local[0] - raw.instants[0] == 8 * 3600 * 10**6


def test_column_order_spaces_and_extra_columns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "note, close ,low,high,open,amount,volume,timestamps\nx,3,1,4,2,6,5,2024-06-18 09:35\n"
    with caplog.at_level(logging.INFO):
        candles = read(tmp_path, text)
    np.testing.assert_array_equal(candles.to_numpy(), [[2, 4, 1, 3, 5, 6]])
    assert list(candles.columns) == ["open", "high", "low", "close", "volume", "amount"]
    assert (candles.dtypes == np.float32).all()
    assert "columns ignored: note" in caplog.text


def test_quoted_cells_with_spaces_before_them(tmp_path: Path) -> None:
    raw = read_raw(tmp_path, '"date", "open", "high", "low", "close"\n"2024-06-18", "2", "4", "1", "3"\n')
    np.testing.assert_array_equal(raw.values[0, :4], [2, 4, 1, 3])


def test_absent_and_blank_volume_and_amount(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    start = "timestamps,open,high,low,close"
    with caplog.at_level(logging.INFO):
        no_both = read(tmp_path, f"{start}\n2024-06-18,2,4,1,3\n")
        no_amount = read(tmp_path, f"{start},volume\n2024-06-18,2,4,1,3,10\n")
        blank = read(tmp_path, f"{start},volume,amount\n2024-06-18,2,4,1,3,,7\n")
        no_volume = read(tmp_path, f"{start},amount\n2024-06-18,2,4,1,3,7\n2024-06-19,2,4,1,3,\n")
    np.testing.assert_array_equal(no_both.iloc[0, 4:], [0, 0])
    np.testing.assert_array_equal(no_amount.iloc[0, 4:], [10, 25])
    np.testing.assert_array_equal(blank.iloc[0, 4:], [0, 7])
    np.testing.assert_array_equal(no_volume.iloc[:, 4:], np.float32([[2.8, 7], [0, 0]]))
    for note in ("no column volume", "no column amount", "volume or amount left blank", "taken as amount / mean"):
        assert note in caplog.text


def test_rows_out_of_order_are_sorted_and_this_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        candles = read(tmp_path, HEADER + "2024-06-19,2,2,2,2,2,2\n2024-06-18,1,1,1,1,1,1\n")
    np.testing.assert_array_equal(candles["open"], [1, 2])
    assert "sorted" in caplog.text


@pytest.mark.parametrize("blank", ["", "  ", ",,,,,,", " , ,, , ,,"])
def test_blank_lines_and_byte_order_mark(tmp_path: Path, blank: str) -> None:
    text = with_times("2024-06-18") + f"{blank}\n{blank}\n2024-06-19" + ROW + f"{blank}\n"
    raw = read_raw(tmp_path, b"\xef\xbb\xbf" + text.encode())
    assert raw.lines.tolist() == [2, 5]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends(tmp_path: Path, end: str) -> None:
    raw = read_raw(tmp_path, with_times("2024-06-18", "2024-06-19").replace("\n", end))
    assert local_times(raw) == ["2024-06-18 00:00:00", "2024-06-19 00:00:00"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("\n  \n", "the file is empty"),
        (HEADER, "has a header but no candles"),
        (HEADER + "\n\n", "has a header but no candles"),
        ("\n\nx,y\n1,2\n", "column timestamps, open, high, low, close missing; the file has: x, y"),
        ("timestamps,open,high,close\n2024-06-18,1,2,3\n", "column low missing; the file has: timestamps, open, high"),
        (HEADER + "2024-06-18,1,1,1,1,1,1\n2024-06-19,1,abc,1,1,1,1\n", "line 3: high is 'abc', not a number"),
        (HEADER + "2024-06-18,,1,1,1,1,1\n", "line 2 .*open is blank"),
        (HEADER + "2024-06-18,1,1,inf,1,1,1\n", "line 2 .*low is infinite"),
        (HEADER + "2024-06-18,1,1,1,1,much,1\n", "line 2: volume is 'much', not a number"),
        (HEADER + "\n2024-06-18,1,1,1,x,1,1\n", "line 3: close is 'x'"),
        (HEADER + "2024-06-18,1,1,1,1,1e39,1\n", "line 2 .*volume is infinite"),
        (HEADER + f"2024-06-18,1,1,1,1,{'9' * 400},1\n", "line 2 .*volume is infinite"),
        (
            HEADER + "2024-06-18,True,True,True,True,1,1\n",
            "Line 2: open is 'True', not a number.* .2. Line 2: high is 'True'",
        ),
        (HEADER + "2024-06-18,1%,1,1,1,1,1\n", "line 2: open is '1%', not a number"),
        (HEADER + "2024-06-18,1,1,1,1,1_0,1\n", "line 2: volume is '1_0', not a number"),
        (HEADER + "2024-06-18,1,1\0,1,1,1,1\n", "line 2: high is .*, not a number"),
        (with_times("2024-06-18", "yesterday"), "line 3: timestamp 'yesterday' cannot be read"),
        (with_times("2024-06-18", "today"), "line 3: timestamp 'today' cannot be read"),
        (with_times("20240618", "now"), "line 3: timestamp 'now' cannot be read"),
        (with_times("2024-06-18", "now"), "line 3: timestamp 'now' cannot be read"),
        (with_times("2024-06-18", ""), "line 3: timestamp '' cannot be read"),
        (with_times("06/05/2024"), "line 2: timestamp '06/05/2024' is ambiguous: 6 May 2024 or 5 June 2024"),
        (with_times("24-06-18"), "line 2: timestamp '24-06-18' is ambiguous: 24 June 2018 or 18 June 2024"),
        (with_times("2024-13-40"), "line 2: timestamp '2024-13-40' cannot be read"),
        (with_times("2024-18-06"), "line 2: timestamp '2024-18-06' cannot be read"),
        (with_times("2024/05/06", "2024/18/06"), "line 3: timestamp '2024/18/06' cannot be read"),
        (with_times("2024-Q1"), "line 2: timestamp '2024-Q1' cannot be read"),
        (with_times("0000-01-01"), "line 2: timestamp '0000-01-01' cannot be read"),
        (with_times("1718703300", "17187033"), "line 3: timestamp '17187033' cannot be read"),
        (with_times("2024.5"), "line 2: timestamp '2024.5' is no date, and no number"),
        (with_times("2024-06-18 09:35 XYZ"), "line 2: .* 'XYZ' is no known time zone"),
        (with_times("12345"), "line 2: timestamp '12345' is no date, and no number"),
        (with_times("2024-06-18 09:35", "2024-06-18 09:40Z"), "line 3: .* has a time zone, unlike the first row's"),
        (with_times("2024-06-18 09:35Z", "2024-06-18 09:40"), "line 3: .* has no time zone, unlike the first row's"),
        (HEADER + "2024-06-18,1,1,1,1,1,1,9,9\n", "more values than the header has columns"),
        (HEADER + "2024-06-18,1\n2024-06-19,1,1,1,1,1,1,9,9\n", "not a well-formed CSV"),
        (HEADER + '2024-06-18,1,"1,1,1,1,1\n2024-06-19,1,1,1,1,1,1\n', "not a well-formed CSV"),
        (HEADER + "2024-06-18,1,1,1,1,1,1\n2024-06-19,1,1\n", "line 3 .*low is blank"),  # cut off
        (HEADER + "2024-06-18,1,1,1,1,1,1\n" + "\0" * 999, r"line 3: timestamp '(\\x00){40}' cannot be read"),
        (
            "2024-06-18,1,1,1,1,1\n2024-06-19,1,1,1,1,1\n",
            "the first line holds numbers, so there are no column names.* The first row is column 1: 2024-06-18",
        ),
        (
            "2024-06-18 09:35,1,2,0.5,1\n",
            "the first line holds numbers, so there are no column names.* The first row is column 1: 2024-06-18",
        ),
        ("# exported today\n\nx,y\n", "the file has: # exported today. The first line must hold the column names"),
        ("\0\0" + HEADER, "NUL bytes, so this is not text"),
        (b"timestamps,open\n\xff\xfe\xff\n", "neither UTF-8 nor GB18030"),
        (
            "timestamps,open,high,low,close, close\n2024-06-18,1,2,3,4,5\n",
            "columns close, close .2. are alike. Choose one",
        ),
        (
            "timestamps,open,high,low,close,close\n2024-06-18,1,2,3,4,5\n",
            "columns close, close .2. are alike. Choose one",
        ),
        ("date,Open,open,high,low,close\n2024-06-18,1,2,2,1,1\n", "columns Open, open are alike. Choose one"),
        ("date,open,high,low,Adj Close\n2024-06-18,1,2,1,1\n", "column close missing; .* Adj Close"),
        ("date,symbol,open,high,low,close\n2024-06-18,,1,2,1,1\n", "line 2: the symbol is blank"),
        (b"PK\x03\x04 and so on", "this is an archive in an archive or a damaged one"),
        (b"\xd0\xcf\x11\xe0 and so on", "this is an Excel workbook"),
        ("\n<!DOCTYPE html><html>", "this is a web page or XML"),
        ("\ufeff<Table>", "this is a web page or XML"),
        ('{"open": 1}', "this is JSON"),
        ("[[1, 2]]", "this is JSON"),
        (b"\x89HDF\r\n", "this is HDF5"),
        (b"SQLite format 3\0", "this is a database"),
        (b"PAR1 and nothing more", "cannot be read"),
        (b"ARROW1 and nothing more", "cannot be read"),
    ],
)
def test_bad_files(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "c.csv"))
    assert "\n" not in str(caught.value)


def test_a_long_header_is_not_recited(tmp_path: Path) -> None:
    names = ",".join(f"{i}{'x' * 99}" for i in range(99))
    with pytest.raises(DataError, match="column close missing") as caught:
        read(tmp_path, f"date,open,high,low,{names}\n")
    assert len(str(caught.value)) < 1500 and "…" in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        read_candles(tmp_path / "none.csv")


META = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<SPREAD>\n2024.06.18\t09:35:00\t2\t4\t1\t3\t5\t1\n"


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        (META, 12.5),
        ("<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\n20240618,093500,2,4,1,3,5\n", 12.5),
        ("date,time,open,high,low,close,vol\n20240618,935,2,4,1,3,5\n", 12.5),
        ("date,time,open,high,low,close,vol\n2024-06-18,20240618093500000,2,4,1,3,5\n", 12.5),
        ("date,time,open,high,low,close,vol\n2024-06-18,2024-06-18 09:35:00,2,4,1,3,5\n", 12.5),
        ("date,time,open,high,low,close,vol\n2024-06-18 00:00:00,9:35 AM,2,4,1,3,5\n", 12.5),
        ("日期,时间,开盘,最高,最低,收盘,成交量,成交额\n2024/06/18,09:35,2,4,1,3,5,7\n".encode("gb18030"), 7),
        ("交易日期,交易时间,开盘价,最高价,最低价,收盘价,成交量\n2024-06-18,09:35,2,4,1,3,5\n", 12.5),
        ("Open time,Open,High,Low,Close,Volume,Close time,Quote asset volume\n1718703300000,2,4,1,3,5,9,7\n", 7),
        ("DATETIME,OPEN,HIGH,LOW,CLOSE,VOL,TURNOVER\n2024-06-18 09:35,2,4,1,3,5,7\n", 7),
        ("trade_date,datetime,o,h,l,c,v\n1,2024-06-18 09:35,2,4,1,3,5\n", 12.5),
        ("date,Open,High,Low,Close,Adj Close,Volume\n2024-06-18 09:35,2,4,1,3,0.1,5\n", 12.5),
        ("date,open,high,low,close,volume,turnover,amount\n2024-06-18 09:35,2,4,1,3,5,0.05,7\n", 7),
    ],
)
def test_aliases(tmp_path: Path, text: str | bytes, amount: float) -> None:
    raw = read_raw(tmp_path, text)
    assert local_times(raw) == ["2024-06-18 09:35:00"]
    np.testing.assert_array_equal(raw.values, np.float32([[2, 4, 1, 3, 5, amount]]))


@pytest.mark.parametrize(("turnover", "reported"), [("0.05{i}", True), ("15{i}", False), ("1500{i}", False)])
def test_a_turnover_that_is_a_rate_is_reported(tmp_path: Path, turnover: str, reported: bool) -> None:
    rows = "".join(f"2024-06-{i},1,2,1,2,1{i},{turnover.format(i=i)}\n" for i in range(10, 30))
    ((_, _, _, findings, *_),), _ = read_frames([write(tmp_path, "date,open,high,low,close,volume,turnover\n" + rows)])
    assert any("is it a turnover rate?" in finding.text for finding in findings) == reported


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        (["935", "1305"], ["09:35", "13:05"]),
        (["0", "5", "100"], ["00:00", "00:05", "01:00"]),
        (["500", "93500"], ["00:05", "09:35"]),  # five minutes past midnight, as the other has seconds
        (["0935", "1305"], ["09:35", "13:05"]),
    ],
)
def test_times_of_day_as_numbers(tmp_path: Path, written: list[str], read_as: list[str]) -> None:
    raw = read_raw(
        tmp_path, "date,time,open,high,low,close\n" + "".join(f"20240618,{time},1,1,1,1\n" for time in written)
    )
    assert [time[11:16] for time in local_times(raw)] == read_as


def test_the_columns_mapping_goes_before_all(tmp_path: Path) -> None:
    text = "when,open,high,low,close,Adj Close,vol,lots\n2024-06-18,2,4,1,3,1.5,5,6\n"
    candles = read(tmp_path, text, {"timestamps": "when", "close": "Adj Close", "volume": "lots"})
    np.testing.assert_array_equal(candles.iloc[0, :5], [2, 4, 1, 1.5, 6])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"close": "Adj Clos"}, "data.columns maps close to the column 'Adj Clos', .* Did you mean 'Adj Close'"),
        ({"close": "xyz"}, "which is not in the file. The file has: date, open, high, low, close, Adj Close"),
        ({"close": "Adj Close", "open": "Adj Close"}, "uses column Adj Close for two of our columns"),
    ],
)
def test_a_wrong_columns_mapping(tmp_path: Path, columns: dict[str, str], words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(tmp_path, "date,open,high,low,close,Adj Close\n2024-06-18,2,4,1,3,1.5\n", columns)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_delimiters_and_encodings(tmp_path: Path, delimiter: str, encoding: str) -> None:
    text = "时间,开盘,最高,最低,收盘,成交量\n2024-06-18,2.5,4,1,3,5\n".replace(",", delimiter)
    np.testing.assert_array_equal(read_raw(tmp_path, text.encode(encoding)).values[0, :5], [2.5, 4, 1, 3, 5])


def test_utf16_big_endian(tmp_path: Path) -> None:
    raw = read_raw(tmp_path, ("\ufeff" + with_times("2024-06-18")).encode("utf-16-be"))
    assert local_times(raw) == ["2024-06-18 00:00:00"]


@pytest.mark.parametrize(
    ("rows", "volume"),
    [
        (["1;1,5;1;1;100"], 100),
        (["1;1;1;1;100", "1;1,5;1;1;100"], 100),  # the first row does not show it
        (["1;1;1;1;0,125"], 0.125),
        (["1;1;1;1;1000,125"], 1000.125),
        (["1.5;2.5;1.5;1.5;100"], 100),
    ],
)
def test_a_decimal_comma(tmp_path: Path, rows: list[str], volume: float) -> None:
    text = "date;open;high;low;close;volume\n" + "".join(f"2024-06-{18 + i};{row}\n" for i, row in enumerate(rows))
    assert read_raw(tmp_path, text).values[-1, 4] == np.float32(volume)


def test_a_thousand_with_a_point_far_down_a_file_with_decimal_commas(tmp_path: Path) -> None:
    rows = "".join(f"2024-06-18;{1 + i % 9},5;10;1;2;{i}\n" for i in range(5000))
    with pytest.raises(DataError, match=r"line 5002: volume is '1[.]000', not a number"):
        read(tmp_path, f"date;open;high;low;close;volume\n{rows}2024-06-19;1,5;2;1;2;1.000\n")


def as_zip(data: bytes, *names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names or ("c.csv",):
            archive.writestr(name, data)
    return buffer.getvalue()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
    ".zip": as_zip,
}


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, suffix: str) -> None:
    """The content decides; an error reports that it was cut off."""
    plain = write(tmp_path, with_times("2024-06-18"), f"c.csv{suffix}")
    assert suffix == ".zip" or len(read_candles(plain)) == 1
    packed = write(tmp_path, COMPRESS[suffix](with_times("2024-06-18").encode()), "packed.csv")
    assert suffix == ".zip" or len(read_candles(packed)) == 1
    for content in (COMPRESS[suffix](with_times(*TIMES).encode() * 9999)[:-9],):
        path = write(tmp_path, content, f"c.csv{suffix}")
        with pytest.raises(DataError, match=r"cannot be read: .*") as caught:
            read_candles(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_a_title_above_the_names_of_the_columns(tmp_path: Path) -> None:
    for title in ("600977 中国电影 5分钟线 前复权\n", "# exported today\n\n", "a;b\n"):
        text = title + with_times("2024-06-18", "2024-06-19")
        ((_, _, frame, findings, *_),), _ = read_frames([write(tmp_path, text.encode("gb18030"))])
        assert len(frame) == 2 and "above the column names that were skipped" in " ".join(f.text for f in findings)
        n = text.count("\n")
        with pytest.raises(DataError, match=f"line {n}: high is 'x'"):
            read_candles(write(tmp_path, text.removesuffix(ROW) + ROW.replace("11", "x", 1)))


def test_an_archive_of_several_files_is_not_read_in_part(tmp_path: Path) -> None:
    path = write(tmp_path, as_zip(with_times("2024-06-18").encode(), "a.csv", "b.csv"), "c.zip")
    with pytest.raises(DataError, match=r"this archive holds 2 files\. Unpack it"):
        read_candles(path)


def save(tmp_path: Path, table: pa.Table, name: str) -> Path:
    path = tmp_path / name
    (pyarrow.parquet.write_table if name == "c.parquet" else pyarrow.feather.write_feather)(table, path)
    return path


def times_of(kind: str) -> Any:
    times = [START, START + timedelta(minutes=5)]
    epoch = [1718703300, 1718703600]
    return {
        "s": lambda: pa.array(times, pa.timestamp("s")),
        "ms": lambda: pa.array(times, pa.timestamp("ms")),
        "us": lambda: pa.array(times, pa.timestamp("us")),
        "ns": lambda: pa.array(times, pa.timestamp("ns")),
        "zoned": lambda: pa.array([t - timedelta(hours=8) for t in times], pa.timestamp("us", "Asia/Shanghai")),
        "text": lambda: pa.array([str(t) for t in times]),
        "categories": lambda: pa.array([str(t) for t in times]).dictionary_encode(),
        "epoch": lambda: pa.array(epoch),
        "epoch_ms": lambda: pa.array([1000 * t for t in epoch], pa.uint64()),
        "epoch_float": lambda: pa.array([float(t) for t in epoch]),
        "epoch_decimal": lambda: pa.array([Decimal(t) for t in epoch]),
    }[kind]()


@pytest.mark.parametrize("name", ["c.parquet", "c.feather"])
@pytest.mark.parametrize(
    "kind",
    ["s", "ms", "us", "ns", "zoned", "text", "categories", "epoch", "epoch_ms", "epoch_float", "epoch_decimal"],
)
def test_parquet_and_feather(tmp_path: Path, name: str, kind: str) -> None:
    (raw,) = read_file(save(tmp_path, pa.table({"date": times_of(kind), **TWO}), name))
    assert local_times(raw) == ["2024-06-18 09:35:00", "2024-06-18 09:40:00"]
    np.testing.assert_array_equal(raw.values[1, :5], [2, 3, 1, 2, 20])
    assert raw.zoned == (kind == "zoned" or "epoch" in kind)
    if kind == "zoned":
        assert (raw.local - raw.instants == 8 * 3600 * 10**6).all()


def test_dates_of_parquet(tmp_path: Path) -> None:
    days = [START.date(), START.date() + timedelta(days=1)]
    for kind in (pa.date32(), pa.date64()):
        (raw,) = read_file(save(tmp_path, pa.table({"date": pa.array(days, kind), **TWO}), "c.parquet"))
        assert local_times(raw) == ["2024-06-18 00:00:00", "2024-06-19 00:00:00"]
    clock = pa.array([time(9, 35), time(9, 40)], pa.time64("us"))
    same_day = pa.array([days[0]] * 2, pa.date32())
    (raw,) = read_file(save(tmp_path, pa.table({"date": same_day, "time": clock, **TWO}), "c.parquet"))
    assert local_times(raw) == ["2024-06-18 09:35:00", "2024-06-18 09:40:00"]


@pytest.mark.parametrize("name", ["c.parquet", "c.feather"])
@pytest.mark.parametrize("index_name", [None, "datetime"])
def test_times_in_the_index(tmp_path: Path, name: str, index_name: str | None) -> None:
    index = pd.DatetimeIndex([START, START + timedelta(minutes=5)], name=index_name, tz="America/New_York")
    (raw,) = read_file(save(tmp_path, pa.Table.from_pandas(pd.DataFrame(TWO, index)), name))
    assert raw.zoned and local_times(raw) == ["2024-06-18 09:35:00", "2024-06-18 09:40:00"]


def test_symbols_in_the_index(tmp_path: Path) -> None:
    index = pd.MultiIndex.from_tuples([("000001", START), ("600000", START)], names=["symbol", "date"])
    series = read_file(save(tmp_path, pa.Table.from_pandas(pd.DataFrame(TWO, index)), "c.parquet"))
    assert [each.symbol for each in series] == ["000001", "600000"]


@pytest.mark.parametrize(
    ("column", "read_as"),
    [
        (pa.array([Decimal("1.25"), Decimal("2")]), [1.25, 2]),
        (pa.array([1, 2], pa.uint8()), [1, 2]),
        (pa.array(["1.25", "2"]), [1.25, 2]),
        (pa.array(["1.25", "2"]).dictionary_encode(), [1.25, 2]),
        (pa.array([1.25, 2]).dictionary_encode(), [1.25, 2]),
        (pa.array([1.25, None]), [1.25, np.nan]),
        (pa.array([1, None]), [1, np.nan]),
        (pa.array([Decimal("1.25"), None]), [1.25, np.nan]),
        (pa.nulls(2), [np.nan, np.nan]),
    ],
)
def test_kinds_of_numbers_in_parquet(tmp_path: Path, column: pa.Array, read_as: list[float]) -> None:
    table = pa.table({"date": times_of("us"), **TWO, "open": column})
    (raw,) = read_file(save(tmp_path, table, "c.parquet"))
    np.testing.assert_array_equal(raw.values[:, 0], read_as)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([True, False]),
        pa.array([True, None]),
        pa.array([START, START]),
        pa.array([START.date(), START.date()]),
        pa.array([1, 2], pa.duration("s")),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array([[1], [2]]),
        pa.array(["1,5", "2"]),
    ],
)
def test_what_is_no_number_in_parquet(tmp_path: Path, column: pa.Array) -> None:
    path = save(tmp_path, pa.table({"date": times_of("us"), **TWO, "open": column}), "c.parquet")
    with pytest.raises(DataError, match=r"row 1: open is .*, not a number"):
        read_file(path)


@pytest.mark.parametrize(
    "times",
    [
        pa.array([START, None], pa.timestamp("us")),
        pa.array([1718703300, 10**13]).cast(pa.timestamp("s")),  # the year 318857
        pa.array([1718703300, None]),
        pa.array(["2024-06-18", "18/06/2024"]),
        pa.array([date(2024, 6, 18), None]),
    ],
)
def test_what_is_no_time_in_parquet(tmp_path: Path, times: pa.Array) -> None:
    path = save(tmp_path, pa.table({"date": times, **TWO}), "c.feather")
    with pytest.raises(DataError, match=r"row 2: timestamp '.*' (cannot be read|is ambiguous)"):
        read_file(path)


def test_a_parquet_without_rows(tmp_path: Path) -> None:
    path = save(tmp_path, pa.table({"date": times_of("us"), **TWO}).slice(0, 0), "c.parquet")
    with pytest.raises(DataError, match="a header but no candles"):
        read_file(path)


def test_a_column_of_symbols(tmp_path: Path) -> None:
    names = ["000001", "NA", "000001", "TRUE", "NA", "nan"]
    rows = "".join(f"2024-06-{18 + i},{name},{i + 1},9,1,2\n" for i, name in enumerate(names))
    path = write(tmp_path, "date,code,open,high,low,close\n" + rows)
    series = read_file(path)
    assert [each.symbol for each in series] == ["000001", "NA", "TRUE", "nan"]
    assert [each.values[:, 0].tolist() for each in series] == [[1, 3], [2, 5], [4], [6]]
    assert [each.lines.tolist() for each in series] == [[2, 4], [3, 6], [5], [7]]
    with pytest.raises(DataError, match=r"there are 4 symbols here \(000001, NA"):
        read_candles(path)


def test_rows_of_many_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kronos.data.files.tables.ROWS_AT_A_TIME", 3)
    times = pd.date_range(START, periods=10, freq="5min")
    rows = "".join(f"{time},{'ab'[i % 2]},{i + 1},99,1,2\n" for i, time in enumerate(times))
    one, other = read_file(write(tmp_path, "date,code,open,high,low,close\n" + rows + "\n"))
    np.testing.assert_array_equal(one.values[:, 0], [1, 3, 5, 7, 9])
    np.testing.assert_array_equal(other.lines, [3, 5, 7, 9, 11])
    path = save(tmp_path, pa.table({"date": times, **{n: np.arange(1, 11.0) for n in list(TWO)}}), "c.parquet")
    (raw,) = read_file(path)
    np.testing.assert_array_equal(raw.values[:, 0], np.arange(1, 11))
    np.testing.assert_array_equal(raw.lines, np.arange(1, 11))


def test_repairs_that_leave_no_candle(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + "2024-06-18,,1,1,1,1,1\n")
    repairs = RepairsConfig(not_finite="drop")
    with pytest.raises(DataError, match=r"too few candles.* the repairs left none. Leave the file out"):
        read_candles(path, repairs=repairs)
    candles, findings = load_candles(DataConfig(data_path=(path,)), repairs)
    assert not len(candles) and [f.kind for f in findings if f.severity == "error"] == ["short"]


def test_content_hash_tells_candles_apart(tmp_path: Path) -> None:
    hashes = []
    for day in ("2024-06-18", "20240618", "20240619"):
        path = write(tmp_path, with_times(day))
        hashes.append(load_candles(DataConfig(data_path=(path,)), RepairsConfig()).candles.content_hash())
    renamed = path.rename(tmp_path / "other.csv")
    hashes.append(load_candles(DataConfig(data_path=(renamed,)), RepairsConfig()).candles.content_hash())
    assert hashes[0] == hashes[1] != hashes[2] == hashes[3]


def test_only_frames_over_clocks_put_back_may_repeat_an_hour(tmp_path: Path) -> None:
    plain = read_candles(write(tmp_path, with_times("2024-06-18 09:35", "2024-06-18 09:40")))
    clocks = read_candles(write(tmp_path, with_times("2024-11-03T01:30:00-04:00", "2024-11-03T01:00:00-05:00")))
    assert not plain.attrs and clocks.attrs


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary(2), pa.dictionary(pa.int8(), pa.binary())], ids=str
)
def test_columns_of_bytes_are_texts(tmp_path: Path, kind: pa.DataType) -> None:
    n, path = 300, tmp_path / "a.parquet"
    times = pa.array(pd.date_range("2024-01-01", periods=n, freq="5min"))
    columns = {"timestamps": times} | dict.fromkeys(("open", "high", "low", "close"), pa.array([1.0] * n))
    pq.write_table(pa.table(columns | {"symbol": pa.array([b"AB"] * n).cast(kind)}), path)
    assert [raw.symbol for raw in read_file(path)] == ["AB"]
    pq.write_table(pa.table(columns | {"open": pa.array([b"\xfa\xff"] * n).cast(kind)}), path)
    with pytest.raises(DataError, match="open"):
        read_file(path)
