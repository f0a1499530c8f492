"""Several symbols draw their own random numbers; a run and its pretrained model share theirs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kronos import Kronos, KronosPredictor, KronosTokenizer
from kronos.evaluation.forecasters.base import Forecaster, KronosForecaster
from kronos.evaluation.forecasters.lstm import LstmForecaster
from kronos.evaluation.forecasters.lstm_network import LstmNetwork
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.origins import walk_forward
from kronos.evaluation.origins.walk_forward import ForecastStore, Origins, WalkForward
from kronos.forecast import Sampling
from tests.conftest import GOLDEN
from tests.evaluation.synthetic import load_frames, random_walk

LOOKBACK, HORIZON = 60, 4
ROWS = np.array([100, 340])  # the same time in each of two equal symbols of 240 candles


def build_kronos(name: str = "finetuned") -> KronosForecaster:
    models = Kronos.from_pretrained(GOLDEN / "predictor"), KronosTokenizer.from_pretrained(GOLDEN / "tokenizer")
    predictor = KronosPredictor(*models, device="cpu", max_context=LOOKBACK + HORIZON)
    return KronosForecaster(name, name, predictor, Sampling())


def build_lstm() -> LstmForecaster:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LstmForecaster(LstmNetwork(LOOKBACK, 4, 1, 1, False, 0.0, 5.0).eval())


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> Origins:
    frame = random_walk(0.01).make_frame(0, 5)
    candles = load_frames(tmp_path_factory.mktemp("equal") / "candles", frame, frame)
    return Origins(candles, ROWS, LOOKBACK, HORIZON)


FORECASTERS = [*NAIVE_FORECASTERS.values(), build_kronos(), build_lstm()]


@pytest.mark.parametrize("forecaster", FORECASTERS, ids=lambda each: each.name)
def test_equal_symbols_get_independent_paths(origins: Origins, forecaster: Forecaster) -> None:
    known = origins.known()
    assert [each.symbol for each in known] == ["s0", "s1"]
    one, other = np.log(forecaster.sample(known, 1000, 0)[..., -1])
    if one.std() > 0:
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.12
    alone = [replace(each, symbol="") for each in known]
    one, other = forecaster.sample(alone, 50, 0)
    np.testing.assert_allclose(one, other, rtol=1e-6)  # of no symbol, the origin alone decides


def test_a_run_and_its_pretrained_model_share_the_draws(origins: Origins) -> None:
    own, pretrained = (build_kronos(name).sample(origins.known(), 5, 0) for name in ("finetuned", "pretrained"))
    assert np.array_equal(own, pretrained)


def test_forecasts_of_several_symbols_are_not_those_stored_before(
    origins: Origins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One symbol draws as before, and its stored forecasts stay valid."""
    hashed: list[tuple[object, ...]] = []
    monkeypatch.setattr(walk_forward, "_hash", lambda parts: hashed.append(tuple(parts)) or "0")
    single = load_frames(tmp_path / "single", random_walk(0.01).make_frame(0, 5))
    for each in (origins, Origins(single, ROWS[:1], LOOKBACK, HORIZON)):
        ForecastStore(tmp_path, build_lstm(), each, 5, 0)
    several, one = hashed
    assert len(one) == 7 and len(several) == 8


def test_baselines_that_cost_nothing_draw_many_paths(origins: Origins, monkeypatch: pytest.MonkeyPatch) -> None:
    volatility, walk = NAIVE_FORECASTERS["volatility"], WalkForward(Path(), 50, 0)
    assert walk.forecast(volatility, origins).shape == (2, 1000, HORIZON)
    monkeypatch.setattr(walk_forward, "CHEAP_VALUES", 200 * 2 * HORIZON)
    assert walk.forecast(volatility, origins).shape == (2, 200, HORIZON)
    monkeypatch.setattr(walk_forward, "CHEAP_VALUES", 10)
    assert walk.forecast(volatility, origins).shape == (2, 50, HORIZON)  # never fewer than the run's
