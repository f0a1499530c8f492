"""The learning-rate range test."""

import math
from pathlib import Path

import numpy as np
import pytest

from kronos import load_config
from kronos.errors import ConfigError
from kronos.report.charts.lr_range_plot import draw_lr_range
from kronos.tuning.lr_range import LrRange, measure_lr_range, read_range, smooth


def measure(path: Path, stage: str, *overrides: str, low=1e-6, high=10.0, n_steps=40) -> tuple[LrRange, list]:
    told: list[tuple[int, float, float]] = []
    config = load_config(path, overrides)
    return measure_lr_range(config, stage, low, high, n_steps, lambda *step: told.append(step)), told


@pytest.mark.parametrize("stage", ["tokenizer", "basemodel"])
def test_the_rate_grows_and_nothing_is_left_on_disk(tiny_config: Path, tmp_path: Path, stage: str) -> None:
    found, told = measure(tiny_config, stage, low=1e-6, high=1e-2)
    assert found.rates == pytest.approx(np.geomspace(1e-6, 1e-2, 40)) and found.stage == stage
    assert [step[:2] for step in told] == [(n + 1, rate) for n, rate in enumerate(found.rates)]
    assert [step[2] for step in told] == pytest.approx(found.smoothed)
    assert found.configured == 0.01
    assert not (tmp_path / "runs").exists()


def test_the_rates_are_those_that_are_applied(tiny_config: Path) -> None:
    """So small that the model stays as it is, but for the last steps."""
    still, _ = measure(tiny_config, "basemodel", low=1e-12, high=1e-11, n_steps=20)
    moved, _ = measure(tiny_config, "basemodel", low=1e-12, high=1.0, n_steps=20)
    assert moved.losses[:8] == pytest.approx(still.losses[:8], abs=1e-4)
    assert abs(moved.losses[-1] - still.losses[-1]) > 0.1


def test_it_ends_where_the_loss_explodes(tiny_config: Path) -> None:
    found, _ = measure(tiny_config, "basemodel", low=1e-6, high=1e6)
    assert len(found.rates) < 40 and found.diverged is not None and found.upper_bound == found.diverged / 10
    assert np.isfinite(found.losses).all()


@pytest.mark.parametrize(("low", "high", "n_steps"), [(0, 1, 50), (1, 0.1, 50), (0.1, math.inf, 50), (0.1, 1, 5)])
def test_bounds_that_make_no_sense(tiny_config: Path, low: float, high: float, n_steps: int) -> None:
    with pytest.raises(ConfigError, match=r"^--from .* must be more than 0|^--steps 5: at least 20"):
        measure(tiny_config, "basemodel", low=low, high=high, n_steps=n_steps)


RATES = np.geomspace(1e-7, 1.0, 100)


def made(falls_at: float, rises_at: float, noise: float = 0.0) -> LrRange:
    """A fall of 1 around one rate, a rise around another."""
    x = np.log10(RATES)
    fall = 1 / (1 + np.exp(-6 * (x - np.log10(falls_at))))
    rise = 8 / (1 + np.exp(-6 * (x - np.log10(rises_at))))
    losses = 3 - fall + rise + np.random.default_rng(1).normal(0, noise, 100)
    return read_range("basemodel", RATES, losses, 1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_the_fall_and_the_rise_are_found(noise: float) -> None:
    found = made(falls_at=1e-4, rises_at=0.1, noise=noise)
    assert 5e-5 < found.steepest < 5e-4  # the moving average lags by four steps, a factor of two
    assert 0.03 < found.diverged < 0.3
    assert found.suggested == found.steepest


def test_a_tenth_of_the_rate_of_divergence_bounds_the_suggestion() -> None:
    found = made(falls_at=1e-2, rises_at=5e-2)
    assert found.suggested == found.upper_bound < found.steepest


def test_a_loss_that_does_not_fall_or_never_rises() -> None:
    losses = 3 + np.random.default_rng(1).normal(0, 0.1, 100)
    found = read_range("basemodel", RATES, losses, 1e-3)
    assert found.suggested is None and found.steepest is None and found.diverged is None
    assert read_range("basemodel", RATES, losses, 1e-3, finite=False).diverged == 1.0


def test_smoothing_is_unbiased() -> None:
    assert smooth(np.full(5, 2.0)) == pytest.approx(np.full(5, 2.0))
    assert smooth(np.array([1.0, 3.0])) == pytest.approx([1.0, (0.8 * 1 + 3) / 1.8])


def test_the_picture(tmp_path: Path) -> None:
    for n, found in enumerate(
        (made(1e-4, 0.1), made(1e-4, 1e9), read_range("tokenizer", RATES, np.full(100, 2.0), 5.0))
    ):
        path = tmp_path / f"{n}.png"
        draw_lr_range(found, path, "a $title")
        assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 10_000


@pytest.mark.parametrize("seed", range(20))
def test_noise_at_the_start_is_no_fall(seed: int) -> None:
    """The moving average leans on the first losses until it has settled: no suggestion comes from there."""
    rates = np.geomspace(1e-7, 1.0, 100)
    noise = np.random.default_rng(seed).normal(0, 0.03, 100)
    losses = 2 - 0.5 / (1 + (3e-4 / rates) ** 2) + noise  # falls about 3e-4
    found = read_range("tokenizer", rates, losses, configured=1e-3).suggested
    assert found is not None and 2e-5 < found < 5e-3
