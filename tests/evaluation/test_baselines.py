"""Whom a run is compared with, under which names, and who is left out for which reason."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState

from kronos import Kronos, load_config
from kronos.data import load_candles, split_candles
from kronos.errors import ConfigError, WriteError
from kronos.evaluation import baselines
from kronos.evaluation.baselines import FITTED_BASELINES, build_baselines, check_baselines
from kronos.evaluation.origins.held_out import choose_held_out
from kronos.evaluation.records import Note
from tests.conftest import GOLDEN
from tests.data.planted import surround, trading_times
from tests.training.runs import run


@pytest.fixture(autouse=True)
def on_cpu() -> None:
    PartialState(cpu=True)


def build(tiny_config: Path, *overrides: object):
    config = load_config(tiny_config, ["model_paths.exp_name=evaluated", *map(str, overrides)])
    candles, _ = load_candles(config.data, config.repairs)
    splits = split_candles(candles, config.data)
    return build_baselines(config, choose_held_out(config, candles, splits).origins, candles, splits)


def test_all_by_default_but_the_pretrained_one_from_scratch(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        baselines, "build_lstm", lambda *given: baselines.NAIVE_FORECASTERS["drift"]
    )  # the point is elsewhere
    few = {"majority": "few_for_fit", "ewma": "few_for_fit", "garch": "few_for_fit", "time_of_day": "few_for_profile"}
    found, left_out = build(tiny_config)
    assert len(found) == 6 and found[0].name == "pretrained"
    assert {each.baseline: each.reason.code for each in left_out} == few
    found, left_out = build(tiny_config, "experiment.pre_trained=false")
    assert len(found) == 5
    assert {each.baseline: each.reason.code for each in left_out} == {"pretrained": "from_scratch"} | few


def test_fitted_baselines_are_built_from_the_train_split(tiny_config: Path, tmp_path: Path) -> None:
    times = trading_times(60)[: 60 * 48]
    steps = 0.01 * np.random.default_rng(0).normal(size=len(times))
    surround(20 * np.exp(steps.cumsum()), times, np.random.default_rng(1), decimals=4).to_csv(
        tmp_path / "long.csv", index=False
    )
    rivals = ", ".join(FITTED_BASELINES)
    found, left_out = build(tiny_config, f"data.data_path={tmp_path}/long.csv", f"evaluation.rivals=[{rivals}]")
    assert [each.name for each in found] == [*FITTED_BASELINES] and not left_out
    assert [each.moves for each in found] == [True, False, False, False]


def test_an_lstm_that_cannot_be_trained_is_left_out_but_a_full_disk_is_an_error(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, left_out = build(tiny_config, "evaluation.rivals=[lstm, drift]", "training.batch_size=1000")
    assert [each.name for each in found] == ["drift"] and left_out[0].baseline == "lstm"
    assert left_out[0].reason.code == "lstm_not_trainable" and "windows" in str(left_out[0].reason.values["error"])

    def fail(*given: object) -> None:
        raise WriteError("the disk is full")

    monkeypatch.setattr(baselines, "build_lstm", fail)
    with pytest.raises(WriteError, match="the disk is full"):
        build(tiny_config, "evaluation.rivals=[lstm]")


@pytest.mark.slow
def test_runs_of_any_name_are_told_apart(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tiny_config, "training.epochs=1", "training.max_steps=1")
    folders = [tmp_path / name for name in ("a/demo", "b/demo", "finetuned", "c/evaluated")]
    for folder in folders:
        shutil.copytree(tmp_path / "runs/tiny", folder)
    monkeypatch.chdir(tmp_path / "a")
    listed = ", ".join(map(str, ["demo", *folders, "demo/"]))  # the first and the last are a/demo, from here
    found, left_out = build(tiny_config, f"evaluation.rivals=[{listed}]")
    assert not left_out
    assert [each.name for each in found] == ["a/demo", "b/demo", str(tmp_path / "finetuned"), "c/evaluated"]
    assert [each.label for each in found] == [each.name for each in found]


@pytest.mark.slow
def test_a_run_of_a_shorter_context_is_left_out(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, "training.max_steps=1", "data.predict_window=2", "data.max_context=4")
    found, left_out = build(tiny_config, f"evaluation.rivals=[{tmp_path}/runs/tiny]")
    assert not found
    assert left_out[0].reason == Note(code="short_context", values={"max_context": 4, "horizon": 8})


def test_unknown_baselines(tiny_config: Path, tmp_path: Path) -> None:
    for name in ("lstmm", str(tmp_path)):
        with pytest.raises(
            ConfigError,
            match=r"is not a known baseline. Choose from pretrained, .* or give the folder of a run \(\{base_path\}",
        ):
            check_baselines(load_config(tiny_config, [f"evaluation.rivals=[{name}]"]))


@pytest.mark.slow
def test_a_pretrained_folder_that_has_changed_since_is_not_the_baseline(tiny_config: Path, tmp_path: Path) -> None:
    for name in ("tokenizer", "predictor"):
        shutil.copytree(GOLDEN / name, tmp_path / name)
    sources = [f"model_paths.pretrained_{name}={tmp_path / name}" for name in ("tokenizer", "predictor")]
    run(tiny_config, "training.epochs=1", "training.max_steps=1", "model_paths.exp_name=evaluated", *sources)
    found, left_out = build(tiny_config, "evaluation.rivals=[pretrained]", *sources)
    assert [each.name for each in found] == ["pretrained"] and not left_out
    model = Kronos.from_pretrained(tmp_path / "predictor")
    with torch.no_grad():
        model.norm.weight += 0.1
    model.save_pretrained(tmp_path / "predictor")
    found, left_out = build(tiny_config, "evaluation.rivals=[pretrained]", *sources)
    assert not found and left_out[0].reason == Note(code="pretrained_changed", values={"stage": "basemodel"})


def test_an_lstm_that_was_trained_forecasts_other_candles_too(tiny_config: Path) -> None:
    settings = ["evaluation.rivals=[lstm]", "evaluation.lstm.max_steps=2", "evaluation.lstm.hidden_size=4"]
    config = load_config(tiny_config, settings)
    candles, _ = load_candles(config.data, config.repairs)
    splits = split_candles(candles, config.data)
    origins = choose_held_out(config, candles, splits).origins
    _, left_out = build_baselines(config, origins, None, {})
    assert left_out[0].reason.code == "lstm_without_candles"
    (trained,), _ = build_baselines(config, origins, candles, splits)
    (found,), left_out = build_baselines(config, origins, None, {})
    assert found.key == trained.key and not left_out
