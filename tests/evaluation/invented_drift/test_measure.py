"""Which walks are forecast, in how much time, and that a repetition finds the same."""

from pathlib import Path

import pytest
from accelerate import PartialState

from kronos import load_config
from kronos.config.evaluation import EvaluationConfig
from kronos.data import load_candles, split_candles
from kronos.evaluation.forecasters.base import KronosForecaster
from kronos.evaluation.invented_drift import measure, measure_all
from kronos.evaluation.origins.held_out import choose_held_out
from kronos.evaluation.origins.walk_forward import Origins
from kronos.forecast import KronosPredictor, Sampling
from kronos.model import Kronos, KronosTokenizer
from tests.conftest import GOLDEN


@pytest.fixture(autouse=True)
def on_cpu() -> None:
    PartialState(cpu=True)


@pytest.fixture
def golden() -> KronosForecaster:
    tokenizer = KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")
    predictor = KronosPredictor(Kronos.from_pretrained(GOLDEN / "predictor"), tokenizer, "cpu", max_context=24)
    return KronosForecaster("golden", "Golden", predictor, Sampling())


@pytest.fixture
def origins(tiny_config: Path) -> Origins:
    config = load_config(tiny_config)
    candles, _ = load_candles(config.data, config.repairs)
    return choose_held_out(config, candles, split_candles(candles, config.data)).origins


def test_all_walks_are_forecast_if_there_is_time(
    golden: KronosForecaster, origins: Origins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "SECONDS", 45.0)
    (measured,) = measure_all(tmp_path, [golden], origins, EvaluationConfig())
    assert measured.name == "golden" and measured.n_walks == 128 and measured.n_paths == 32
    assert measured.outcome == "drift"  # random weights know nothing


def test_a_slow_model_forecasts_fewer_and_again_the_same(
    golden: KronosForecaster, origins: Origins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "SECONDS", 1e-9)
    first = measure_all(tmp_path, [golden], origins, EvaluationConfig())
    assert first[0].n_walks == 2 and first[0].outcome == "too few walks"
    monkeypatch.setattr(KronosForecaster, "sample", None)  # everything is stored
    assert repr(measure_all(tmp_path, [golden], origins, EvaluationConfig())) == repr(first)  # NaN is not equal to NaN


def test_without_a_limit_of_time_all_walks_are_forecast(
    golden: KronosForecaster, origins: Origins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "SECONDS", 1e-9)
    monkeypatch.setattr(measure.build_walks, "__defaults__", (12, 0))
    (measured,) = measure_all(tmp_path, [golden], origins, EvaluationConfig(budget_minutes=None))
    assert measured.n_walks == 12
