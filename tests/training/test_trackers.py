"""Experiment trackers: what they get, and that none can end a training."""

import json
import logging
import os
import signal
from pathlib import Path

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kronos.config import Config, load_config
from kronos.errors import ConfigError, Terminated
from kronos.training import run_pipeline, trackers
from kronos.training.trackers import TrackersCallback, check_trackers, flatten, list_trackers
from tests.training.conftest import FinishedRun

TOKENIZER_ONLY = ["experiment.train_basemodel=false", "experiment.name=proj"]


class Memory(GeneralTracker):
    """Keeps what it gets."""

    name = "memory"
    requires_logging_directory = False
    tracker = None
    runs: list["Memory"] = []

    def __init__(self, run_name: str, **arguments) -> None:
        super().__init__()
        self.project, self.arguments = run_name, arguments
        self.events, self.lines, self.settings = [], [], {}
        self.runs.append(self)

    def start(self) -> None:
        self.events.append("start")

    def store_init_configuration(self, values: dict) -> None:
        self.settings = values

    def log(self, values: dict, step: int | None = None, **kwargs) -> None:
        self.lines.append({"step": step, **values})

    def finish(self) -> None:
        self.events.append("finish")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> list[Memory]:
    """The runs of a fake wandb, registered where accelerate's own classes are."""
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "wandb", Memory)
    monkeypatch.setattr(Memory, "runs", [])
    return Memory.runs


def read_metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def tracked(folder: Path) -> list[dict]:
    """The figures of metrics.jsonl that trackers get too."""
    keys = ("step", "epoch", "loss", "learning_rate", "grad_norm", "val_loss", "val_horizon_loss")
    return [{key: line[key] for key in keys if key in line} for line in read_metrics(folder)]


class Interrupt(TrainerCallback):
    """Stands for a mishap at a step."""

    def __init__(self, step: int, do) -> None:
        self.step, self.do = step, do

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step == self.step:
            self.do()


@pytest.mark.slow
def test_a_tracker_gets_the_figures_of_metrics_jsonl_and_changes_nothing(
    tiny_config: Path, memory: list[Memory], finished: FinishedRun
) -> None:
    config = load_config(tiny_config, ["experiment.trackers=wandb", "experiment.name=proj"])
    run_pipeline(config, skip_existing=False)
    for run, stage in zip(memory, ("tokenizer", "basemodel"), strict=True):  # two runs in one project
        assert (run.project, run.arguments["name"]) == ("proj", f"proj-tiny-{stage}")
        assert run.arguments["dir"] == config.model_paths.run_folder.stage(stage).path / "tracking"
        assert run.settings["stage"] == stage and run.settings["training.tokenizer_learning_rate"] == 0.01
        assert run.settings["data.data_path"] == str(config.data.data_path[0])
        assert run.events == ["start", "finish"]
        assert run.lines == tracked(config.model_paths.run_folder.stage(stage).path) and len(run.lines) > 5
        assert run.lines == tracked(finished.run_dir / stage)  # a run without trackers
    assert memory[0].arguments["id"] != memory[1].arguments["id"]


