"""Frames under the names of other libraries are the same candles."""

import logging
from collections.abc import Callable

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from kronos.candles import CANDLE_COLUMNS
from kronos.data.files.options import ReadingOptions
from kronos.errors import DataError
from kronos.forecast.inputs import build_input, list_frames

TIMES = pd.bdate_range("2024-01-02", periods=30)
CLOSE = 10 + np.sin(np.arange(30.0))
FRAME = pd.DataFrame(
    {"open": CLOSE, "high": CLOSE + 0.2, "low": CLOSE - 0.2, "close": CLOSE + 0.1, "volume": 7.0, "amount": 9.0},
    index=TIMES,
)
CHINESE = dict(zip(CANDLE_COLUMNS, ("开盘", "最高", "最低", "收盘", "成交量", "成交额")))


def with_column(name: str, times: object) -> pd.DataFrame:
    return FRAME.reset_index(drop=True).assign(**{name: times})


def with_ticker(first: str) -> pd.DataFrame:
    frame = FRAME.rename(columns=str.title)
    order = ("Price", "Ticker") if first == "Price" else ("Ticker", "Price")
    columns = [("AAPL", name) if first == "Ticker" else (name, "AAPL") for name in frame.columns]
    return frame.set_axis(pd.MultiIndex.from_tuples(columns, names=order), axis=1)


FRAMES: dict[str, Callable[[], pd.DataFrame]] = {
    "ours": lambda: FRAME,
    "capitals": lambda: FRAME.rename(columns=str.title),
    "all capitals": lambda: FRAME.rename(columns=str.upper),
    "letters": lambda: FRAME.rename(columns={"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}),
    "Chinese": lambda: FRAME.rename(columns=CHINESE).rename_axis("日期"),
    "Chinese, dates in a column": lambda: with_column("日期", TIMES.date).rename(columns=CHINESE),
    "yfinance": lambda: with_ticker("Price"),
    "yfinance, by ticker": lambda: with_ticker("Ticker"),
    "periods": lambda: FRAME.set_axis(TIMES.to_period("D")),
    "periods in a column": lambda: with_column("date", TIMES.to_period("D")),
    "compact dates": lambda: with_column("trade_date", TIMES.strftime("%Y%m%d")),
    "compact dates as numbers": lambda: with_column("date", TIMES.strftime("%Y%m%d").astype(int)),
    "compact dates as index": lambda: FRAME.set_axis(TIMES.strftime("%Y%m%d")),
    "texts as index": lambda: FRAME.set_axis(TIMES.strftime("%Y-%m-%d").rename("Date")),
    "milliseconds": lambda: with_column("timestamp", TIMES.as_unit("ms").asi8),
    "date and time": lambda: with_column("date", TIMES.strftime("%Y-%m-%d")).assign(time="00:00:00"),
    "newest first": lambda: FRAME[::-1],
    "newest first, as texts": lambda: with_column("trade_date", TIMES.strftime("%Y%m%d"))[::-1],
    "dates as index beside milliseconds of another zone": lambda: FRAME.set_axis(TIMES.strftime("%Y%m%d")).assign(
        time=(TIMES - pd.Timedelta("8h")).as_unit("ms").asi8
    ),
    "akshare": lambda: (
        with_column("日期", TIMES.date).rename(columns=CHINESE).assign(股票代码="600977", 振幅=1.0, 换手率=0.4)
    ),
    "tushare": lambda: (
        FRAME[::-1]
        .rename(columns={"volume": "vol"})
        .assign(ts_code="A", trade_date=TIMES[::-1].strftime("%Y%m%d"), pct_chg=0.1)
        .reset_index(drop=True)
    ),
    "baostock": lambda: (
        FRAME.astype(str).assign(date=TIMES.strftime("%Y-%m-%d"), code="sh.600977").reset_index(drop=True)
    ),
    "alpaca": lambda: FRAME.assign(symbol="AAPL", timestamp=TIMES, trade_count=3, vwap=1.0).set_index(
        ["symbol", "timestamp"]
    ),
    "MetaTrader": lambda: (
        with_column("time", TIMES.as_unit("s").asi8).rename(columns={"volume": "tick_volume"}).assign(spread=1)
    ),
    "our column": lambda: with_column("timestamps", TIMES),
    "index of symbol and date": lambda: FRAME.assign(symbol="A", date=TIMES).set_index(["symbol", "date"]),
    "other columns": lambda: FRAME.assign(pct_chg=1.0, name="x", Volume=3.0),
    "categories": lambda: with_column("date", TIMES).assign(code=pd.Categorical(["A"] * 30)),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames_under_other_names(kind: str) -> None:
    read = build_input("my", FRAMES[kind](), None, None, 3, None)
    expected = build_input("my", FRAME, None, None, 3, None)
    np.testing.assert_array_equal(read.candles, expected.candles)
    assert (read.timestamps == expected.timestamps).all() and (read.future == expected.future).all()


@pytest.mark.parametrize("kind", FRAMES)
def test_with_times_of_their_own(kind: str) -> None:
    if kind.startswith(("newest first", "tushare")):
        return  # the order of the rows is then that of the times
    read = build_input("my", FRAMES[kind](), TIMES, None, 3, None)
    np.testing.assert_array_equal(read.candles, FRAME.to_numpy())


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (
            pd.concat([with_ticker("Price"), with_ticker("Price").rename(columns={"AAPL": "MSFT"})], axis=1),
            "df.xs('AAPL', axis=1, level=1)",
        ),
        (
            pd.concat([FRAME.assign(Code=code) for code in "AB"]),
            "of 2 symbols (A, B, …), told apart by the column Code",
        ),
        (FRAME.reset_index(drop=True), "the candles have no times"),
        (with_column("date", TIMES.strftime("%Y%m%d")).assign(date="2024"), "'2024'"),
        (FRAME.rename(columns={"close": "last price of all"}), "column close missing"),
        (with_column("date", ["20240102"] * 29 + ["soon"]), "row 29"),
    ],
)
def test_what_a_frame_leaves_open_is_refused(frame: pd.DataFrame, text: str) -> None:
    with pytest.raises(DataError) as error:
        build_input("my", frame, None, None, 3, None)
    assert text in str(error.value) and str(error.value).startswith("my")


def test_what_was_assumed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "kronos"):
        build_input("my", FRAMES["milliseconds"]().rename(columns={"volume": "vol"}), None, None, 3, None)
    assert "vol → volume" in caplog.text and "milliseconds since 1970" in caplog.text


TABLES: dict[str, Callable[[pd.DataFrame], object]] = {
    "polars": pl.from_pandas,
    "PyArrow's table": pa.Table.from_pandas,
    "PyArrow's reader": lambda df: pa.Table.from_pandas(df).to_reader(),
    "DuckDB's relation": lambda df: duckdb.sql("select * from df"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_other_libraries(kind: str) -> None:
    frame = with_column("日期", TIMES).rename(columns=CHINESE)
    read = build_input("my", TABLES[kind](frame), None, None, 3, None)
    np.testing.assert_array_equal(read.candles, FRAME.to_numpy())
    assert (read.timestamps == TIMES).all()


@pytest.mark.parametrize("table", [pl.Series([1.0, 2.0]), FRAME.to_numpy(), pl.from_pandas(FRAME).lazy()])
def test_what_is_no_table_is_refused(table: object) -> None:
    with pytest.raises(DataError, match=f"^my: .*{type(table).__name__}"):
        build_input("my", table, None, None, 3, None)  # type: ignore[arg-type]


def test_one_table_is_no_list_of_tables() -> None:
    with pytest.raises(DataError, match="expected a list of frames, one for each series, got one frame"):
        list_frames(pl.from_pandas(FRAME))  # which is iterable: its columns


OPENING = pd.date_range("2024-01-02 01:35", periods=30, freq="5min")  # UTC


@pytest.mark.parametrize(
    ("frame", "timezone"),
    [
        (FRAME.set_axis(OPENING.tz_localize("UTC")), "Asia/Shanghai"),
        (FRAME.set_axis(OPENING), "UTC:Asia/Shanghai"),
        (with_column("time", OPENING.as_unit("ms").asi8), "Asia/Shanghai"),
        (with_column("time", OPENING.strftime("%Y-%m-%d %H:%M")), "UTC:Asia/Shanghai"),
        (with_column("time", OPENING.tz_localize("UTC")), "Asia/Shanghai"),
    ],
)
def test_times_in_the_zone_of_the_market(frame: pd.DataFrame, timezone: str) -> None:
    read = build_input("my", frame, None, None, 3, None, ReadingOptions(timezone=timezone))
    assert str(read.timestamps[0])[:16] == "2024-01-02 09:35"


def test_columns_and_times_as_the_options_name_them() -> None:
    frame = with_column("bar_end", TIMES.strftime("%d/%m/%Y")).rename(columns={"close": "last price"})
    options = ReadingOptions({"timestamps": "bar_end", "close": "last price"}, time_format="%d/%m/%Y")
    read = build_input("my", frame, None, None, 3, None, options)
    np.testing.assert_array_equal(read.candles, FRAME.to_numpy())
    assert (read.timestamps == TIMES).all()


@pytest.mark.parametrize("others", [["amount"], []])
def test_a_volume_that_may_be_missed_is_a_warning(others: list[str], caplog: pytest.LogCaptureFixture) -> None:
    frame = FRAME.rename(columns={"volume": "vol of the day"}).drop(columns=others)
    build_input("my", frame, None, None, 3, None)
    (warning,) = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "df.rename(columns={'vol of the day': 'volume'})" in warning
