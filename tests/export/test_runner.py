"""The runner of exported models computes what the package does, with NumPy alone."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from kronos.candles import compute_calendar
from kronos.data import Statistics
from kronos.export import runner
from kronos.forecast.coherence import find_price_floor, repair_candles
from kronos.forecast.sampling import Sampling, draw_path_uniforms, sample
from tests.conftest import ROOT

RNG = np.random.default_rng(0)


def test_calendar_statistics_and_random_numbers_are_those_of_the_package() -> None:
    times = pd.DatetimeIndex(["1969-12-31 23:59", "1970-01-01", "2024-02-29 09:35", "2024-12-31 15:00"])
    assert (runner.compute_calendar(times.to_numpy()) == compute_calendar(times)).all()
    candles = np.abs(RNG.normal(size=(9, 6))) * [1e-5, 1, 10, 1e4, 0, 1e9]
    own = Statistics.compute(candles.copy())
    np.testing.assert_array_equal(runner.measure(candles), [own.mean, own.scale])
    for symbol in ("", "AAA"):
        drawn = draw_path_uniforms(5, times[0], slice(0, 3), 4, symbol).numpy()
        assert (runner.draw_uniforms(5, times[0].to_datetime64(), 3, 4, symbol) == drawn).all()


@pytest.mark.parametrize("sampling", [(0.0, 0, 1.0), (1.0, 0, 1.0), (0.7, 5, 1.0), (1.3, 0, 0.9), (1.0, 40, 0.001)])
def test_tokens_are_chosen_as_in_the_package(sampling: tuple[float, int, float]) -> None:
    logits, uniforms = RNG.normal(0, 3, (400, 64)).astype(np.float32), RNG.random(400, np.float32)
    expected = sample(torch.from_numpy(logits), Sampling(*sampling), torch.from_numpy(uniforms))
    assert (runner.choose(logits, uniforms, *sampling) == expected.numpy()).all()


@pytest.mark.parametrize("lowest", [1.0, -1.0, 0.0])
def test_candles_are_repaired_as_in_the_package(lowest: float) -> None:
    known, candles = RNG.uniform(lowest, 3, (20, 6)), RNG.normal(0, 1, (5, 7, 6))
    expected, _ = repair_candles(candles, find_price_floor(known[:, :4]))
    np.testing.assert_array_equal(runner.repair(candles, known), expected)


CANDLES, TIMES = np.ones((4, 6)), np.arange("2024-01-02", "2024-01-08", dtype="datetime64[D]").astype("datetime64[us]")


@pytest.mark.parametrize(
    ("candles", "times", "future", "message"),
    [
        (CANDLES[:, :5], TIMES[:4], TIMES[4:], r"candles \(L, 6\)"),
        (CANDLES * np.nan, TIMES[:4], TIMES[4:], "all finite"),
        (CANDLES, TIMES[:3], TIMES[4:], "a time for each of 4"),
        (CANDLES, TIMES[:4], TIMES[:0], "1 to 7 future times"),
        (CANDLES, TIMES[:4], TIMES[3:], "must ascend"),
        (CANDLES, TIMES[3::-1], TIMES[4:], "must ascend"),
        (CANDLES, TIMES[:4], np.array(["NaT"], "datetime64[us]"), "must ascend"),
    ],
)
def test_the_runner_explains_what_it_cannot_forecast(candles: Any, times: Any, future: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runner.check(candles, times, future, window=8)


def test_the_runner_refuses_times_with_a_zone_and_impossible_draws() -> None:
    times = pd.date_range("2024-01-02 09:35", periods=3, freq="5min")
    assert (runner.to_times(list(times)) == times.to_numpy()).all()
    with pytest.raises(ValueError, match="have a time zone"):  # NumPy would take 09:35 in Shanghai for 01:35
        runner.to_times(times.tz_localize("Asia/Shanghai"))
    runner.check_draws(1, 0, 0.0, 0, 1.0)
    for draws in (
        (0, 0, 1, 0, 1),
        (1, -1, 1, 0, 1),
        (1, 0, -1, 0, 1),
        (1, 0, np.nan, 0, 1),
        (1, 0, 1, -1, 1),
        (1, 0, 1, 0, 0),
    ):
        with pytest.raises(ValueError, match="expected n_paths >= 1"):
            runner.check_draws(*draws)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("date,open\n", "no column timestamps, high"),
        ("{head}\n2024-01-02,1,1,1,1,1,1\n", "two or more"),
        ("{head}\n2024-01-02,1,1,1,1,1,1\n2.1.2024,1,1,1,1,1,1\n", "row 2"),
        ("{head}\n2024-01-02,1,x,1,1,1,1\n2024-01-03,1,1,1,1,1,1\n", "row 1"),
        (None, "No such file"),
    ],
)
def test_the_example_explains_wrong_files(
    text: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples import onnx_forecast

    if text is not None:
        (tmp_path / "candles.csv").write_text(text.format(head="timestamps,open,high,low,close,volume,amount"))
    (tmp_path / "runner.py").write_text("OnnxForecaster = None")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", ["onnx_forecast.py", str(tmp_path), str(tmp_path / "candles.csv")])
    monkeypatch.setitem(sys.modules, "runner", runner)
    with pytest.raises(SystemExit) as end:
        onnx_forecast.main()
    assert str(end.value).startswith("error: ") and message in str(end.value)


def test_the_runner_needs_no_other_file_of_the_package() -> None:
    code = "import sys; sys.path.insert(0, 'kronos/export'); import runner; print({'torch', 'pandas', 'kronos'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
