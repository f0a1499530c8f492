"""Whether a model is compiled: chosen once, by what the stage gains, and kept when it is resumed."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import get_args, get_type_hints

import pytest
import torch
import yaml

from kronos import load_config
from kronos.config import Config
from kronos.config.load import build_config
from kronos.config.schema import Language
from kronos.errors import ConfigError
from kronos.model import PRESETS, Kronos
from kronos.report.words.catalogue import Words
from kronos.stage_record import StageRecord
from kronos.training import stage as stage_module
from kronos.training.fit import compiling
from kronos.training.fit.compiling import CompileChoice, choose_compiling, keep_choice, settle_compiling
from kronos.training.saved import stage_settings
from kronos.training.saved.stage_settings import COMPILE_KEY, take_choices
from tests.training.runs import Killed, equal, interrupt_at, run, weights

AUTO, CUDA = f"{COMPILE_KEY}=auto", SimpleNamespace(device=torch.device("cuda"))


@pytest.fixture
def on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the choice, and nothing else, believe that there is a GPU."""
    monkeypatch.setattr(compiling, "PartialState", lambda: CUDA)
    monkeypatch.setattr(compiling, "_find_obstacle", lambda: "")
    monkeypatch.setattr(stage_settings, "runs_on_cpu", lambda config: False)


@pytest.fixture
def config(tiny_config: Path) -> Config:
    return load_config(tiny_config)


@pytest.fixture
def model() -> Kronos:
    return Kronos(**PRESETS["demo"].base_model)


def record(value: bool | str) -> StageRecord:
    return StageRecord(stage="basemodel", settings={COMPILE_KEY: value})


def fail() -> float:
    raise AssertionError("measured, although nothing is to be chosen")


@pytest.mark.parametrize(("wanted", "reason"), [(True, "on"), (False, "off")])
def test_what_is_set_holds(config: Config, model: Kronos, on_gpu: None, wanted: bool, reason: str) -> None:
    choice = choose_compiling(config.override({COMPILE_KEY: wanted}), model, 0.001, 1)
    assert (choice.compiles, choice.reason, choice.gained_seconds) == (wanted, reason, 0)


def test_auto_is_off_on_a_cpu(config: Config, model: Kronos) -> None:
    choice = choose_compiling(config, model, 10.0, 10**6)
    assert config.training.torch_compile == "auto" and not choice.compiles and choice.reason == "cpu"


def test_auto_compiles_where_the_steps_repay_it(config: Config, model: Kronos, on_gpu: None) -> None:
    n_blocks = len(model.transformer) + 1  # and the dependency layer
    break_even = compiling.SECONDS_A_BLOCK * n_blocks / compiling.SHARE_SAVED  # seconds of steps
    few, many = (choose_compiling(config, model, 0.1, round(10 * break_even * share)) for share in (0.9, 1.1))
    assert (few.reason, few.compiles, few.gained_seconds) == ("too_few_steps", False, 0)
    assert (many.reason, many.compiles) == ("repays", True)
    assert many.compile_seconds == compiling.SECONDS_A_BLOCK * n_blocks
    assert many.gained_seconds == pytest.approx(0.1 * many.compile_seconds, rel=0.05)


def test_a_choice_is_made_once(config: Config, model: Kronos, on_gpu: None, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="kronos"):
        settled, kept = settle_compiling(config, record("auto"), model, lambda: 0.1, 10**6)
    assert settled.training.torch_compile is True and kept.settings == {COMPILE_KEY: True}
    assert "basemodel  torch_compile is on: over 1,000,000 steps it saves about 40000 s" in caplog.text
    for chosen in (True, False):
        again, same = settle_compiling(config, record(chosen), model, fail, 1)
        assert again.training.torch_compile is chosen and same == record(chosen)
    assert keep_choice(config, None) == keep_choice(config, record("auto")) == config


def test_without_a_compiler_nothing_is_compiled(
    config: Config, model: Kronos, on_gpu: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiling, "_find_obstacle", lambda: "Failed to find C compiler")
    settled, kept = settle_compiling(config, record("auto"), model, lambda: 0.1, 10**6)
    assert settled.training.torch_compile is False and kept.settings == {COMPILE_KEY: False}
    assert "torch_compile is off, because PyTorch cannot compile here (Failed to find C compiler)" in caplog.text
    planned = choose_compiling(config, model, 0.1, 10**6)  # as the dry run does
    assert (planned.compiles, planned.reason, planned.gained_seconds) == (False, "no_compiler", 0)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_dry_run_has_words_for_each_reason(language: Language) -> None:
    reasons = get_args(get_type_hints(CompileChoice)["reason"])
    assert {Words(language)(f"plan.compiling.{reason}", saved="1 min", takes="2 min") for reason in reasons}


