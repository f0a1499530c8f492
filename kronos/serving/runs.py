"""The runs that are served: their models in memory, loaded anew when they change on disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kronos.config import Config
from kronos.data.against_run import RunCandles
from kronos.errors import ConfigError, KronosError
from kronos.evaluation.scores.calibration import Calibration
from kronos.evaluation.stored_calibration import describe_conditions, find_calibration
from kronos.forecast import KronosPredictor, Sampling
from kronos.names import shorten_names
from kronos.report.verdict.summary import MODELS, VerdictSummary, summarize_run
from kronos.saved_run import find_tokenizer, load_run_config, load_saved_run
from kronos.stage_record import MODEL_FILES

logger = logging.getLogger(__name__)

Signature = tuple[tuple[str, int, int, int], ...]

MAX_OUTLOOKS = 64  # of a run, by the settings of forecasts


@dataclass(frozen=True)
class Outlook:
    """What is known of forecasts with the same settings: their conditions, their calibration, and the verdict."""

    conditions: Mapping[str, Any]
    calibration: Calibration | None
    summary: VerdictSummary


@dataclass(frozen=True, eq=False)
class ServedRun:
    """One state of a run: its configuration, its models, and what identifies both.

    trained: the candles it was trained on. loaded_at: seconds since 1970. conditions: those of its own forecasts.
    signature: of the files it was read from.
    """

    name: str
    config: Config
    predictor: KronosPredictor
    trained: RunCandles | None
    conditions: Mapping[str, Any]
    signature: Signature
    loaded_at: float = field(default_factory=time.time)
    _outlooks: dict[tuple[object, ...], Outlook] = field(default_factory=dict)

    @classmethod
    def load(cls, name: str, folder: Path, options: Mapping[str, Any]) -> ServedRun:
        """Load a run from its folder.

        Args:
            options: those of `KronosPredictor`, such as device.

        Raises:
            ConfigError: there is no run. CheckpointError: it has no base model yet, or its files do not fit together.
        """
        signature = sign(folder)
        saved = load_saved_run(folder)
        predictor = KronosPredictor.from_run(saved, **options)
        data, report = saved.config.data, saved.config.report
        sampling = Sampling(report.temperature, 0, report.top_p)
        conditions = describe_conditions(predictor, sampling, data.lookback_window, data.predict_window)
        trained = RunCandles.read(saved.config.model_paths.run_folder)
        return cls(name, saved.config, predictor, trained, conditions, signature)

    @property
    def hashes(self) -> tuple[str, str]:
        """The SHA-256 of the weights of the base model and of the tokenizer."""
        tokenizer, model = (str(self.conditions[key]) for key in MODELS)
        return model, tokenizer

    def find_outlook(self, sampling: Sampling, lookback: int, horizon: int, n_paths: int) -> Outlook:
        """Return the calibration and the verdict of forecasts with these settings. They are read once."""
        key = (sampling, lookback, horizon, n_paths)
        if key not in self._outlooks:
            if len(self._outlooks) >= MAX_OUTLOOKS:
                self._outlooks.clear()
            own = {"lookback": lookback, "horizon": horizon, **vars(sampling)}
            conditions, folder = dict(self.conditions) | own, self.config.model_paths.run_folder
            calibration = find_calibration(folder.calibration, conditions, n_paths) if n_paths > 1 else None
            self._outlooks[key] = Outlook(conditions, calibration, summarize_run(folder, conditions))
        return self._outlooks[key]


class ServedRuns(Mapping[str, ServedRun]):
    """Runs by their names; the first is the default. A forecast keeps the state of its run that it began with."""

    def __init__(self, folders: Sequence[Path], options: Mapping[str, Any]) -> None:
        """Load runs from their folders.

        Args:
            options: those of `KronosPredictor`, such as device.

        Raises:
            ConfigError: a folder holds no run, or is given twice. CheckpointError: a run has no usable base model.
        """
        paths = [folder.expanduser().resolve() for folder in folders]
        for path in paths:
            if paths.count(path) > 1:
                raise ConfigError("--run {folder} is given twice. Give each run once.", folder=path)
        self._folders, self._options = dict(zip(shorten_names(paths), paths)), dict(options)
        self._runs = {name: ServedRun.load(name, path, options) for name, path in self._folders.items()}
        self._refused: dict[str, Signature] = {}

    def __getitem__(self, name: str) -> ServedRun:
        return self._runs[name]

    def __iter__(self) -> Any:
        return iter(self._runs)

    def __len__(self) -> int:
        return len(self._runs)

    def reload(self) -> list[str]:
        """Load the runs whose files have changed, and return their names. A run that cannot be loaded stays as it was."""
        reloaded = []
        for name, folder in self._folders.items():
            signature = sign(folder)
            if signature in (self._runs[name].signature, self._refused.get(name)):
                continue
            try:
                loaded = ServedRun.load(name, folder, self._options)
            except Exception as error:  # whatever it is, such as too little memory: the earlier state is at hand
                self._refused[name] = signature
                logger.warning("%s has changed, but cannot be loaded: %s The earlier state is served.", name, error)
                continue
            if sign(folder) != loaded.signature:
                continue  # it was replaced while it was loaded, and may be a mixture: the next look finds it whole
            self._runs[name] = loaded
            self._refused.pop(name, None)
            logger.info("%s has changed, and was loaded anew: %s", name, self._runs[name].hashes[0][:12])
            reloaded.append(name)
        return reloaded


def sign(folder: Path) -> Signature:
    """Return what changes when a file does that a run's forecasts depend on: time, size and inode of each."""
    try:
        config = load_run_config(folder)
        run, tokenizer = config.model_paths.run_folder, Path(find_tokenizer(config))
    except KronosError:  # it is being written, or broken; loading it tells which
        return ()
    stages = [run.basemodel.record, run.tokenizer.record, run.audit]
    models = [model / name for model in (tokenizer, run.basemodel.best_model) for name in MODEL_FILES]
    files = [run.config, *stages, *models, run.calibration, run.report.results]
    return tuple(_stat(path) for path in files)


def _stat(path: Path) -> tuple[str, int, int, int]:
    try:
        stat = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino
