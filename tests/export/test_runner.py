"""The runner of exported models computes what the package does, with NumPy alone."""

import subprocess
import sys

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


def test_the_runner_needs_no_other_file_of_the_package() -> None:
    code = "import sys; sys.path.insert(0, 'kronos/export'); import runner; print({'torch', 'pandas', 'kronos'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