class Stage:
    """Two log lines and one validation of a stage, without a training."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.callback = TrackersCallback(config, "tokenizer", folder / "tracking")
        self.arguments = TrainingArguments(output_dir=str(folder), report_to="none", use_cpu=True, run_name="name")
        self.state = TrainerState(is_world_process_zero=True)

    def run(self) -> None:
        with self.callback:
            self.callback.on_train_begin(self.arguments, self.state, TrainerControl())
            for loss in (2.0, 1.0):
                self.state.global_step += 1
                self.callback.on_log(self.arguments, self.state, TrainerControl(), logs={"loss": loss, "epoch": 0.5})
            self.callback.on_evaluate(self.arguments, self.state, TrainerControl(), metrics={"eval_loss": 3.0})


LINES = [{"step": 1, "epoch": 0.5, "loss": 2.0}, {"step": 2, "epoch": 0.5, "loss": 1.0}]
LINES += [{"step": 2, "epoch": 0.0, "val_loss": 3.0}]


@pytest.mark.parametrize("method", ["__init__", "start", "store_init_configuration", "log", "finish"])
def test_a_tracker_that_fails_is_dropped_with_one_warning_and_the_others_continue(
    tiny_config: Path,
    tmp_path: Path,
    memory: list[Memory],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
) -> None:
    def fail(*args, **kwargs) -> None:
        raise RuntimeError("no network\nsecond line")

    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "mlflow", type("Failing", (Memory,), {method: fail, "runs": []}))
    config = load_config(tiny_config, ["experiment.trackers=[mlflow, wandb]"])
    with caplog.at_level(logging.WARNING, logger="kronos"):
        Stage(config, tmp_path).run()
    assert [record.message for record in caplog.records] == [
        "tokenizer  tracker mlflow failed (no network) and is no longer used. Training and metrics.jsonl continue."
    ]
    assert memory[0].lines == LINES and memory[0].events == ["start", "finish"]


@pytest.mark.slow
def test_a_tracker_that_fails_does_not_end_the_training(
    tiny_config: Path, memory: list[Memory], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Memory, "log", None)
    config = load_config(tiny_config, [*TOKENIZER_ONLY, "experiment.trackers=wandb", "training.max_steps=2"])
    with caplog.at_level(logging.WARNING, logger="kronos"):
        result = run_pipeline(config, skip_existing=False)
    assert result.records["tokenizer"].finished and caplog.text.count("tracker wandb failed") == 1
    assert len(read_metrics(config.model_paths.run_folder.tokenizer.path)) == 4


@pytest.mark.slow
def test_an_error_finishes_the_trackers_and_a_resumed_run_is_the_same_run(
    tiny_config: Path, memory: list[Memory]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    config = load_config(tiny_config, [*TOKENIZER_ONLY, "experiment.trackers=wandb", "training.save_steps=2"])
    config = config.override({"training.max_steps": 4})
    with pytest.raises(ZeroDivisionError):
        run_pipeline(config, skip_existing=False, callbacks=[Interrupt(3, fail)])
    assert memory[0].events == ["start", "finish"]
    run_pipeline(config, skip_existing=True)
    assert memory[1].arguments["id"] == memory[0].arguments["id"] and memory[1].lines[0]["step"] == 3
    run_pipeline(config, skip_existing=False)
    assert memory[2].arguments["id"] != memory[0].arguments["id"]


@pytest.mark.slow
def test_sigterm_finishes_the_trackers(tiny_config: Path, memory: list[Memory]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    config = load_config(tiny_config, [*TOKENIZER_ONLY, "experiment.trackers=wandb"])
    with pytest.raises(Terminated):
        run_pipeline(config, False, [Interrupt(2, lambda: os.kill(os.getpid(), signal.SIGTERM))])
    assert memory[0].events == ["start", "finish"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_ranks_start_nothing(tiny_config: Path, tmp_path: Path, memory: list[Memory]) -> None:
    stage = Stage(load_config(tiny_config, ["experiment.trackers=wandb"]), tmp_path)
    stage.state.is_world_process_zero = False
    stage.run()
    assert not memory and not (tmp_path / "tracking").exists()


def test_use_comet_adds_comet(tiny_config: Path) -> None:
    assert list_trackers(load_config(tiny_config)) == ()
    assert list_trackers(load_config(tiny_config, ["experiment.use_comet=true"])) == ("comet",)
    both = ["experiment.use_comet=true", "experiment.trackers=[comet, wandb]"]
    assert list_trackers(load_config(tiny_config, both)) == ("comet", "wandb")


def test_missing_packages_are_named(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "get_available_trackers", lambda: ["tensorboard"])
    check_trackers(load_config(tiny_config, ["experiment.trackers=tensorboard"]))
    with pytest.raises(
        ConfigError, match=r"missing package for comet\. Install it with: pip install comet_ml .*\[comet\]"
    ):
        check_trackers(load_config(tiny_config, ["experiment.use_comet=true"]))
    with pytest.raises(
        ConfigError, match=r"missing package for wandb, trackio\. .*pip install wandb trackio .*\[wandb,trackio\]"
    ):
        check_trackers(load_config(tiny_config, ["experiment.trackers=[wandb, tensorboard, trackio]"]))


def test_flatten() -> None:
    values = {"a": {"b": 1, "none": None, "c": {"d": True}}, "e": ["x", "股"], "empty": {}}
    assert flatten(values) == {"a.b": 1, "a.c.d": True, "e": '["x", "股"]'}


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.slow
def test_tensorboard_shows_an_interrupted_run_as_one(tiny_config: Path) -> None:
    pytest.importorskip("tensorboard")

    def fail() -> None:
        raise ZeroDivisionError

    config = load_config(tiny_config, [*TOKENIZER_ONLY, "experiment.trackers=tensorboard", "training.save_steps=2"])
    stage_dir = config.model_paths.run_folder.tokenizer.path
    with pytest.raises(ZeroDivisionError):
        run_pipeline(config, skip_existing=False, callbacks=[Interrupt(4, fail)])
    run_pipeline(config, skip_existing=True)
    scalars = read_scalars(stage_dir / "tracking" / "tensorboard")
    for key in ("loss", "learning_rate", "grad_norm", "val_loss"):
        expected = [(line["step"], line[key]) for line in read_metrics(stage_dir) if key in line]
        assert scalars[key] == [(step, pytest.approx(value, rel=1e-6)) for step, value in expected], key
