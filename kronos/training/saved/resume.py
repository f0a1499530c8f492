"""Find out what an earlier run left of a stage: finished, interrupted, or to be moved aside."""

import itertools
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from accelerate import PartialState
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE

from kronos.config import Config
from kronos.data import CandleSet
from kronos.errors import CheckpointError, ConfigError
from kronos.model.stored.architecture import read_model_config
from kronos.model.stored.weights import read_header
from kronos.names import Message
from kronos.run_folder import StageFolder
from kronos.stage_record import GLOBAL_BATCH, StageRecord
from kronos.training.safety.out_of_memory import finds_micro_batch
from kronos.training.saved.checkpoint_files import check_checkpoint, read_state
from kronos.training.saved.checkpoints import newest_checkpoint, refuse_sharded
from kronos.training.saved.stage_settings import describe_differences, renew_candle_hashes, take_choices

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Continuation:
    """What --skip-existing will do with an existing stage, and why.

    caution: whether the reason is logged as a warning. record: of the existing stage. checkpoint: where to resume.
    """

    action: Literal["skip", "resume", "start"]
    reason: Message
    record: StageRecord
    checkpoint: Path | None = None
    caution: bool = False


def find_continuation(folder: Path, wanted: StageRecord, candles: CandleSet) -> Continuation | None:
    """Decide what --skip-existing would do with a stage's folder, without doing it; None if there is no record.

    Args:
        wanted: the record of the stage as it would be trained now, with these candles.

    Raises:
        ConfigError: an interrupted run had other settings.
        CheckpointError: an interrupted run left sharded or malformed checkpoints.
    """
    existing = StageRecord.read(folder)
    if existing is None:
        return None
    settings = renew_candle_hashes(existing.settings, wanted.settings, candles)
    existing = existing.model_copy(update={"settings": settings})
    if not existing.finished:
        return _find_resume_point(folder, existing, wanted)
    best_model = StageFolder(folder).best_model
    if existing.tokenizer_hash != wanted.tokenizer_hash:
        reason = Message("finished before, but with another tokenizer; starts again")
        return Continuation("start", reason, existing)
    if not _is_usable(existing, folder):
        template = "finished before, but its best model is missing or damaged ({folder}); starts again"
        reason = Message(template, folder=best_model)
        return Continuation("start", reason, existing, caution=True)
    reason = Message("finished before, skipped: {folder}", folder=best_model)
    differences = describe_differences(existing.settings, take_choices(wanted.settings, existing.settings))
    if differences:
        template = "{reason}. It was trained with other settings ({differences}). Run without --skip-existing to train it again."
        reason = Message(template, reason=reason, differences=differences)
    return Continuation("skip", reason, existing, caution=bool(differences))


def _find_resume_point(folder: Path, existing: StageRecord, wanted: StageRecord) -> Continuation:
    refuse_sharded(StageFolder(folder).checkpoints)
    checkpoint = newest_checkpoint(StageFolder(folder).checkpoints)
    if checkpoint is None:
        return Continuation("start", Message("interrupted before its first checkpoint, starts again"), existing)
    check_checkpoint(checkpoint)
    if existing.best_step is not None and not _is_usable(existing, folder):
        reason = Message("interrupted before, but its best model is missing or damaged; starts again")
        return Continuation("start", reason, existing, caution=True)
    settings = take_choices(wanted.settings, existing.settings)
    moved = existing.n_processes != wanted.n_processes
    if moved:  # keep_global_batch adapts batch_size
        settings = settings | {GLOBAL_BATCH: existing.settings[GLOBAL_BATCH]}
    differences = describe_differences(
        existing.settings | {"tokenizer": existing.tokenizer_hash}, settings | {"tokenizer": wanted.tokenizer_hash}
    )
    if differences:
        raise ConfigError(
            "{folder}: the interrupted {stage} stage was started with other settings ({differences}). Restore them to resume, "
            "or run without --skip-existing to start again (the old files are moved aside).",
            folder=folder,
            stage=wanted.stage,
            differences=differences,
        )
    reason = Message("interrupted before, resumes from {checkpoint}", checkpoint=checkpoint)
    if moved:
        template = (
            "{reason}. It was started on {before} and resumes on {n}: the steps take the same windows, but rounding and dropout "
            "differ, so the result is not identical to an uninterrupted run."
        )
        before = describe_processes(existing.n_processes)
        reason = Message(template, reason=reason, before=before, n=wanted.n_processes)
    elif wanted.n_parts not in (None, existing.n_parts):
        template = (
            "{reason}. Batches were computed in {before} parts and are now computed in {n}: the result is the same except for "
            "rounding."
        )
        reason = Message(template, reason=reason, before=existing.n_parts, n=wanted.n_parts)
    return Continuation(
        "resume", reason, existing, checkpoint, caution=moved or wanted.n_parts not in (None, existing.n_parts)
    )


