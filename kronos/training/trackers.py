"""Experiment trackers, through accelerate's classes; metrics.jsonl is written in any case.

The Trainer's own `report_to` is not used: its callbacks log the Trainer's arguments instead of our configuration, keep one
W&B or SwanLab run open over both stages, show the steps of a resumed run twice in TensorBoard, and are not finished when a
training fails.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kronos.config import Config
from kronos.config.schema import TrackerName
from kronos.errors import ConfigError
from kronos.files import write_text
from kronos.training.callbacks import pick_validation_figures, prefix_with_val

logger = logging.getLogger(__name__)

FIGURES = ("epoch", "loss", "learning_rate", "grad_norm")  # as in metrics.jsonl
Scalar = str | int | float | bool


def list_trackers(config: Config) -> tuple[TrackerName, ...]:
    """Return the trackers that the configuration asks for, including upstream's use_comet."""
    comet: tuple[TrackerName, ...] = ("comet",) if config.experiment.use_comet else ()
    return tuple(dict.fromkeys((*config.experiment.trackers, *comet)))


def check_trackers(config: Config) -> None:
    """Check that the packages of the requested trackers are installed.

    Raises:
        ConfigError: a package is missing.
    """
    available = {str(name) for name in get_available_trackers()}
    missing = [name for name in list_trackers(config) if _package(name) not in available]
    if missing:
        raise ConfigError(
            "experiment.trackers (or experiment.use_comet): missing package for {trackers}. Install it with: pip install "
            '{packages} (or pip install ".[{extras}]" in this folder), or remove the tracker from the configuration.',
            trackers=", ".join(missing),
            packages=" ".join(map(_package, missing)),
            extras=",".join(missing),
        )


def _package(name: TrackerName) -> str:
    """Return the name of a tracker's package, which is also accelerate's name for it."""
    return "comet_ml" if name == "comet" else name


@dataclass(frozen=True)
class _Run:
    """One stage's run, as trackers need it."""

    project: str
    name: str
    folder: Path  # for the trackers' files
    first_step: int  # above 0 if the run was resumed

    def read_id(self) -> str:
        """Return the id (32 hexadecimal digits) by which a resumed run is found again; a new run gets a new one."""
        path = self.folder / "run_id"
        if not path.is_file():
            write_text(path, uuid4().hex)
        return path.read_text(encoding="utf-8")


def _start_arguments(name: TrackerName, run: _Run) -> dict[str, Any]:
    """Return the arguments of accelerate's class, which passes most of them to the tracker's own init."""
    match name:
        case "tensorboard":
            purge_step = run.first_step + 1 if run.first_step else None  # hide the steps that are repeated
            return {"run_name": "tensorboard", "logging_dir": run.folder, "purge_step": purge_step}
        case "wandb":
            more = {"dir": run.folder, "id": run.read_id(), "resume": "allow"}
        case "swanlab":
            more = {"log_dir": str(run.folder / "swanlab"), "id": run.read_id(), "resume": "allow"}
        case "trackio":
            more = {"resume": "allow" if run.first_step else "never"}
        case "mlflow":
            return {"experiment_name": run.project, "run_name": run.name}
        case "comet":
            return {"run_name": run.project, **_comet_arguments(run)}
    return {"run_name": run.project, "name": run.name, **more}


def _comet_arguments(run: _Run) -> dict[str, Any]:
    from comet_ml import ExperimentConfig

    # One folder for each start: Comet draws its file names at random, and our fixed seed would repeat them.
    offline_dir = run.folder / "comet" / f"from_step_{run.first_step}"
    offline_dir.mkdir(parents=True, exist_ok=True)
    return {
        "mode": "get_or_create" if run.first_step else "create",  # create fails at once without a login
        "experiment_key": run.read_id(),
        "experiment_config": ExperimentConfig(name=run.name, offline_directory=str(offline_dir)),
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Scalar]:
    """Flatten nested sections to "section.key": value. Lists become JSON texts; keys without a value are left out."""
    flat: dict[str, Scalar] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            flat[prefix + key] = json.dumps(value, ensure_ascii=False)
        elif value is not None:
            flat[prefix + key] = value
    return flat


class TrackersCallback(TrainerCallback):
    """Reports the configuration, the losses and the end of a stage to the trackers, on rank 0 only.

    As a context manager it finishes the trackers however the training ends. A tracker that fails, for example without
    network or login, is dropped with one warning: a tracker must never end a training.
    """

    def __init__(self, config: Config, stage: str, folder: Path) -> None:
        self._names = list_trackers(config)
        self._project = config.experiment.name
        self._settings: dict[str, Scalar] = {"stage": stage, **flatten(config.model_dump(mode="json"))}
        self._best_by = config.training.best_by
        self._stage = stage
        self._folder = folder
        self._running: dict[TrackerName, GeneralTracker] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        run = _Run(self._project, args.run_name or self._stage, self._folder, state.global_step)
        for name in self._names:
            try:
                tracker = LOGGER_TYPE_TO_CLASS[_package(name)](**_start_arguments(name, run))
                self._running[name] = tracker
                tracker.start()
                tracker.store_init_configuration(self._settings)
            except Exception as error:
                self._drop(name, error)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs: dict[str, float] = kwargs["logs"]
        if "loss" in logs:
            self._log({key: logs[key] for key in FIGURES if key in logs}, state.global_step)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        metrics = kwargs["metrics"]
        figures = prefix_with_val(pick_validation_figures(metrics, self._best_by))
        self._log({"epoch": state.epoch or 0.0, **figures}, state.global_step)

    def _log(self, figures: dict[str, float], step: int) -> None:
        for name, tracker in list(self._running.items()):
            try:
                tracker.log(figures, step=step)
            except Exception as error:
                self._drop(name, error)

    def _drop(self, name: TrackerName, error: Exception) -> None:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        logger.warning(
            "%s  tracker %s failed (%s) and is no longer used. Training and metrics.jsonl continue.",
            *(self._stage, name, reason),
        )
        if tracker := self._running.pop(name, None):
            with suppress(Exception):  # it may have started
                tracker.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for name, tracker in list(self._running.items()):
            try:
                tracker.finish()
                del self._running[name]
            except Exception as failure:
                self._drop(name, failure)
