import numpy as np
import pandas as pd
import pytest

from kronos.report.forecast.candle_plot import _shorten
from kronos.report.forecast.scene import build_scene, label_times
from tests.report.forecast.made_forecast import HISTORY, TRUTH, make_forecast


@pytest.mark.parametrize(
    "freq, expected",
    [
        ("D", "2024-03-09"),
        ("W", "2024-03-10"),
        ("5min", "2024-03-09\n00:00"),
        ("20s", "2024-03-09\n00:00:00"),
    ],
)
def test_labels_suit_the_interval(freq: str, expected: str) -> None:
    assert label_times(pd.date_range("2024-03-09", periods=30, freq=freq))[0] == expected


def test_the_hour_that_comes_twice_has_two_labels() -> None:
    hours = pd.date_range("2024-11-03", periods=5, freq="h", tz="America/New_York")
    assert len(set(label_times(hours))) == 5


def test_a_clock_put_back_marks_what_it_shows_again() -> None:
    """Without zones; each position of the page has a label of its own."""
    hours = pd.DatetimeIndex(["2024-11-03 00:00", "2024-11-03 01:00", "2024-11-03 01:00", "2024-11-03 02:00"])
    labels = label_times(hours)
    assert labels[1:3] == ["2024-11-03\n01:00", "2024-11-03\n01:00 (2)"] and len(set(labels)) == 4


def test_the_forecast_begins_where_the_truth_ends() -> None:
    forecast = make_forecast()
    scene = build_scene(HISTORY, forecast, TRUTH[:7])
    pd.testing.assert_frame_equal(scene.expected, forecast.mean[7:])
    assert len(scene.known) == 47 and len(scene.labels) == 60 and scene.n_history == 40
    assert scene.fan_positions[0] == 40 and scene.fan_positions[-1] == 59


def test_the_fan_opens_at_the_last_close() -> None:
    scene = build_scene(HISTORY, make_forecast(), None)
    assert (scene.opened_fan.iloc[0] == HISTORY["close"].iloc[-1]).all()
    np.testing.assert_array_equal(scene.opened_fan[1:], scene.close)


def test_everything_drawn_is_in_range() -> None:
    forecast = make_forecast()
    scene = build_scene(HISTORY, forecast, TRUTH)
    low, high = scene.price_range()
    assert low < min(HISTORY["low"].min(), TRUTH["low"].min(), forecast.quantile(0.05)["close"].min())
    assert high > max(HISTORY["high"].max(), TRUTH["high"].max(), forecast.quantile(0.95)["close"].max())
    assert scene.volume_top() > max(HISTORY["volume"].max(), forecast.quantile(0.95)["volume"].max())


def test_labels_in_chinese() -> None:
    scene = build_scene(HISTORY, make_forecast(), TRUTH, "zh")
    assert (scene.median_label, scene.origin_label) == ("预测：30 条路径的中位数", "预测起点（其后为实际走势）")
    assert build_scene(HISTORY, make_forecast(1), None, "zh").expected_label == "预测：单条路径的 K 线"


def test_one_path_promises_no_quantiles() -> None:
    scene = build_scene(HISTORY, make_forecast(1), None)
    assert scene.bands == () and "median" not in scene.median_label and "mean" not in scene.expected_label


@pytest.mark.parametrize(
    "value, text", [(0, "0"), (0.02, "0.02"), (999, "999"), (20000, "20k"), (1.5e6, "1.5M"), (3e9, "3B")]
)
def test_volume_is_written_short(value: float, text: str) -> None:
    assert _shorten(value) == text