def _is_usable(record: StageRecord, folder: Path) -> bool:
    """Whether the best model is readable and as it was saved."""
    best_model = StageFolder(folder).best_model
    try:
        read_model_config(best_model / CONFIG_NAME)
        read_header(best_model / SAFETENSORS_SINGLE_FILE)
    except CheckpointError:
        return False
    return record.fits_best_model(folder)


def describe_processes(n_processes: int) -> Message:
    """Return a number of processes in words."""
    return Message("{n} processes" if n_processes > 1 else "{n} process", n=n_processes)


def keep_global_batch(config: Config, existing: StageRecord) -> Config:
    """Adapt batch_size to another number of processes, so a step takes the same windows as before.

    Raises:
        ConfigError: the windows cannot be shared equally.
    """
    n_processes = int(PartialState().num_processes)
    whole = existing.settings[GLOBAL_BATCH]
    if existing.n_processes == n_processes or whole == config.training.batch_size * n_processes:
        return config
    if whole % n_processes:
        raise ConfigError(
            "The interrupted {stage} stage took {whole} windows a step, which {n_processes} processes cannot share equally. "
            "Launch {n_before} processes again, or another number that divides {whole}.",
            stage=existing.stage,
            whole=whole,
            n_processes=n_processes,
            n_before=existing.n_processes,
        )
    batch_size, part = whole // n_processes, config.training.batch_size // config.training.accumulation_steps
    accumulation_steps = next(n for n in range(1, batch_size + 1) if batch_size % n == 0 and batch_size // n <= part)
    logger.info(
        "%s  batch_size is %d on %d processes, for the same windows a step", existing.stage, batch_size, n_processes
    )
    return config.override({"training.batch_size": batch_size, "training.accumulation_steps": accumulation_steps})


def keep_parts(config: Config, existing: StageRecord) -> Config:
    """Return the configuration with the parts of a batch that the stage began with, if it finds them by itself."""
    n_parts = existing.n_parts or 1
    same_share = existing.n_processes == PartialState().num_processes and config.training.batch_size % n_parts == 0
    if not same_share or not finds_micro_batch(config) or n_parts < config.training.accumulation_steps:
        return config
    return config.override({"training.accumulation_steps": n_parts})


def was_validated(checkpoint: Path) -> bool:
    """Whether the validation that belongs to a checkpoint's step came before it was saved."""
    state = read_state(checkpoint)
    return any("eval_loss" in entry and entry["step"] == state.global_step for entry in state.log_history)


def set_aside(folder: Path) -> None:
    """Move an earlier stage aside, without losing anything."""
    if not folder.exists():
        return
    existing = StageRecord.read(folder)
    checkpoints = StageFolder(folder).checkpoints
    untrained = existing and not existing.finished and not existing.best_step and newest_checkpoint(checkpoints) is None
    if untrained or not any(folder.iterdir()):
        shutil.rmtree(folder)
        return
    if existing and existing.finished:
        shutil.rmtree(checkpoints, ignore_errors=True)  # large, and nothing will resume from them
    aside = folder.with_name(f"{folder.name}.previous")
    for n in itertools.count(2):
        if not aside.exists():
            break
        aside = folder.with_name(f"{folder.name}.previous-{n}")
    folder.rename(aside)
    logger.info("the earlier %s was moved to %s", folder.name, aside)
