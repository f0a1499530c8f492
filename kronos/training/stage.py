"""One stage: a model, windows and the Trainer. Tokenizer and base model differ only in the fields of Stage."""

import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import set_seed
from transformers import PrinterCallback, TrainerCallback, TrainingArguments

from kronos.config import Config
from kronos.config.load import dump_config
from kronos.config.schema import find_rate_key
from kronos.config.training import AUTO, ModelName
from kronos.data import WindowDataset
from kronos.data.windows.dataset import PrepareBatch, keep_batch
from kronos.data.windows.splits import count_epoch_windows
from kronos.files import write_text
from kronos.model.pretrained import PretrainedModel
from kronos.run_folder import StageFolder
from kronos.stage_record import GLOBAL_BATCH, StageRecord
from kronos.timing import timed
from kronos.training.arguments import build_arguments
from kronos.training.callbacks import BestModelCallback, ProgressCallback
from kronos.training.criterion import BY_LOSS, Criterion
from kronos.training.fit.compiling import fall_back_to_eager, settle_compiling
from kronos.training.fit.lora_and_freezing import describe_parameters
from kronos.training.fit.threads import ThreadsCallback, settle_threads, take_small_batch
from kronos.training.inputs.resident import ResidentInputs, hold_on_device
from kronos.training.inputs.tokens import TokenInputs, tokenise_splits
from kronos.training.safety.divergence import HealthCheck
from kronos.training.safety.out_of_memory import (
    find_micro_batch,
    finds_micro_batch,
    measure_step,
    translate_out_of_memory,
)
from kronos.training.safety.stopping import StopRequest, stop_on_signal, translate_lost_peers
from kronos.training.saved.checkpoints import remove_after, remove_incomplete, step_of
from kronos.training.saved.resume import (
    describe_processes,
    find_continuation,
    keep_global_batch,
    keep_parts,
    set_aside,
    was_validated,
)
from kronos.training.step_counts import check_batch_fits, count_steps, count_steps_an_epoch, count_windows_a_step
from kronos.training.trackers import TrackersCallback
from kronos.training.trainer import KronosTrainer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A stage's model, its data and its output folder."""

    name: ModelName
    folder: Path
    model: PretrainedModel
    prepare_batch: PrepareBatch
    train: WindowDataset
    val: WindowDataset
    record: StageRecord
    criterion: Criterion = BY_LOSS

    @property
    def files(self) -> StageFolder:
        return StageFolder(self.folder)

    @property
    def best_model(self) -> Path:
        return self.files.best_model

    def on_global_batch(self, n_windows: int) -> "Stage":
        """Return the stage with n_windows windows a step."""
        settings = self.record.settings | {GLOBAL_BATCH: n_windows}
        return replace(self, record=self.record.model_copy(update={"settings": settings}))


def run_stage(
    config: Config, stage: Stage, skip_existing: bool, callbacks: Sequence[TrainerCallback] = ()
) -> StageRecord:
    """Train a stage, resume an interrupted one, or skip a finished one.

    Args:
        skip_existing: skip a finished stage or resume an interrupted one; otherwise move it aside and start again.

    Returns:
        The finished stage's record.

    Raises:
        ConfigError: an interrupted run had other settings.
        CheckpointError: an interrupted run left sharded checkpoints.
        DataError: there are fewer train windows than one step takes.
    """
    checkpoint = None
    if skip_existing and (continuation := find_continuation(stage.folder, stage.record, stage.train.candles)):
        level = logging.WARNING if continuation.caution else stage.record.log_level
        logger.log(level, "%s  %s", stage.name, continuation.reason)
        if continuation.action == "skip":
            return continuation.record
        checkpoint = continuation.checkpoint
        if checkpoint:
            config = keep_parts(keep_global_batch(config, continuation.record), continuation.record)
            stage = stage.on_global_batch(count_windows_a_step(config))
    check_batch_fits(config, stage.train)
    PartialState().wait_for_everyone()  # until all ranks have looked at the folder
    with rank_0_first() as is_rank_0:
        if is_rank_0:
            remove_incomplete(stage.files.checkpoints)
        if is_rank_0 and checkpoint is None:
            set_aside(stage.folder)
            stage.folder.mkdir(parents=True)
            stage.record.write(stage.folder)
        elif is_rank_0 and checkpoint:
            remove_after(checkpoint.parent, step_of(checkpoint))
    with translate_out_of_memory(config, stage.name), translate_lost_peers():
        stage = hold_stage(config, _with_tokens(config, stage))
        if finds_micro_batch(config):
            config = find_micro_batch(config, stage.name, stage.model, stage.train, stage.prepare_batch)
    with translate_out_of_memory(config, stage.name), translate_lost_peers(), stop_on_signal() as stop:
        return _train(config, stage, checkpoint, stop, callbacks)


@timed("tokenising")
def _with_tokens(config: Config, stage: Stage) -> Stage:
    """Return the stage with cached tokens instead of candles, if training.token_cache allows it."""
    if not isinstance(stage.prepare_batch, TokenInputs):
        return stage
    train, val = tokenise_splits(config, stage.prepare_batch.tokenizer, stage.train, stage.val)
    return replace(stage, train=train, val=val)


