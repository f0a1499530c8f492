"""Frames saved as files are the same candles."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from kronos.candles import CANDLE_COLUMNS
from kronos.data import read_candles, read_frames, save_candles
from kronos.data.files.sources import find_files
from kronos.errors import DataError
from tests.forecast.test_frames import FRAME, FRAMES, TIMES


@pytest.mark.parametrize("kind", sorted(FRAMES.keys() - {"other columns"}))  # a file may not have volume beside Volume
def test_frames_under_other_names(kind: str, tmp_path: Path) -> None:
    read = read_candles(save_candles(FRAMES[kind](), tmp_path))
    np.testing.assert_array_equal(read.to_numpy(), FRAME.astype(np.float32).to_numpy())
    assert (read.index == TIMES).all()


@pytest.mark.parametrize(
    "convert",
    [
        pl.from_pandas,
        pa.Table.from_pandas,
        lambda df: pa.Table.from_pandas(df).to_reader(),
        lambda df: duckdb.sql("select * from df"),
    ],
)
def test_tables_of_other_libraries(convert: Callable[[pd.DataFrame], pl.DataFrame], tmp_path: Path) -> None:
    read = read_candles(save_candles(convert(FRAME.rename_axis("date").reset_index()), tmp_path))
    np.testing.assert_array_equal(read.to_numpy(), FRAME.astype(np.float32).to_numpy())


@pytest.mark.parametrize("nesting", [["Price", "Ticker"], ["Ticker", "Price"]])
def test_symbols_side_by_side(nesting: list[str], tmp_path: Path) -> None:
    frames = {"AAPL": FRAME.rename(columns=str.title), "MSFT": 2 * FRAME[3:].rename(columns=str.title)}
    side_by_side = pd.concat(frames, axis=1, names=["Ticker", "Price"]).reorder_levels(nesting, axis=1)
    read, errors = read_frames(find_files([save_candles(side_by_side, tmp_path)]))
    assert not errors and [each.symbol for each in read] == ["AAPL", "MSFT"]
    np.testing.assert_array_equal(read[1].frame[list(CANDLE_COLUMNS)], 2 * FRAME[3:].astype(np.float32))


def test_a_frame_for_each_symbol(tmp_path: Path) -> None:
    frames = {"BTC/USDT": FRAME, "BTC_USDT": pl.from_pandas(2 * FRAME.rename_axis("date").reset_index().iloc[:, 1:])}
    frames["BTC_USDT"] = 2 * FRAME.assign(Code="is not used")[list(CANDLE_COLUMNS)]
    folder = save_candles(frames, tmp_path / "frames")
    read, errors = read_frames(find_files([folder]))
    assert not errors and [each.symbol for each in read] == ["BTC/USDT", "BTC_USDT"]
    assert save_candles(frames, tmp_path / "frames") == folder  # the same content, the same folder
    assert save_candles(frames | {"C": FRAME}, tmp_path / "frames") != folder
    assert len(list((tmp_path / "frames").iterdir())) == 2  # nothing else is left


@pytest.mark.parametrize("times", [TIMES.tz_localize("Asia/Shanghai"), TIMES])
def test_the_zone_of_times_is_kept(times: pd.DatetimeIndex, tmp_path: Path) -> None:
    (read,), _ = read_frames(find_files([save_candles(FRAME.set_axis(times), tmp_path)]))
    assert read.kind and read.kind.zones == ({"+08:00"} if times.tz else frozenset())
    assert (read.frame.index == TIMES).all()


@pytest.mark.parametrize(
    ("frames", "text"),
    [({}, "no frames of candles"), ({"A": [1]}, "A: expected a frame"), (FRAME[:0], "the frame holds no candles")],
)
def test_what_is_no_frame_is_refused(frames: object, text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=text):
        save_candles(frames, tmp_path)  # type: ignore[arg-type]