def test_what_stands_in_the_way_is_found_with_a_small_function(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda function: function)
    assert compiling._find_obstacle() == ""

    def refuse(function: object) -> None:
        raise RuntimeError("Failed to find C compiler.\nA long explanation")

    monkeypatch.setattr(torch, "compile", refuse)
    assert compiling._find_obstacle() == "Failed to find C compiler."


@pytest.mark.slow
def test_what_does_not_compile_is_computed_as_usual() -> None:
    def refuse(*args: object) -> None:
        raise ValueError("not on this machine")

    double = torch.compile(lambda x: 2 * x, backend=refuse)
    with compiling.fall_back_to_eager(True):
        assert torch.equal(double(torch.ones(3)), torch.full((3,), 2.0))
    torch._dynamo.reset()
    with compiling.fall_back_to_eager(False), pytest.raises(Exception, match="not on this machine"):
        double(torch.ones(3))


def test_an_earlier_choice_is_no_other_setting() -> None:
    assert take_choices({COMPILE_KEY: "auto", "a": 1}, {COMPILE_KEY: True, "a": 2}) == {COMPILE_KEY: True, "a": 1}
    assert take_choices({COMPILE_KEY: False}, {COMPILE_KEY: True}) == {COMPILE_KEY: False}
    assert take_choices({COMPILE_KEY: "auto"}, {}) == {COMPILE_KEY: "auto"}


def test_on_a_cpu_the_record_says_false(finished) -> None:
    for name in ("tokenizer", "basemodel"):
        assert StageRecord.read(finished.run_dir / name).settings[COMPILE_KEY] is False
    assert yaml.safe_load((finished.run_dir / "config.yaml").read_text())["training"]["torch_compile"] == "auto"


@pytest.mark.slow
def test_a_stage_keeps_its_choice(
    tiny_config: Path, run_dir: Path, tmp_path: Path, on_gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is traced, but not compiled, which would take a minute on a CPU; the weights are those without."""
    compiled: list[bool] = []
    build_arguments = stage_module.build_arguments

    def trace_only(*args: object, **kwargs: object):
        arguments = build_arguments(*args, **kwargs)
        compiled.append(arguments.torch_compile)
        if arguments.torch_compile:
            arguments.torch_compile_backend = "eager"
        return arguments

    monkeypatch.setattr(stage_module, "build_arguments", trace_only)
    monkeypatch.setattr(compiling, "SECONDS_A_BLOCK", 0.0)
    run(tiny_config, f"model_paths.base_path={tmp_path / 'plain'}", f"{COMPILE_KEY}=false", stages=["basemodel"])
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)
        with pytest.raises(Killed):
            run(tiny_config, stages=["basemodel"])
    folder = run_dir / "basemodel"
    assert StageRecord.read(folder).settings[COMPILE_KEY] is True
    monkeypatch.setattr(stage_module, "measure_step", lambda *args: fail())
    with pytest.raises(ConfigError, match=r"training\.torch_compile True → False"):
        run(tiny_config, f"{COMPILE_KEY}=false", stages=["basemodel"], skip_existing=True)
    run(tiny_config, stages=["basemodel"], skip_existing=True)
    assert compiled == [False, True, True]
    expected, found = weights(tmp_path / "plain/tiny/basemodel"), weights(folder)
    assert equal(found, expected) or all(torch.allclose(found[key], expected[key], atol=1e-4) for key in expected)
    run(tiny_config, stages=["basemodel"], skip_existing=True)  # finished: no setting differs
    assert len(compiled) == 3


def test_auto_is_read_from_a_yaml(tiny_config: Path) -> None:
    values = yaml.safe_load(tiny_config.read_text())
    for text, expected in (("auto", "auto"), ("true", True), ("false", False)):
        assert build_config(values, [f"{COMPILE_KEY}={text}"]).training.torch_compile == expected
    with pytest.raises(ConfigError, match="torch_compile"):
        build_config(values, [f"{COMPILE_KEY}=sometimes"])
