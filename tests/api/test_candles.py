"""Candles as Python gives them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import kronos
from kronos.api.candles import name_sources
from kronos.errors import DataError
from kronos.urls import Url
from tests.conftest import ROOT

OPTION = re.compile(r"--(?!help)")  # of a command
SAMPLE = ROOT / "data" / "synthetic_5min.csv"
FRAME = pd.read_csv(SAMPLE, nrows=400, parse_dates=["timestamps"]).set_index("timestamps")


def test_paths_urls_and_several_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert name_sources(SAMPLE, tmp_path) == name_sources(str(SAMPLE), tmp_path) == [SAMPLE]
    assert name_sources([SAMPLE, "b.csv"], tmp_path) == [SAMPLE, Path("b.csv")]
    assert name_sources((ROOT / "data").glob("synthetic_*.csv"), tmp_path) == [SAMPLE]
    assert name_sources("https://a.b/c.csv", tmp_path) == [Url("https://a.b/c.csv")]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert name_sources("~/my.csv", tmp_path) == [tmp_path / "my.csv"]
    monkeypatch.chdir(tmp_path)
    assert name_sources(".", tmp_path) == [tmp_path] and not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "frames",
    [FRAME, pl.from_pandas(FRAME.reset_index()), {"600977": FRAME, "BTC/USDT": 2 * FRAME}],
    ids=lambda value: type(value).__name__,
)
def test_frames_are_saved(frames: Any, tmp_path: Path) -> None:
    (folder,) = name_sources(frames, tmp_path)
    assert folder.parent == tmp_path and len([*folder.iterdir()]) == (2 if isinstance(frames, dict) else 1)


@pytest.mark.parametrize(
    ("candles", "message"),
    [
        (3, "data: expected a path, several paths, a frame, or a dict with a frame for each symbol, got int."),
        (None, "got NoneType"),
        ([], "data: the list is empty"),
        ({}, "there are no frames of candles"),
        ("", "data: the path is empty"),
        ([FRAME, FRAME], "data: a list of frames has no symbols. Give a dict"),
        ([3], "data: expected a path or a URL in the list, got int."),
        (FRAME["close"], "data: this Series cannot be read as a table"),
        ({"a": SAMPLE}, "a: expected a frame of candles"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_candles(candles: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        name_sources(candles, tmp_path)
    assert message in str(error.value)


ODD = {
    "upper case": FRAME.rename(columns=str.title),
    "Chinese": FRAME.rename(
        columns={"open": "开盘", "high": "最高", "low": "最低", "close": "收盘", "volume": "成交量"}
    ),
    "more columns": FRAME.assign(note="x", other=1.0),
    "without volume": FRAME[["open", "high", "low", "close"]],
    "a zone": FRAME.tz_localize("Asia/Shanghai"),
    "texts": FRAME.reset_index().astype(str),
    "newest first": FRAME[::-1],
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_frames_are_read_and_stay_as_they_are(kind: str) -> None:
    frame, before = ODD[kind], ODD[kind].copy(deep=True)
    checked = kronos.check(frame, lookback=24, horizon=6)
    assert checked.is_usable and len(checked.check.audited.candles) == 400
    pd.testing.assert_frame_equal(frame, before)
    np.testing.assert_array_equal(checked.check.audited.candles.values[:, 3], FRAME["close"].astype(np.float32))