def hold_stage(config: Config, stage: Stage) -> Stage:
    """Return the stage with its windows on the device, if training.data_on_device allows it."""
    train, val, prepare = hold_on_device(config, stage.name, stage.train, stage.val, stage.prepare_batch)
    return replace(stage, train=train, val=val, prepare_batch=prepare)


def _train(
    config: Config, stage: Stage, checkpoint: Path | None, stop: StopRequest, callbacks: Sequence[TrainerCallback]
) -> StageRecord:
    if PartialState().is_main_process:
        for path in (config.model_paths.run_folder.config, stage.files.config):
            write_text(path, dump_config(config))
    compiling, record = settle_compiling(
        config,
        StageRecord.read(stage.folder) or stage.record,
        stage.model,
        lambda: measure_step(config, stage.model, stage.train, stage.prepare_batch),
        count_steps(config, stage.name, stage.train),
    )
    small = take_small_batch(config)
    record, n_threads = settle_threads(
        record,
        lambda: measure_step(small, stage.model, stage.train, stage.prepare_batch),
        resumes=checkpoint is not None,
    )
    record = record.model_copy(update={"n_parts": config.training.accumulation_steps})
    threads = ThreadsCallback(n_threads)
    best_model = BestModelCallback(
        stage.folder,
        record,
        stage.criterion,
        config.training.early_stopping_patience,
        keep_trained=config.training.blend and stage.name == "basemodel",
    )
    progress = ProgressCallback(stage.name, stage.files.metrics, stage.criterion)
    trackers = TrackersCallback(config, stage.name, stage.files.tracking)
    evaluate_first = _validation_is_due(config, stage, checkpoint)
    arguments = build_arguments(compiling, stage.name, stage.files.checkpoints, evaluate_first)
    trainer = build_trainer(config, stage, arguments, [threads, trackers, progress, best_model, *callbacks], stop)
    set_seed(config.training.seed, device_specific=True)  # dropout differs between ranks
    _announce(stage, trainer)
    is_own_choice = config.training.torch_compile == AUTO
    with threads, trackers, progress, fall_back_to_eager(arguments.torch_compile and is_own_choice), timed("steps"):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    stop.close()
    record = best_model.record.model_copy(update={"finished": True, "steps": trainer.state.global_step})
    with rank_0_first() as is_rank_0:
        if is_rank_0:
            record.write(stage.folder)
    _report_outcome(stage, record)
    del trainer
    gc.collect()
    return record


def build_trainer(
    config: Config,
    stage: Stage,
    arguments: TrainingArguments,
    callbacks: Sequence[TrainerCallback] = (),
    stop: StopRequest | None = None,
) -> KronosTrainer:
    """Build the Trainer of a stage; it writes only to the folder in its arguments."""
    rate_key, usual_rate = find_rate_key(stage.name)
    health = HealthCheck(
        stage=stage.name,
        rate_key=rate_key,
        usual_rate=usual_rate,
        fp16=arguments.fp16,
        describe=stage.train.describe,
    )
    if isinstance(stage.prepare_batch, ResidentInputs):  # processes would have nothing to load
        arguments.dataloader_num_workers = 0
    trainer = KronosTrainer(
        prepare_batch=stage.prepare_batch,
        data_config=config.data,
        criterion=stage.criterion,
        health=health,
        stop=stop or StopRequest(),
        save_total_limit=config.training.save_total_limit,
        model=stage.model,
        args=arguments,
        train_dataset=stage.train,
        eval_dataset=stage.val,
        data_collator=keep_batch,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _validation_is_due(config: Config, stage: Stage, checkpoint: Path | None) -> bool:
    """Whether to validate first: the untouched model, or a step that was interrupted before its validation."""
    if checkpoint is None:
        return True
    step = step_of(checkpoint)
    every = config.training.eval_steps or count_steps_an_epoch(config, stage.train)
    return (step % every == 0 or step == count_steps(config, stage.name, stage.train)) and not was_validated(checkpoint)


@contextmanager
def rank_0_first() -> Iterator[bool]:
    """Let rank 0 run the body while the others wait; yield whether this is rank 0."""
    state = PartialState()
    try:
        yield state.is_main_process
    finally:
        state.wait_for_everyone()


def _announce(stage: Stage, trainer: KronosTrainer) -> None:
    logger.log(
        stage.record.log_level,
        "%s  %s, %s on %s",
        *(stage.name, describe_parameters(stage.model)),
        *(describe_processes(trainer.args.world_size), trainer.args.device.type),
    )
    n_train = count_epoch_windows(len(stage.train), trainer.data_config, trainer.global_batch)
    logger.debug(
        "%s  %s train windows an epoch, %s validation windows", stage.name, f"{n_train:,}", f"{len(stage.val):,}"
    )


def _report_outcome(stage: Stage, record: StageRecord) -> None:
    if record.improved:
        logger.log(
            record.log_level,
            "%s  done: %s %.5f → %.5f at step %d",
            *(stage.name, record.figure_name, record.start_figure, record.best_figure, record.best_step),
        )
        logger.debug("%s  the best model is saved in %s", stage.name, stage.best_model)
    else:
        logger.log(
            logging.WARNING if record.log_level == logging.INFO else record.log_level,
            "%s  did not improve: %s was never better than before training (%.5f). %s contains the untouched model.",
            *(stage.name, record.figure_name, record.start_figure, stage.best_model),
        )
