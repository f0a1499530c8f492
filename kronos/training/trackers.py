"""Experiment trackers, all by accelerate's classes; metrics.jsonl is written beside them in any case."""

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

logger = logging.getLogger(__name__)

FIGURES = ("epoch", "loss", "learning_rate", "grad_norm")  # as in metrics.jsonl
Scalar = str | int | float | bool


def list_trackers(config: Config) -> tuple[TrackerName, ...]:
    """List the trackers asked for, upstream's use_comet among them."""
    comet: tuple[TrackerName, ...] = ("comet",) if config.experiment.use_comet else ()
    return tuple(dict.fromkeys((*config.experiment.trackers, *comet)))


def check_trackers(config: Config) -> None:
    """Check that the trackers asked for are installed.

    Raises:
        ConfigError: one is not.
    """
    available = {str(name) for name in get_available_trackers()}
    missing = [name for name in list_trackers(config) if _package(name) not in available]
    if missing:
        packages = " ".join(_package(name) for name in missing)
        verb = "is" if len(missing) == 1 else "are"
        raise ConfigError(
            f"experiment.trackers (or experiment.use_comet) asks for {', '.join(missing)}, but {packages} {verb} not "
            f'installed: pip install {packages} (or pip install ".[{",".join(missing)}]" in this folder), or take it out.'
        )


def _package(name: TrackerName) -> str:
    """Return a tracker's package, by which accelerate calls it too."""
    return "comet_ml" if name == "comet" else name


@dataclass(frozen=True)
class _Run:
    """What a tracker is told about the run of a stage."""

    project: str
    name: str
    folder: Path  # for files of trackers
    first_step: int  # above 0: resumed

    def read_id(self) -> str:
        """Read the name under which a resumed run is found again; made up for a new one. 32 hexadecimal digits."""
        path = self.folder / "run_id"
        if not path.is_file():
            write_text(path, uuid4().hex)
        return path.read_text(encoding="utf-8")


def _start_arguments(name: TrackerName, run: _Run) -> dict[str, Any]:
    """The arguments of accelerate's class, which hands most of them on to the tracker's own init."""
    match name:
        case "tensorboard":
            purge_step = run.first_step + 1 if run.first_step else None  # steps that are about to be done again
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
            from comet_ml import ExperimentConfig

            # A folder for each start: with the seed fixed, Comet would give two files the same random name.
            offline_dir = run.folder / "comet" / f"from_step_{run.first_step}"
            offline_dir.mkdir(parents=True, exist_ok=True)
            own = ExperimentConfig(name=run.name, offline_directory=str(offline_dir))
            mode = "get_or_create" if run.first_step else "create"  # which says at once that there is no login
            return {
                "run_name": run.project,
                "mode": mode,
                "experiment_key": run.read_id(),
                "experiment_config": own,
            }
    return {"run_name": run.project, "name": run.name, **more}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Scalar]:
    """Flatten nested sections to "section.key": value; lists become JSON texts, what is not set is left out."""
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
    """Tells the trackers, on rank 0 only, the configuration, the losses and the end.

    A context: it finishes the trackers however training ends. One that fails, as without network or login, is left
    out with one warning: a tracker must not cost a training.
    """

    def __init__(self, config: Config, stage: str, folder: Path) -> None:
        self._names = list_trackers(config)
        self._project = config.experiment.name
        self._settings: dict[str, Scalar] = {"stage": stage, **flatten(config.model_dump(mode="json"))}
        self._validated = dict.fromkeys(("loss", config.training.best_by))
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
                self._leave_out(name, error)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        logs: dict[str, float] = kwargs["logs"]
        if "loss" in logs:
            self._log({key: logs[key] for key in FIGURES if key in logs}, state.global_step)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        metrics = kwargs["metrics"]
        figures = {f"val_{name}": metrics[f"eval_{name}"] for name in self._validated if f"eval_{name}" in metrics}
        self._log({"epoch": state.epoch or 0.0, **figures}, state.global_step)

    def _log(self, figures: dict[str, float], step: int) -> None:
        for name, tracker in list(self._running.items()):
            try:
                tracker.log(figures, step=step)
            except Exception as error:
                self._leave_out(name, error)

    def _leave_out(self, name: TrackerName, error: Exception) -> None:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        logger.warning(
            "%s  the tracker %s fails and is left out (%s); training and metrics.jsonl go on", self._stage, name, reason
        )
        if tracker := self._running.pop(name, None):
            with suppress(Exception):  # it may have begun
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
                self._leave_out(name, failure)
