"""What a run would train, how long it would take and what it would need; nothing is written."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Literal

from kronos.config import Config
from kronos.config.training import StageName
from kronos.data import WindowDataset
from kronos.data.audit import describe_candles
from kronos.data.quality.findings import Finding
from kronos.data.windows.splits import SplitName
from kronos.errors import ConfigError
from kronos.model import KronosTokenizer
from kronos.model.pretrained import PretrainedModel
from kronos.names import Message
from kronos.planning.disk import compute_disk_bytes, measure_free_bytes
from kronos.planning.evidence import count_independent_origins
from kronos.planning.measure import Measurement, measure_capacity_mb, measure_stage, name_device
from kronos.saved_run import load_model
from kronos.stage_record import StageRecord
from kronos.training.arguments import build_arguments
from kronos.training.fit.blend import SHARES
from kronos.training.fit.compiling import keep_choice
from kronos.training.fit.lora_and_freezing import count_parameters
from kronos.training.fit.precision import choose_precision
from kronos.training.pipeline import RunInputs, build_stage, prepare_inputs
from kronos.training.saved.checkpoints import step_of
from kronos.training.saved.resume import find_continuation
from kronos.training.stage import Stage
from kronos.training.step_counts import check_batch_fits, count_steps, count_steps_an_epoch, count_windows_a_step

NOT_YET_TRAINED = "the tokenizer that stage 1 will train"


@dataclass(frozen=True)
class SplitPlan:
    """candles: from which horizons are taken. independent: windows that share no candle (train), or no candle of the horizon.

    origins: horizons that do not overlap in time, over all symbols.
    """

    candles: int
    windows: int
    independent: int
    origins: int


@dataclass(frozen=True)
class Outlook:
    """What --skip-existing would do with a stage; step: from which it would resume."""

    action: Literal["nothing", "skip", "resume", "start", "refuse"]
    reason: Message
    step: int = 0


@dataclass(frozen=True)
class StageSettings:
    """What is known of a stage before its first step; total_steps counts optimizer steps."""

    name: StageName
    pre_trained: bool
    n_parameters: int
    n_trainable: int
    learning_rate: float
    total_steps: int


@dataclass(frozen=True)
class StagePlan(StageSettings):
    """A stage as it would run; windows per step are counted over all ranks.

    first_step: where it starts, 0 or the step of the checkpoint. validations: how many are still to come, of
    validation_batches batches each, including those of training.blend. occupied: whether the folder has results of an earlier
    stage. measurement: None if it would not run.
    """

    source: str
    windows_a_step: int
    window: int
    n_ranks: int
    precision: str
    device: str
    steps_an_epoch: int
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
        """The time of the remaining steps, with what compiling saves and takes."""
        if not self.measurement:
            return 0.0
        share = (self.total_steps - self.first_step) / self.total_steps
        return share * (self.total_steps * self.measurement.step_seconds - self.measurement.compiling.gained_seconds)

    @property
    def validation_seconds(self) -> float:
        """The time of the remaining validations."""
        if not self.measurement:
            return 0.0
        return self.validations * self.validation_batches * self.measurement.validation_batch_seconds

    @property
    def seconds(self) -> float:
        return self.train_seconds + self.validation_seconds

    @property
    def tokens_a_second(self) -> float:
        """Candles per second in training, over all ranks; each candle is a token."""
        return self.windows_a_step * self.window / self.measurement.step_seconds if self.measurement else 0.0

    @property
    def disk_bytes(self) -> int:
        """The most at any time."""
        if not self.measurement:
            return 0
        counts = self.checkpoints_kept, self.total_steps, self.steps_a_checkpoint
        return compute_disk_bytes(*counts, self.measurement.checkpoint_bytes, self.measurement.model_bytes)


@dataclass(frozen=True)
class RunPlan:
    """All that a dry run shows.

    candles: one line that describes them. free_bytes: on the disk of the run's folder.
    memory_mb: available to a process, of the GPU or of the machine.
    """

    config: Config
    skip_existing: bool
    candles: str
    findings: tuple[Finding, ...]
    splits: dict[SplitName, SplitPlan]
    stages: dict[StageName, StagePlan]
    free_bytes: int
    memory_mb: float

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages.values())

    @property
    def disk_bytes(self) -> int:
        """The sum of both stages: the checkpoints of a finished stage stay until it is trained again."""
        return sum(stage.disk_bytes for stage in self.stages.values())


def plan_run(config: Config, skip_existing: bool) -> RunPlan:
    """Plan a run, with a few real steps of each stage that it would train. Call it on every rank.

    Nothing is written to the run's folder. The candles and their windows are checked as in a run.

    Raises:
        KronosError: the run would stop before its first step.
    """
    memory_mb = measure_capacity_mb()
    inputs = prepare_inputs(config)
    stages = build_stages(config, inputs)
    return RunPlan(
        config=config,
        skip_existing=skip_existing,
        candles=describe_candles(inputs.audited.candles),
        findings=inputs.audited.findings,
        splits=plan_splits(config, inputs),
        stages={name: _plan_stage(config, name, *each, skip_existing) for name, each in stages.items()},
        free_bytes=measure_free_bytes(config.model_paths.base_save_path),
        memory_mb=memory_mb,
    )


def plan_splits(config: Config, inputs: RunInputs) -> dict[SplitName, SplitPlan]:
    """Count what each split holds."""
    candles, origins = inputs.audited.candles, count_independent_origins
    return {
        name: SplitPlan(split.rows, len(split), split.independent, origins(candles, split, config.data))
        for name, split in inputs.splits.items()
    }


def build_stages(config: Config, inputs: RunInputs) -> dict[StageName, tuple[Stage, Outlook]]:
    """Build the stages that are on; until a tokenizer is trained, the one before training stands in for it."""
    stages: dict[StageName, tuple[Stage, Outlook]] = {}
    tokenizer, is_final = inputs.tokenizer, True
    if config.experiment.train_tokenizer:
        stage = build_stage("tokenizer", config, inputs, copy.deepcopy(inputs.tokenizer))  # measuring trains it
        outlook = _find_outlook(stage)
        is_final = outlook.action == "skip"
        tokenizer = load_model(KronosTokenizer, stage.best_model) if is_final else tokenizer
        stages["tokenizer"] = stage, outlook
    if inputs.base_model:
        stage = build_stage("basemodel", config, inputs, inputs.base_model, tokenizer)
        tokenizer_hash = stage.record.tokenizer_hash if is_final else NOT_YET_TRAINED
        stages["basemodel"] = stage, _find_outlook(stage, tokenizer_hash)
    return stages


def _find_outlook(stage: Stage, tokenizer_hash: str | None = None) -> Outlook:
    """Find what --skip-existing would do with a stage; tokenizer_hash: of the base model's tokenizer."""
    wanted = stage.record.model_copy(update={"tokenizer_hash": tokenizer_hash})
    try:
        continuation = find_continuation(stage.folder, wanted, stage.train.candles)
    except ConfigError as error:
        return Outlook("refuse", Message(error.template, **error.values))
    if continuation is None:
        return Outlook("nothing", Message("nothing to resume: trains from the start"))
    step = step_of(continuation.checkpoint) if continuation.checkpoint else 0
    return Outlook(continuation.action, continuation.reason, step)


