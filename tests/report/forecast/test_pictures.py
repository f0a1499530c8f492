from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from kronos.config import load_config
from kronos.data import load_candles, split_candles
from kronos.evaluation.baselines import build_own
from kronos.model import Kronos, KronosTokenizer
from kronos.report.forecast.candle_plot import draw_forecast
from kronos.report.forecast.held_out import choose_origins, draw_held_out_forecasts
from kronos.report.forecast.scene import BANDS, FORECAST_COLOUR, GREEN, RED, Rising
from tests.conftest import GOLDEN
from tests.report.forecast.made_forecast import CANDLES, HISTORY, TRUTH, make_forecast


def draw(path: Path, truth: pd.DataFrame | None = None, n_paths: int = 30, rising: Rising = "hollow") -> np.ndarray:
    draw_forecast(HISTORY, make_forecast(n_paths), truth, path, "title", rising)
    return imread(path)[..., :3]


def count_pixels(picture: np.ndarray, colour: str, opacity: float = 1.0) -> int:
    expected = opacity * np.array(to_rgb(colour)) + 1 - opacity
    return int((np.abs(picture - expected).max(axis=-1) < 0.01).sum())


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures saved so far."""
    saved: list[Figure] = []
    monkeypatch.setattr(
        "kronos.report.forecast.candle_plot.write_png", lambda figure, path: (saved.append(figure), path.touch())
    )
    return saved


def test_picture_size_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "picture.png"
    assert draw(path).shape == (700, 1200, 3)
    assert [file.name for file in path.parent.iterdir()] == ["picture.png"]


def test_truth_known_wholly_partly_and_not_at_all(figures: list[Figure], tmp_path: Path) -> None:
    expected_drawn, n_candles = [], []
    for truth in (None, TRUTH[:0], TRUTH[:5], TRUTH):
        draw_forecast(HISTORY, make_forecast(), truth, tmp_path / "a.png", "title")
        labels = [text.get_text() for text in figures[-1].legends[0].get_texts()]
        expected_drawn.append("Forecast: mean candle" in labels)
        n_candles.append([len(container) for container in figures[-1].axes[0].containers])
    assert expected_drawn == [True, True, True, False]
    assert n_candles == [[40, 20], [40, 20], [45, 15], [60, 0]]


def test_bands_only_with_several_paths(tmp_path: Path) -> None:
    several, one = draw(tmp_path / "a.png"), draw(tmp_path / "b.png", n_paths=1)
    opacity = BANDS[0][2]
    assert count_pixels(several, FORECAST_COLOUR, opacity) > 2000
    assert count_pixels(one, FORECAST_COLOUR, opacity) < 100
    assert count_pixels(one, FORECAST_COLOUR) > 500


@pytest.mark.parametrize("rising, colour, other", [("red", RED, GREEN), ("green", GREEN, RED)])
def test_colour_of_rising_candles(rising: Rising, colour: str, other: str, tmp_path: Path) -> None:
    history = HISTORY.assign(open=HISTORY["low"], close=HISTORY["high"])
    draw_forecast(history, make_forecast(), None, tmp_path / "a.png", "title", rising)
    picture = imread(tmp_path / "a.png")[:650, :, :3]  # without the legend
    assert count_pixels(picture, colour) > 500 and count_pixels(picture, other) == 0
    assert count_pixels(draw(tmp_path / "b.png"), colour) == 0


@pytest.mark.parametrize("scale", [1e-9, 1e-7, 1.0, 2000.0])
def test_price_labels_are_plain_numbers_in_full(figures: list[Figure], tmp_path: Path, scale: float) -> None:
    columns = ["open", "high", "low", "close"]
    history, truth = HISTORY.copy(), TRUTH.copy()
    history[columns] *= scale
    truth[columns] *= scale
    draw_forecast(history, make_forecast(history=history, truth=truth), truth, tmp_path / "a.png", "title")
    axes = figures[-1].axes[0]
    figures[-1].draw_without_rendering()
    assert axes.yaxis.get_offset_text().get_text() == ""
    labels = [float(tick.get_text()) for tick in axes.get_yticklabels()]
    assert labels == pytest.approx(list(axes.get_yticks())) and len(set(labels)) == len(labels)


def test_time_labels_close_gaps_and_do_not_overlap(figures: list[Figure], tmp_path: Path) -> None:
    draw_forecast(HISTORY, make_forecast(), None, tmp_path / "a.png", "title")
    figures[-1].draw_without_rendering()
    ticks = figures[-1].axes[1].get_xticklabels()
    edges = [(tick.get_window_extent().x0, tick.get_window_extent().x1) for tick in ticks]
    assert all(right < left for (_, right), (left, _) in pairwise(edges))
    assert edges[0][0] >= 0 and edges[-1][1] <= 1200
    assert [tick.get_position()[0] for tick in ticks][-1] == 59  # the 60th candle
    assert ticks[-1].get_text() == f"{TRUTH.index[-1]:%Y-%m-%d\n%H:%M}"


@pytest.mark.slow
@pytest.mark.parametrize("n_history, horizon", [(1, 1), (3, 1), (500, 2)])
def test_few_and_many_candles(tmp_path: Path, n_history: int, horizon: int) -> None:
    candles = pd.concat([CANDLES] * 10)[: n_history + horizon]
    candles.index = pd.date_range("2024-01-01", periods=len(candles), freq="D")
    history, truth = candles[:n_history], candles[n_history:]
    draw_forecast(history, make_forecast(history=history, truth=truth), truth, tmp_path / "a.png", "title")
    assert count_pixels(imread(tmp_path / "a.png")[..., :3], FORECAST_COLOUR) > 20


def test_constant_prices_and_no_volume(figures: list[Figure], tmp_path: Path) -> None:
    flat = CANDLES.assign(open=5.0, high=5.0, low=5.0, close=5.0, volume=0.0)
    forecast = make_forecast(1, flat[:40], flat[40:60])
    forecast.paths[..., :4] = 5 * (1 + 1e-15)
    draw_forecast(flat[:40], forecast, flat[40:60], tmp_path / "a.png", "title")
    prices, volumes = figures[-1].axes
    assert prices.get_ylim() == pytest.approx((4.95, 5.05))
    assert volumes.get_ylim() == (0, 1) and list(volumes.get_yticks()) == [0]


def test_title_is_shown_as_it_is_and_not_cut_off(figures: list[Figure], tmp_path: Path) -> None:
    for title in (r"$\frac{ a_b <b>", "W" * 300, "long words " * 50, "ALL CAPITALS, then small letters " * 20):
        draw_forecast(HISTORY, make_forecast(), None, tmp_path / "a.png", title)
        figures[-1].draw_without_rendering()  # $ … would not parse
        text = next(child for child in figures[-1].axes[0].get_children() if str(child).startswith("Text(0.0, 1.0"))
        assert text.get_window_extent().x1 <= 1200
        assert text.get_text() == title or (title[:20] in text.get_text() and text.get_text().endswith("…"))


def test_origins_are_spread_over_the_split_and_know_only_what_came_before(tiny_config: Path) -> None:
    config = load_config(tiny_config)
    candles, _ = load_candles(config.data, config.repairs)
    split = split_candles(candles, config.data)["test"]
    origins = choose_origins(split.starts, config.data.lookback_window, 3)
    assert origins[0] == len(candles) - split.rows - 1 and origins[-1] == len(candles) - 1 - config.data.predict_window
    assert len(choose_origins(split.starts, config.data.lookback_window, 100)) == len(split)


def test_forecasts_over_clocks_put_back_are_drawn(tiny_config: Path) -> None:
    config = load_config(tiny_config)
    candles, _ = load_candles(config.data, config.repairs)
    splits = split_candles(candles, config.data)
    changed = replace(candles.symbols[0], offset_rows=(0, splits["test"].starts[0] + 3), offsets=(0, -3_600_000_000))
    moved = replace(candles, symbols=(changed,))
    models = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer"), Kronos.from_pretrained(GOLDEN / "predictor")
    report = config.model_paths.run_folder.report
    draw_held_out_forecasts(config, moved, splits, build_own(config, *models), report)
    assert len(report.forecasts) == 2
