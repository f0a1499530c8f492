"""Candles that an LSTM can learn, and the LSTM trained on them as a run would."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from kronos.config import Config, load_config
from kronos.data import CandleSet, Split, WindowDataset, load_candles, split_candles
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput
from kronos.evaluation.forecasters.lstm import build_lstm

SMALL = [
    "evaluation.lstm.hidden_size=16",
    "evaluation.lstm.learning_rate=0.01",
    "evaluation.lstm.max_steps=20",
]


class Run(NamedTuple):
    config: Config
    candles: CandleSet
    splits: dict[str, Split]
    windows: dict[str, WindowDataset]
    folder: Path


def prepare(config_path: Path, *overrides: str) -> Run:
    config = load_config(config_path, [*SMALL, *overrides])
    candles, _ = load_candles(config.data, config.repairs)
    splits = split_candles(candles, config.data)
    windows = {
        name: WindowDataset(candles, split.starts, config.data, split.symbol_bounds) for name, split in splits.items()
    }
    return Run(config, candles, splits, windows, config.model_paths.base_save_path / "evaluation" / "lstm")


def train(run: Run) -> Forecaster:
    return build_lstm(run.config, run.windows, run.candles, run.folder)


def list_known(run: Run, split: str = "test") -> tuple[list[ForecastInput], np.ndarray]:
    """What is known at each origin of a split, and the closes that came (N, H)."""
    data, known, actual = run.config.data, [], []
    starts = run.splits[split].starts
    for start in starts.take(np.arange(len(starts))).tolist():
        window = run.candles.frame(start, start + data.window)
        known.append(ForecastInput("", window[: data.lookback_window], window.index[data.lookback_window :]))
        actual.append(window["close"].to_numpy(np.float64)[data.lookback_window :])
    return known, np.stack(actual)


def write_predictable_candles(path: Path, n_days: int = 60) -> None:
    """Eight candles a day whose log return is the time of day's own, ± 1 %, and a little noise of 0.1 %."""
    times = pd.DatetimeIndex(
        [
            day + pd.Timedelta(hours=9, minutes=30 * i)
            for day in pd.bdate_range("2024-01-01", periods=n_days)
            for i in range(8)
        ]
    )
    pattern = 0.01 * np.array([1, -1, -1, 1, 1, 1, -1, -1])
    returns = np.tile(pattern, n_days) + np.random.default_rng(0).normal(0, 0.001, 8 * n_days)
    closes = 20 * np.exp(returns.cumsum())
    opens = np.append(20.0, closes[:-1])
    frame = pd.DataFrame({"open": opens, "high": np.maximum(opens, closes), "low": np.minimum(opens, closes)})
    frame = frame.assign(close=closes, volume=100.0, amount=2000.0).set_axis(times).rename_axis("timestamps")
    frame.to_csv(path)