def _plan_stage(config: Config, name: StageName, stage: Stage, outlook: Outlook, skip_existing: bool) -> StagePlan:
    check_batch_fits(config, stage.train)
    training, paths = config.training, config.model_paths
    arguments = build_arguments(config, stage.name, stage.files.checkpoints, evaluate_first=True)
    settings = _collect_stage_settings(config, name, stage.model, stage.train)
    steps_an_epoch = count_steps_an_epoch(config, stage.train)
    first_step = outlook.step if skip_existing else 0
    started = StageRecord.read(stage.folder) if first_step else None
    runs = not (skip_existing and outlook.action in ("skip", "refuse"))
    return StagePlan(
        **vars(settings),
        source=paths.pretrained_tokenizer if name == "tokenizer" else paths.pretrained_predictor,
        windows_a_step=count_windows_a_step(config),
        window=config.data.window,
        n_ranks=arguments.world_size,
        precision=choose_precision(config),
        device=name_device(arguments.device),
        steps_an_epoch=steps_an_epoch,
        first_step=first_step,
        validations=count_validations(settings.total_steps, first_step, steps_an_epoch, training.eval_steps)
        + (len(SHARES) if training.blend and name == "basemodel" else 0),
        validation_batches=-(-len(stage.val) // (arguments.eval_batch_size * arguments.world_size)),
        checkpoints_kept=training.save_total_limit,
        steps_a_checkpoint=training.save_steps or steps_an_epoch,
        outlook=outlook,
        occupied=stage.folder.is_dir() and any(stage.folder.iterdir()),
        measurement=measure_stage(keep_choice(config, started), stage) if runs else None,
    )


def collect_stage_settings(config: Config, inputs: RunInputs, skip_existing: bool) -> list[StageSettings]:
    """Collect what is known, before their first steps, of the stages that would train."""
    models: dict[StageName, PretrainedModel] = (
        {"tokenizer": inputs.tokenizer} if config.experiment.train_tokenizer else {}
    )
    models |= {"basemodel": inputs.base_model} if inputs.base_model else {}
    outlooks = build_stages(config, inputs) if skip_existing else {}
    skipped = {name for name, (_, outlook) in outlooks.items() if outlook.action == "skip"}
    train = inputs.windows["train"]
    return [
        _collect_stage_settings(config, name, model, train) for name, model in models.items() if name not in skipped
    ]


def _collect_stage_settings(
    config: Config, name: StageName, model: PretrainedModel, train: WindowDataset
) -> StageSettings:
    on = config.experiment
    n_parameters, n_trainable = count_parameters(model)
    return StageSettings(
        name=name,
        pre_trained=on.pre_trained_tokenizer if name == "tokenizer" else on.pre_trained_predictor,
        n_parameters=n_parameters,
        n_trainable=n_trainable,
        learning_rate=config.training.rate_of(name),
        total_steps=count_steps(config, name, train),
    )


def count_validations(total_steps: int, first_step: int, steps_an_epoch: int, eval_steps: int | None) -> int:
    """Count the validations to come: before training, every so many steps, and at the end."""
    unit = eval_steps or steps_an_epoch
    return int(first_step == 0) + math.ceil(total_steps / unit) - first_step // unit
