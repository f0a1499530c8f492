"""What a run would train on what, how long it would take and what it would need, without leaving anything."""

from __future__ import annotations

import copy
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
import torch
from accelerate import PartialState

from kronos.config import Config
from kronos.config.training import StageName
from kronos.data import WindowDataset
from kronos.data.audit import describe_candles
from kronos.data.quality.findings import Finding
from kronos.data.windows.splits import SplitName
from kronos.errors import ConfigError
from kronos.model import KronosTokenizer
from kronos.planning.measure import Measurement, measure_stage
from kronos.training.arguments import build_arguments
from kronos.training.fit.lora_and_freezing import count_parameters
from kronos.training.fit.precision import choose_precision
from kronos.training.pipeline import RunInputs, build_stage, prepare_inputs
from kronos.training.saved.checkpoints import step_of
from kronos.training.saved.resume import find_continuation
from kronos.training.stage import Stage, check_batch_fits, count_steps, count_steps_an_epoch, count_windows_a_step

STILL_TO_BE_TRAINED = "the one that stage 1 is still to train"
N_WINDOWS_LOOKED_AT = 256  # for the share of values that are clipped


@dataclass(frozen=True)
class SplitPlan:
    """candles: from which horizons are taken. independent: windows that share no candle (train), or no candle of the horizon."""

    candles: int
    windows: int
    independent: int


@dataclass(frozen=True)
class Outlook:
    """What --skip-existing would make of a stage; step: where a resumed one goes on."""

    action: Literal["nothing", "skip", "resume", "start", "refuse"]
    reason: str
    step: int = 0


