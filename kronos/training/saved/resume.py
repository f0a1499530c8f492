"""What an earlier run left of a stage: finished, interrupted or to be set aside."""

import itertools
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from accelerate import PartialState
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from safetensors import SafetensorError, safe_open

from kronos.config import Config
from kronos.errors import CheckpointError, ConfigError
from kronos.model.pretrained import read_model_config
from kronos.run_folder import StageFolder
from kronos.stage_record import GLOBAL_BATCH, StageRecord
from kronos.training.saved.checkpoints import newest_checkpoint, refuse_sharded
from kronos.training.saved.stage_record import describe_differences

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Continuation:
    """What --skip-existing makes of the stage it finds, and why.

    caution: whether the reason is worth a warning. record: what was found. checkpoint: where a resumed stage goes on.
    """

    action: Literal["skip", "resume", "start"]
    reason: str
    record: StageRecord
    checkpoint: Path | None = None
    caution: bool = False


def find_continuation(folder: Path, wanted: StageRecord) -> Continuation | None:
    """Look what --skip-existing would make of a stage's folder, without doing it; None where there is no record.

    Args:
        wanted: the record of the stage as it would be trained now.

    Raises:
        ConfigError: an interrupted run had other settings.
        CheckpointError: an interrupted run left sharded checkpoints.
    """
    found = StageRecord.read(folder)
    if found is None:
        return None
    if not found.finished:
        return _find_resume_point(folder, found, wanted)
    best_model = StageFolder(folder).best_model
    if found.tokenizer_hash != wanted.tokenizer_hash or not _is_readable(best_model):
        return Continuation(
            "start", "finished before, but with another tokenizer, or its best model is gone: starts anew", found
        )
    reason = f"finished before, skipped: {best_model}"
    differences = describe_differences(found.settings, wanted.settings)
    if differences:
        reason += f"; it was trained with other settings ({differences}); run without --skip-existing to train anew"
    return Continuation("skip", reason, found, caution=bool(differences))


def _find_resume_point(folder: Path, found: StageRecord, wanted: StageRecord) -> Continuation:
    refuse_sharded(StageFolder(folder).checkpoints)
    checkpoint = newest_checkpoint(StageFolder(folder).checkpoints)
    if checkpoint is None:
        return Continuation("start", "interrupted before its first checkpoint, starts again", found)
    if found.best_step is not None and not _is_readable(StageFolder(folder).best_model):
        reason = "interrupted before, but its best model is gone or damaged: starts anew"
        return Continuation("start", reason, found, caution=True)
    settings = wanted.settings
    moved = found.n_processes != wanted.n_processes
    if moved:  # batch_size is fitted to the processes there are
        settings = settings | {GLOBAL_BATCH: found.settings[GLOBAL_BATCH]}
    differences = describe_differences(
        found.settings | {"tokenizer": found.tokenizer_hash}, settings | {"tokenizer": wanted.tokenizer_hash}
    )
    if differences:
        raise ConfigError(
            f"{folder}: the interrupted {wanted.stage} stage was started with other settings ({differences}). Restore "
            "them to go on with it, or run without --skip-existing to start anew (what is there is set aside)."
        )
    reason = f"interrupted before, goes on from {checkpoint}"
    if moved:
        reason += (
            f"; it was started on {_count_processes(found)} and goes on on {wanted.n_processes}: the same windows at the same "
            "steps, but rounding and dropout differ, so that the result is not bit for bit that of an uninterrupted run"
        )
    elif found.n_parts != wanted.n_parts:
        reason += f"; batches were computed in {found.n_parts} parts and are now in {wanted.n_parts}: the same but for rounding, not bit for bit"
    return Continuation("resume", reason, found, checkpoint, caution=moved or found.n_parts != wanted.n_parts)


def _is_readable(best_model: Path) -> bool:
    try:
        read_model_config(best_model / CONFIG_NAME)
        with safe_open(best_model / SAFETENSORS_SINGLE_FILE, "pt"):
            return True
    except (CheckpointError, OSError, SafetensorError):
        return False


def _count_processes(record: StageRecord) -> str:
    return f"{record.n_processes} process{'es' if record.n_processes > 1 else ''}"


def keep_global_batch(config: Config, found: StageRecord) -> Config:
    """Fit batch_size to another number of processes than a stage was started on, so that a step takes the same windows.

    Raises:
        ConfigError: they cannot be shared equally.
    """
    n_processes = int(PartialState().num_processes)
    whole = found.settings[GLOBAL_BATCH]
    if found.n_processes == n_processes or whole == config.training.batch_size * n_processes:
        return config
    if whole % n_processes:
        raise ConfigError(
            f"the interrupted {found.stage} stage took {whole} windows a step, which {n_processes} processes cannot share "
            f"equally: launch {found.n_processes} again, or another number that divides {whole}."
        )
    batch_size, part = whole // n_processes, config.training.batch_size // config.training.accumulation_steps
    accumulation_steps = next(n for n in range(1, batch_size + 1) if batch_size % n == 0 and batch_size // n <= part)
    logger.info("%s  batch_size is %d on %d processes, as it began", found.stage, batch_size, n_processes)
    return config.override({"training.batch_size": batch_size, "training.accumulation_steps": accumulation_steps})


def was_validated(checkpoint: Path) -> bool:
    """Whether the validation that belongs to a checkpoint's step came before it was saved."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    return any("eval_loss" in entry and entry["step"] == state["global_step"] for entry in state["log_history"])


def set_aside(folder: Path) -> None:
    """Make room for a new stage without losing what may be there."""
    if not folder.exists():
        return
    found = StageRecord.read(folder)
    checkpoints = StageFolder(folder).checkpoints
    untrained = found and not found.finished and not found.best_step and newest_checkpoint(checkpoints) is None
    if untrained or not any(folder.iterdir()):
        shutil.rmtree(folder)
        return
    if found and found.finished:
        shutil.rmtree(checkpoints, ignore_errors=True)  # large, and nothing will be resumed from them
    aside = folder.with_name(f"{folder.name}.previous")
    for n in itertools.count(2):
        if not aside.exists():
            break
        aside = folder.with_name(f"{folder.name}.previous-{n}")
    folder.rename(aside)
    logger.info("an earlier %s was there; it is now %s", folder.name, aside)
