from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.image import imread

from kronos.config import load_config
from kronos.data import read_candles, split_rows
from kronos.report.candle_plot import draw_forecast
from kronos.report.run_report import choose_origins, to_frame
from tests.conftest import GOLDEN

CANDLES = pd.read_csv(GOLDEN / "candles.csv", parse_dates=["timestamps"], index_col="timestamps")


def draw(path: Path, forecast: pd.DataFrame, truth: pd.DataFrame | None) -> np.ndarray:
    draw_forecast(CANDLES[:40], forecast, truth, path, "title")
    return imread(path)


def test_picture_size_and_content(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "picture.png"
    with_truth = draw(path, CANDLES[40:60], CANDLES[40:60])
    assert with_truth.shape[:2] == (700, 1200)
    without = draw(path, CANDLES[40:60], None)
    other = draw(path, CANDLES[40:60] * 1.1, None)
    assert not np.array_equal(with_truth, without) and not np.array_equal(without, other)
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]


def test_flat_and_empty_volume(tmp_path: Path) -> None:
    flat = CANDLES[40:60].assign(open=5.0, high=5.0, low=5.0, close=5.0, volume=0.0)
    assert draw(tmp_path / "flat.png", flat, flat).shape[:2] == (700, 1200)


def test_origins_are_spread_over_the_split_and_know_only_what_came_before(tiny_config: Path) -> None:
    config = load_config(tiny_config)
    candles = read_candles(config.data.data_path)
    split = split_rows(len(candles), config.data, "made")["test"]
    origins = choose_origins(split, config.data.lookback_window, 3)
    assert origins[0] == split.start - 1 and origins[-1] == split.stop - 1 - config.data.predict_window
    assert len(choose_origins(split, config.data.lookback_window, 100)) == len(split.window_starts)
    assert to_frame(candles).index.equals(candles.timestamps)
