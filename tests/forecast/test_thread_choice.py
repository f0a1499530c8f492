"""Forecasts on several threads: every choice that a forecast may make gives the same candles."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch

from kronos.forecast import KronosPredictor
from kronos.forecast.predictor import N_PATHS
from kronos.model import PRESETS, Kronos, KronosTokenizer
from kronos.threads import Setting, StepThreads

SETTINGS = [Setting(2, False), Setting(2, True), Setting(1, True), Setting(3, True)]


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def build_predictor(preset: str, dtype: str | None = None) -> KronosPredictor:
    torch.manual_seed(0)
    sizes = PRESETS[preset]
    return KronosPredictor(Kronos(**sizes.base_model), KronosTokenizer(**sizes.tokenizer), device="cpu", dtype=dtype)


def build_candles(n: int) -> pd.DataFrame:
    close = 100 * np.exp(np.cumsum(np.random.default_rng(0).normal(0, 1e-3, n)))
    times = pd.date_range("2024-01-01", periods=n, freq="5min")
    return pd.DataFrame({"open": close, "high": close * 1.001, "low": close * 0.999, "close": close}, index=times)


@pytest.mark.parametrize(
    ("preset", "n_paths"),
    [("demo", 1), ("demo", N_PATHS), pytest.param("small", N_PATHS, marks=pytest.mark.slow)],
)
def test_a_forecast_does_not_depend_on_the_chosen_threads(
    monkeypatch: pytest.MonkeyPatch, preset: str, n_paths: int
) -> None:
    predictor, candles = build_predictor(preset), build_candles(100)
    results, used = [], set()
    for setting in SETTINGS:

        def choose(threads: StepThreads, now: float, setting: Setting = setting) -> Setting:
            used.add(setting)
            return setting

        monkeypatch.setattr(StepThreads, "_choose", choose)
        results.append(predictor.forecast(candles, horizon=4, n_paths=n_paths, seed=0, verbose=False).paths)
        assert torch.get_num_threads() == 2
    assert used == set(SETTINGS)
    for other in results[1:]:
        assert np.array_equal(results[0], other)


@pytest.mark.parametrize(
    ("n_paths", "dtype", "policy", "compiled", "expected"),
    [
        (N_PATHS, None, "slide", False, True),
        (100, None, "slide", False, False),  # larger products are rounded differently on other numbers of threads
        (1, "bfloat16", "slide", False, False),
        (1, None, "recompute", False, False),
        (1, None, "slide", True, False),
    ],
)
def test_fewer_threads_are_used_only_where_the_rounding_is_the_same(
    monkeypatch: pytest.MonkeyPatch, n_paths: int, dtype: str | None, policy: str, compiled: bool, expected: bool
) -> None:
    began = []
    monkeypatch.setattr(StepThreads, "begin", lambda threads, n_steps, fewer: began.append((n_steps, fewer)))
    predictor = build_predictor("demo", dtype)
    predictor.context_policy = policy  # type: ignore[assignment]
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)  # would take a minute
    for block in predictor.model.transformer if compiled else ():
        block.compile()
    predictor.forecast(build_candles(40), horizon=2, n_paths=n_paths, seed=0, verbose=False)
    assert began == [(2, expected)]


def test_all_threads_compute_products_that_are_not_split(monkeypatch: pytest.MonkeyPatch) -> None:
    began = []
    monkeypatch.setattr(StepThreads, "begin", lambda threads, n_steps, fewer: began.append(fewer))
    for ff_dim in (96, 100):  # the second cannot be shared by 8 parts
        torch.manual_seed(0)
        sizes = PRESETS["demo"]
        model = Kronos(**sizes.base_model | {"ff_dim": ff_dim})
        predictor = KronosPredictor(model, KronosTokenizer(**sizes.tokenizer), device="cpu")
        predictor.forecast(build_candles(40), horizon=2, n_paths=1, seed=0, verbose=False)
    assert began == [True, False]
