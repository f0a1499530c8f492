import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos.data import Candles, read_candles
from kronos.errors import DataError

HEADER = "timestamps,open,high,low,close,volume,amount\n"
ROW = ",10,11,9,10.5,100,1050\n"
EXPECTED = pd.DatetimeIndex(["2024-06-18 09:35:00", "2024-06-18 09:40:00", "2024-06-18 13:05:00"])


def read(tmp_path: Path, text: str | bytes) -> Candles:
    path = tmp_path / "c.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_candles(path)


def with_times(*times: str) -> str:
    return HEADER + "".join(f'"{time}"{ROW}' for time in times)


@pytest.mark.parametrize(
    "times",
    [
        ["2024-06-18 09:35:00", "2024-06-18 09:40:00", "2024-06-18 13:05:00"],
        ["2024/6/18 9:35", "2024/6/18 9:40", "2024/6/18 13:05"],
        ["2024-06-18T09:35:00", "2024-06-18T09:40:00", "2024-06-18T13:05:00"],
        ["2024-06-18T09:35:00+08:00", "2024-06-18T09:40:00+08:00", "2024-06-18T13:05:00+08:00"],
        ["2024-06-18 09:35:00 -0400", "2024-06-18 09:40:00 -0400", "2024-06-18 13:05:00 -0400"],
        ["2024-06-18 09:35:00+08", "2024-06-18 09:40:00+08", "2024-06-18 13:05:00+08"],
        ["2024-06-18T09:35:00Z", "2024-06-18T09:40:00Z", "2024-06-18T13:05:00Z"],
        ["2024-06-18T09:35:00.000Z", "2024-06-18T09:40:00.000Z", "2024-06-18T13:05:00.000Z"],
        ["1718703300", "1718703600", "1718715900"],
        ["1718703300.0", "1718703600.0", "1718715900.0"],
        ["1718703300000", "1718703600000", "1718715900000"],
        ["1718703300000000", "1718703600000000", "1718715900000000"],
        ["202406180935", "202406180940", "202406181305"],
        ["20240618093500", "20240618094000", "20240618130500"],
    ],
)
def test_timestamps(tmp_path: Path, times: list[str]) -> None:
    candles = read(tmp_path, with_times(*times))
    assert list(candles.timestamps) == list(EXPECTED)
    np.testing.assert_array_equal(candles.calendar[0], [35, 9, 1, 18, 6])  # a Tuesday


def test_hours_without_separators_are_not_epoch_seconds(tmp_path: Path) -> None:
    times = read(tmp_path, with_times("2024061809", "2024061810")).timestamps
    assert list(times) == list(pd.to_datetime(["2024-06-18 09:00", "2024-06-18 10:00"]))


def test_a_file_that_is_not_what_its_name_says(tmp_path: Path) -> None:
    for name in ("c.csv.gz", "c.zip", "c.csv.xz"):
        (tmp_path / name).write_text(with_times("2024-06-18"))
        with pytest.raises(DataError, match="cannot be read as CSV"):
            read_candles(tmp_path / name)


def test_daily_dates(tmp_path: Path) -> None:
    for times in (["2024-06-18", "2024-06-19"], ["20240618", "20240619"], ["2024/6/18", "2024/6/19"]):
        assert list(read(tmp_path, with_times(*times)).timestamps) == list(pd.to_datetime(["2024-06-18", "2024-06-19"]))


def test_a_clock_change_keeps_the_wall_clock_and_the_order(tmp_path: Path) -> None:
    candles = read(tmp_path, with_times("2024-11-03T01:30:00-04:00", "2024-11-03T01:00:00-05:00"))
    assert [f"{time:%H:%M}" for time in candles.timestamps] == ["01:30", "01:00"]


def test_column_order_spaces_and_extra_columns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "note, close ,low,high,open,amount,volume,timestamps\nx,4,3,2,1,6,5,2024-06-18 09:35\n"
    with caplog.at_level(logging.INFO):
        candles = read(tmp_path, text)
    np.testing.assert_array_equal(candles.values, [[1, 2, 3, 4, 5, 6]])
    assert "columns ignored: note" in caplog.text


def test_each_column_is_contiguous_float32(tmp_path: Path) -> None:
    values = read(tmp_path, with_times("2024-06-18 09:35")).values
    assert values.dtype == np.float32 and values.T.flags["C_CONTIGUOUS"]


