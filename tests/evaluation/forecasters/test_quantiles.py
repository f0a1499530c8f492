"""Forecasters of quantiles: the pretrained models for any time series, and the paths that are drawn from their quantiles."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import PartialState
from scipy import stats
from transformers import T5Config

from kronos.candles import CANDLE_COLUMNS
from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.forecasters import quantiles
from kronos.evaluation.forecasters.base import ForecastInput, NotApplicable
from kronos.evaluation.forecasters.chronos import name_model
from kronos.evaluation.forecasters.foundation import FOUNDATION_MODELS
from kronos.evaluation.forecasters.quantiles import QuantileForecaster, draw_from_quantiles
from kronos.evaluation.records import Note
from kronos.report.words.catalogue import Words
from kronos.report.words.sentences import write_note

PROBABILITIES = [round(0.1 * i, 1) for i in range(1, 10)]
LOOKBACK, HORIZON = 60, 6


@pytest.fixture(autouse=True)
def on_cpu() -> None:
    PartialState(cpu=True)


def save_chronos_bolt(folder: Path) -> Path:
    """A tiny Chronos-Bolt of random weights, in the format of the published ones."""
    from chronos.chronos_bolt import ChronosBoltModelForForecasting

    config = T5Config(
        **{"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 2},
        **{
            "vocab_size": 2,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "decoder_start_token_id": 0,
            "feed_forward_proj": "relu",
        },
        architectures=["ChronosBoltModelForForecasting"],
        chronos_pipeline_class="ChronosBoltPipeline",
        chronos_config={
            **{"context_length": 64, "prediction_length": 8, "input_patch_size": 4, "input_patch_stride": 4},
            **{"quantiles": PROBABILITIES, "use_reg_token": True},
        },
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ChronosBoltModelForForecasting(config).save_pretrained(folder)
    return folder


def save_chronos_2(folder: Path) -> Path:
    """A tiny Chronos-2 of random weights, in the format of the published one."""
    from chronos.chronos2 import Chronos2Model
    from chronos.chronos2.config import Chronos2CoreConfig

    config = Chronos2CoreConfig(
        **{"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2},
        architectures=["Chronos2Model"],
        chronos_pipeline_class="Chronos2Pipeline",
        chronos_config={
            **{"context_length": 64, "output_patch_size": 4, "input_patch_size": 4, "input_patch_stride": 4},
            **{"quantiles": [0.01, 0.05, *PROBABILITIES, 0.95, 0.99], "use_reg_token": True, "use_arcsinh": True},
            **{"max_output_patches": 2, "time_encoding_scale": 64},
        },
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Chronos2Model(config).save_pretrained(folder)
    return folder


BUILDERS = {
    "fracast": lambda folder: FOUNDATION_MODELS["fracast"](EvaluationConfig()),
    "chronos-bolt": lambda folder: FOUNDATION_MODELS["chronos"](
        EvaluationConfig(chronos=str(save_chronos_bolt(folder)))
    ),
    "chronos-2": lambda folder: FOUNDATION_MODELS["chronos"](EvaluationConfig(chronos=str(save_chronos_2(folder)))),
}


@pytest.fixture(scope="module", params=BUILDERS)
def forecaster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> QuantileForecaster:
    pytest.importorskip("fracast" if request.param == "fracast" else "chronos")
    PartialState(cpu=True)
    return BUILDERS[request.param](tmp_path_factory.mktemp("model"))


def make_known(closes: np.ndarray, origin: str = "2024-01-05", horizon: int = HORIZON) -> ForecastInput:
    times = pd.date_range(end=origin, periods=len(closes), freq="5min")
    future = pd.date_range(origin, periods=horizon + 1, freq="5min")[1:]
    return ForecastInput("known", pd.DataFrame(dict.fromkeys(CANDLE_COLUMNS, closes), index=times), future)


def walk(seed: int, n: int = LOOKBACK) -> np.ndarray:
    return 10 * np.exp(np.random.default_rng(seed).normal(0, 0.01, n).cumsum())


def test_draws_have_the_quantiles_they_are_drawn_from() -> None:
    wanted = stats.norm(3.0, 2.0).ppf(PROBABILITIES)
    scores = np.random.default_rng(0).standard_normal((1, 20000, 1))
    drawn = draw_from_quantiles(wanted[None, None], PROBABILITIES, scores)
    assert drawn.shape == scores.shape
    assert drawn == pytest.approx(3 + 2 * scores, abs=1e-9)  # a normal distribution is met exactly, tails included
    skewed = np.array([0.0, 0.1, 0.3, 0.6, 1.0, 1.5, 2.1, 2.8, 3.6])
    drawn = draw_from_quantiles(skewed[None, None], PROBABILITIES, scores)
    assert np.quantile(drawn, PROBABILITIES) == pytest.approx(skewed, abs=0.05)


def test_quantiles_that_cross_are_sorted() -> None:
    quantiles_in_order = np.arange(9.0)[None, None]
    scores = np.random.default_rng(0).standard_normal((1, 50, 1))
    crossed = quantiles_in_order[..., [1, 0, 2, 3, 5, 4, 6, 8, 7]]
    expected = draw_from_quantiles(quantiles_in_order, PROBABILITIES, scores)
    assert np.array_equal(draw_from_quantiles(crossed, PROBABILITIES, scores), expected)


def test_what_a_model_predicts_is_what_its_paths_are() -> None:
    """A model of normal quantiles that widen with √h forecasts the random walk that it describes."""

    def predict(series: np.ndarray, horizon: int) -> np.ndarray:
        assert series[:, -1] == pytest.approx(0) and np.square(np.diff(series)).mean() == pytest.approx(1)
        at = np.sqrt(np.arange(1, horizon + 1))[:, None] * stats.norm.ppf(PROBABILITIES)
        return np.tile(at, (len(series), 1, 1))

    model = QuantileForecaster("made", "made", Note(code="fracast"), PROBABILITIES, predict)
    closes = walk(0)
    unit = np.sqrt(np.square(np.diff(np.log(closes))).mean())
    moved = np.log(model.sample([make_known(closes)], 5000, 0)[0] / closes[-1]) / unit
    assert moved.std(axis=0) == pytest.approx(np.sqrt(np.arange(1, HORIZON + 1)), rel=0.05)
    assert np.abs(np.corrcoef(np.diff(moved, axis=1).T)[0, 1:]).max() < 0.05
    assert model.longest is None
    with pytest.raises(NotApplicable) as refused:
        QuantileForecaster("made", "made", Note(code="fracast"), PROBABILITIES, predict, longest=5).sample(
            [make_known(closes)], 2, 0
        )
    assert refused.value.reason == Note(code="long_horizon", values={"horizon": 6, "longest": 5})


def test_a_forecast_belongs_to_seed_and_origin_whatever_the_company(forecaster: QuantileForecaster) -> None:
    known = [make_known(walk(i), f"2024-01-{5 + i:02}") for i in range(3)]
    together = forecaster.sample(known, 5, 7)
    assert together.shape == (3, 5, HORIZON) and np.isfinite(together).all() and (together > 0).all()
    for each, paths in zip(known, together):
        assert forecaster.sample([each], 5, 7)[0] == pytest.approx(paths, rel=1e-5)
    assert not np.allclose(forecaster.sample(known, 5, 8), together, rtol=1e-5)
    other = replace(known[0], symbol="B")
    assert not np.allclose(forecaster.sample([other], 5, 7), together[:1], rtol=1e-5)


def test_no_currency_and_no_price_level(forecaster: QuantileForecaster) -> None:
    closes = walk(0)
    expected = forecaster.sample([make_known(closes)], 5, 0)
    assert forecaster.sample([make_known(1e4 * closes)], 5, 0) == pytest.approx(1e4 * expected, rel=1e-5)
    spread = closes - closes.mean()  # positive and negative
    expected = forecaster.sample([make_known(spread)], 5, 0)
    assert forecaster.sample([make_known(spread - 1000)], 5, 0) == pytest.approx(expected - 1000, abs=1e-3)


def test_closes_that_stand_still(forecaster: QuantileForecaster) -> None:
    paths = forecaster.sample([make_known(np.full(LOOKBACK, 3.0))], 5, 0)
    assert np.isfinite(paths).all()
    if forecaster.name == "fracast":  # the others have random weights
        assert paths == pytest.approx(3.0, rel=1e-3)


def test_it_names_itself_its_licence_and_its_time(forecaster: QuantileForecaster) -> None:
    for language in ("en", "zh"):
        words = Words(language)
        assert words.has(f"forecasters.{forecaster.label}") and words.has(f"forecasters_in_sentences.{forecaster.name}")
        assert "Apache-2.0" in write_note(forecaster.about, words) and "202" in write_note(forecaster.about, words)


@pytest.mark.slow
def test_fracast_forecasts_a_random_walk_as_wide_as_it_is() -> None:
    """Real weights: its 80% bands of simulated walks contain 80% of what follows, within 10%."""
    pytest.importorskip("fracast")
    model = FOUNDATION_MODELS["fracast"](EvaluationConfig())
    walks = [walk(seed, LOOKBACK + HORIZON) for seed in range(40)]
    paths = model.sample([make_known(each[:LOOKBACK]) for each in walks], 200, 0)
    low, high = np.quantile(paths, [0.1, 0.9], axis=1)
    actual = np.stack(walks)[:, LOOKBACK:]
    assert ((actual >= low) & (actual <= high)).mean() == pytest.approx(0.8, abs=0.1)
    with pytest.raises(NotApplicable) as refused:
        model.sample([make_known(walks[0], horizon=49)], 2, 0)
    assert refused.value.reason == Note(code="long_horizon", values={"horizon": 49, "longest": 48})


def test_all_that_forecasts_depend_on_is_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("chronos")
    bolt, two = save_chronos_bolt(tmp_path / "bolt"), save_chronos_2(tmp_path / "two")
    build = FOUNDATION_MODELS["chronos"]
    keys = [build(EvaluationConfig(chronos=str(folder))).key for folder in (bolt, two, bolt)]
    assert keys[0] == keys[2] != keys[1]
    config = json.loads((two / "config.json").read_text())
    config["chronos_config"]["context_length"] = 32
    (two / "config.json").write_text(json.dumps(config))
    assert build(EvaluationConfig(chronos=str(two))).key != keys[1]  # the weights are the same
    monkeypatch.setattr(quantiles, "version", lambda package: "9.9")
    assert build(EvaluationConfig(chronos=str(bolt))).key != keys[0]


@pytest.mark.parametrize(("name", "package"), [("fracast", "fracast"), ("chronos", "chronos-forecasting")])
def test_a_missing_package_is_named_with_the_remedy(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(module: str) -> None:
        raise ModuleNotFoundError(module)

    monkeypatch.setattr(quantiles, "import_module", fail)
    with pytest.raises(NotApplicable) as refused:
        FOUNDATION_MODELS[name](EvaluationConfig())
    assert f"pip install {package}" in write_note(refused.value.reason, Words("en"), "reasons")


def test_a_model_that_cannot_be_loaded_is_named_with_the_remedy(tmp_path: Path) -> None:
    """Offline, a hub name cannot be fetched; a folder may hold another model."""
    pytest.importorskip("chronos")
    T5Config(d_model=16).save_pretrained(tmp_path)
    for model in ("amazon/chronos-bolt-small", str(tmp_path), str(tmp_path / "missing")):
        with pytest.raises(NotApplicable) as refused:
            FOUNDATION_MODELS["chronos"](EvaluationConfig(chronos=model))
        assert refused.value.reason.code == "chronos_not_loadable"
        assert "evaluation.chronos" in write_note(refused.value.reason, Words("en"), "reasons")


def test_a_folder_is_named_without_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models" / "bolt").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert name_model(str(tmp_path / "models" / "bolt")) == name_model("models/bolt") == "bolt"
    assert name_model("amazon/chronos-bolt-small") == "amazon/chronos-bolt-small"