@dataclass(frozen=True)
class StagePlan:
    """A stage as it would run; step counts are optimizer steps, windows a step are counted over all ranks.

    first_step: where it begins, 0 or the checkpoint gone on from. validations: how many are still to come, of
    validation_batches batches each. occupied: whether an earlier stage's results are in its folder.
    measurement: None where the stage would not run.
    """

    name: StageName
    source: str
    pre_trained: bool
    n_parameters: int
    n_trainable: int
    learning_rate: float
    windows_a_step: int
    window: int
    n_ranks: int
    precision: str
    device: str
    steps_an_epoch: int
    total_steps: int
    first_step: int
    validations: int
    validation_batches: int
    checkpoints_kept: int
    steps_a_checkpoint: int
    outlook: Outlook
    occupied: bool
    measurement: Measurement | None

    @property
    def epochs(self) -> float:
        return self.total_steps / self.steps_an_epoch

    @property
    def train_seconds(self) -> float:
        """Steps still to come times the seconds of one."""
        return (self.total_steps - self.first_step) * self.measurement.step_seconds if self.measurement else 0.0

    @property
    def validation_seconds(self) -> float:
        """Validations still to come, times their batches, times the seconds of one."""
        if not self.measurement:
            return 0.0
        return self.validations * self.validation_batches * self.measurement.validation_batch_seconds

    @property
    def seconds(self) -> float:
        return self.train_seconds + self.validation_seconds

    @property
    def tokens_a_second(self) -> float:
        """Candles, each of them a token, that training takes in a second, over all ranks."""
        return self.windows_a_step * self.window / self.measurement.step_seconds if self.measurement else 0.0

    @property
    def disk_bytes(self) -> int:
        """The most at any time: the checkpoints kept, the next, written before the oldest goes, the best model twice."""
        if not self.measurement:
            return 0
        checkpoints = min(self.checkpoints_kept + 1, -(-self.total_steps // self.steps_a_checkpoint))
        return checkpoints * self.measurement.checkpoint_bytes + 2 * self.measurement.model_bytes


@dataclass(frozen=True)
class RunPlan:
    """All that a dry run says.

    candles: the line that describes them. clipped: the share of a train window's values beyond data.clip.
    free_bytes: on the disk of the run's folder. memory_mb: that a process may have, of the GPU or of the machine.
    """

    config: Config
    skip_existing: bool
    candles: str
    findings: tuple[Finding, ...]
    splits: dict[SplitName, SplitPlan]
    clipped: float
    stages: dict[StageName, StagePlan]
    free_bytes: int
    memory_mb: float

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages.values())

    @property
    def disk_bytes(self) -> int:
        """Checkpoints of a finished stage stay until it is trained anew, so that both stages' add up."""
        return sum(stage.disk_bytes for stage in self.stages.values())


def plan_run(config: Config, skip_existing: bool) -> RunPlan:
    """RunPlan a run, with a few real steps of each stage that it would train; to be called on every rank.

    Nothing is written to the run's folder; candles and their windows are checked as in a run.

    Raises:
        KronosError: what would stop the run before its first step.
    """
    memory_mb = _measure_capacity()
    inputs = prepare_inputs(config)
    stages = _look_at_stages(config, inputs)
    return RunPlan(
        config=config,
        skip_existing=skip_existing,
        candles=describe_candles(inputs.audited.candles),
        findings=inputs.audited.findings,
        splits={name: SplitPlan(s.rows, len(s), s.independent) for name, s in inputs.splits.items()},
        clipped=_measure_clipping(inputs.windows["train"], config.data.clip),
        stages={name: _plan_stage(config, name, *each, skip_existing) for name, each in stages.items()},
        free_bytes=shutil.disk_usage(_existing(config.model_paths.base_save_path)).free,
        memory_mb=memory_mb,
    )


def _look_at_stages(config: Config, inputs: RunInputs) -> dict[StageName, tuple[Stage, Outlook]]:
    """Put together the stages that are on; where no tokenizer is trained yet, the untrained one stands in for it."""
    stages: dict[StageName, tuple[Stage, Outlook]] = {}
    tokenizer, is_final = inputs.tokenizer, True
    if config.experiment.train_tokenizer:
        stage = build_stage("tokenizer", config, inputs, copy.deepcopy(inputs.tokenizer))  # measuring trains it
        outlook = _look_ahead(stage)
        is_final = outlook.action == "skip"
        tokenizer = KronosTokenizer.from_pretrained(stage.best_model) if is_final else tokenizer
        stages["tokenizer"] = stage, outlook
    if inputs.base_model:
        stage = build_stage("basemodel", config, inputs, inputs.base_model, tokenizer)
        tokenizer_hash = stage.record.tokenizer_hash if is_final else STILL_TO_BE_TRAINED
        stages["basemodel"] = stage, _look_ahead(stage, tokenizer_hash)
    return stages


def _look_ahead(stage: Stage, tokenizer_hash: str | None = None) -> Outlook:
    """Say what --skip-existing would make of a stage; tokenizer_hash: of the base model's tokenizer."""
    wanted = stage.record.model_copy(update={"tokenizer_hash": tokenizer_hash})
    try:
        found = find_continuation(stage.folder, wanted)
    except ConfigError as error:
        return Outlook("refuse", str(error))
    if found is None:
        return Outlook("nothing", "nothing to go on from: trains from the start")
    step = step_of(found.checkpoint) if found.checkpoint else 0
    return Outlook(found.action, found.reason, step)


def _plan_stage(config: Config, name: StageName, stage: Stage, outlook: Outlook, skip_existing: bool) -> StagePlan:
    check_batch_fits(config, stage)
    training, paths, experiment = config.training, config.model_paths, config.experiment
    arguments = build_arguments(config, stage.name, stage.files.checkpoints, evaluate_first=True)
    windows_a_step = count_windows_a_step(config)
    steps_an_epoch, total_steps = (
        count_steps_an_epoch(config, stage.train),
        count_steps(config, stage.name, stage.train),
    )
    first_step = outlook.step if skip_existing else 0
    runs = not (skip_existing and outlook.action in ("skip", "refuse"))
    measurement = measure_stage(config, stage) if runs else None
    n_parameters, n_trainable = count_parameters(stage.model)
    is_tokenizer = name == "tokenizer"
    return StagePlan(
        name=name,
        source=paths.pretrained_tokenizer if is_tokenizer else paths.pretrained_predictor,
        pre_trained=experiment.pre_trained_tokenizer if is_tokenizer else experiment.pre_trained_predictor,
        n_parameters=measurement.n_parameters if measurement else n_parameters,
        n_trainable=measurement.n_trainable if measurement else n_trainable,
        learning_rate=arguments.learning_rate,
        windows_a_step=windows_a_step,
        window=config.data.window,
        n_ranks=arguments.world_size,
        precision=choose_precision(config),
        device=_name_device(arguments.device),
        steps_an_epoch=steps_an_epoch,
        total_steps=total_steps,
        first_step=first_step,
        validations=_count_validations(total_steps, first_step, steps_an_epoch, training.eval_steps),
        validation_batches=-(-len(stage.val) // (arguments.eval_batch_size * arguments.world_size)),
        checkpoints_kept=training.save_total_limit,
        steps_a_checkpoint=training.save_steps or steps_an_epoch,
        outlook=outlook,
        occupied=stage.folder.is_dir() and any(stage.folder.iterdir()),
        measurement=measurement,
    )


def _count_validations(total_steps: int, first_step: int, steps_an_epoch: int, eval_steps: int | None) -> int:
    """Count the validations to come: of the untouched model, every so many steps, and at the end."""
    unit = eval_steps or steps_an_epoch
    return int(first_step == 0) + math.ceil(total_steps / unit) - first_step // unit


def _measure_clipping(windows: WindowDataset, clip: float) -> float:
    chosen = np.unique(np.linspace(0, len(windows) - 1, N_WINDOWS_LOOKED_AT).astype(int))
    values = windows.__getitems__(chosen.tolist())["candles"]
    return float((values.abs() >= clip).float().mean())


def _measure_capacity() -> float:
    """Return the memory (MB) that a process may have: its GPU's, or its share of what the machine has to give."""
    state = PartialState()
    if state.device.type == "cuda":
        return float(torch.cuda.get_device_properties(state.device).total_memory) / 2**20
    return float(psutil.virtual_memory().available / state.num_processes + psutil.Process().memory_info().rss) / 2**20


def _name_device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _existing(folder: Path) -> Path:
    """Return the nearest folder above that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
