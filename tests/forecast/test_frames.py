"""Frames under the names of other libraries are the same candles."""

import logging
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from kronos.candles import CANDLE_COLUMNS
from kronos.errors import DataError
from kronos.forecast.inputs import build_input

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
    assert "vol as volume" in caplog.text and "milliseconds since 1970" in caplog.text