def test_absent_and_blank_volume_and_amount(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    start = "timestamps,open,high,low,close"
    with caplog.at_level(logging.INFO):
        no_both = read(tmp_path, f"{start}\n2024-06-18,1,2,3,4\n")
        no_amount = read(tmp_path, f"{start},volume\n2024-06-18,1,2,3,4,10\n")
        blank = read(tmp_path, f"{start},volume,amount\n2024-06-18,1,2,3,4,,7\n")
    np.testing.assert_array_equal(no_both.values[0, 4:], [0, 0])
    np.testing.assert_array_equal(no_amount.values[0, 4:], [10, 25])
    np.testing.assert_array_equal(blank.values[0, 4:], [0, 7])
    for note in ("no column volume", "no column amount", "volume is blank in 1 rows"):
        assert note in caplog.text


def test_rows_out_of_order_are_sorted_and_it_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        candles = read(tmp_path, HEADER + "2024-06-19,2,2,2,2,2,2\n2024-06-18,1,1,1,1,1,1\n")
    np.testing.assert_array_equal(candles.values[:, 0], [1, 2])
    assert "sorted" in caplog.text


def test_blank_lines_and_byte_order_mark(tmp_path: Path) -> None:
    candles = read(tmp_path, b"\xef\xbb\xbf" + (with_times("2024-06-18") + "\n\n2024-06-19" + ROW + "\n").encode())
    assert len(candles) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        (HEADER, "has a header but no candles"),
        (HEADER + "\n\n", "has a header but no candles"),
        ("timestamps,open,high,close\n2024-06-18,1,2,3\n", "column low missing; the file has: timestamps, open, high"),
        (HEADER + "2024-06-18,1,1,1,1,1,1\n2024-06-19,1,abc,1,1,1,1\n", "line 3: high is 'abc', not a finite number"),
        (HEADER + "2024-06-18,,1,1,1,1,1\n", "line 2: open is empty, not a finite number"),
        (HEADER + "2024-06-18,1,1,inf,1,1,1\n", "line 2: low is 'inf', not a finite number"),
        (HEADER + "2024-06-18,1,1,1,1,much,1\n", "line 2: volume is 'much', not a finite number"),
        (HEADER + "\n2024-06-18,1,1,1,x,1,1\n", "line 3: close is 'x'"),
        (with_times("2024-06-18", "yesterday"), "line 3: timestamp 'yesterday' cannot be read"),
        (with_times("2024-06-18", ""), "line 3: timestamp '' cannot be read"),
        (with_times("18/06/2024 09:35"), "line 2: timestamp '18/06/2024 09:35' cannot be read"),
        (with_times("2024-13-40"), "line 2: timestamp '2024-13-40' cannot be read"),
        (with_times("1718703300", "17187033"), "line 3: timestamp '17187033' cannot be read"),
        (with_times("12345"), "line 2: timestamp '12345' is neither"),
        (with_times("2024-06-18 09:35", "2024-06-18 09:40Z"), "line 3: .* has a time zone, unlike the first row's"),
        (with_times("2024-06-18", "2024-06-19", "2024-06-18"), "line 4: .* stands already on line 2 .1 duplicate in"),
        (HEADER + "2024-06-18,1,1,1,1,1,1,9,9\n", "more values than the header has columns"),
        (HEADER + "2024-06-18,1\n2024-06-19,1,1,1,1,1,1,9,9\n", "not a well-formed CSV"),
        (b"\xff\xfe\x00\x01", "not UTF-8 text"),
        ("timestamps;open;high;low;close\n2024-06-18;1;2;3;4\n", "It seems to be separated by ';'"),
        ("timestamps,open,high,low,close, close\n2024-06-18,1,2,3,4,5\n", "column close stands more than once"),
        ("timestamps,open,high,low,close,close\n2024-06-18,1,2,3,4,5\n", "column close stands more than once"),
        (HEADER + "2024-06-18,1,1,1,1,1e39,1\n", "volume is '1e39', not a finite number"),
    ],
)
def test_bad_files(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "c.csv"))
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such file .* set data.data_path"):
        read_candles(tmp_path / "none.csv")
    with pytest.raises(DataError, match="this is a folder"):
        read_candles(tmp_path)


def test_content_hash_tells_candles_apart(tmp_path: Path) -> None:
    first, same, other = (
        read(tmp_path, with_times(day)).content_hash() for day in ("2024-06-18", "20240618", "20240619")
    )
    assert first == same != other


def test_offsets_without_minutes_across_a_clock_change(tmp_path: Path) -> None:
    candles = read(tmp_path, with_times("2024-11-03 01:30:00-04", "2024-11-03 01:00:00-05"))
    assert candles.timestamps.tz is None and f"{candles.timestamps[1]:%H:%M}" == "01:00"


def test_real_candles(real_candles: Path) -> None:
    candles = read_candles(real_candles)
    assert len(candles) == 2500 and np.isfinite(candles.values).all()
