"""Origins on a candle that is locked at its price limit."""

from pathlib import Path

import numpy as np
import pandas as pd

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import CandleSet, load_candles
from kronos.evaluation.origins.locked import find_locked_origins
from kronos.evaluation.origins.walk_forward import Origins


def write(folder: Path, name: str, closes: list[float], freq: str = "1D") -> None:
    times = pd.date_range("2024-03-04", periods=len(closes), freq=freq)
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), closes))
    frame.assign(timestamps=times, volume=1.0, amount=1.0).to_csv(folder / f"{name}.csv", index=False)


def load(path: Path) -> CandleSet:
    return load_candles(DataConfig(data_path=(path,), lookback_window=2, predict_window=1), RepairsConfig())[0]


def test_boards_by_symbol_and_by_key(tmp_path: Path) -> None:
    """10.15 × 1.1 = 11.165 is 11.17, also in single precision."""
    write(tmp_path, "600000.SH", [10.0, 10.15, 11.17, 10.05, 10.1])
    write(tmp_path, "mine", [10.0, 11.0, 9.9, 9.8, 9.9])
    candles = load(tmp_path)
    origins = Origins(candles, np.flatnonzero(np.tile([False, True, True, True, False], 2)), 2, 1)
    assert find_locked_origins(origins, None).tolist() == [False, True, True, False, False, False]
    assert find_locked_origins(origins, "main").tolist() == [False, True, True, True, True, False]
    assert not find_locked_origins(origins, "unlimited").any()


def test_weeks_have_no_limit(tmp_path: Path) -> None:
    write(tmp_path, "600000.SH", [10.0, 11.0, 12.1, 12.0, 12.1], "7D")
    assert not find_locked_origins(Origins(load(tmp_path), np.array([1, 2, 3]), 2, 1), None).any()
