"""What an earlier run left of a stage: finished, interrupted or to be set aside."""

import itertools
import json
import logging
import shutil
from pathlib import Path

from accelerate import PartialState

from kronos.config import Config
from kronos.errors import ConfigError
from kronos.training.checkpoints import newest_checkpoint, remove_after, step_of
from kronos.training.record import StageRecord, describe_differences

logger = logging.getLogger(__name__)


def is_done(found: StageRecord, wanted: StageRecord, best_model: Path) -> bool:
    """Whether a stage needs no training; says why not where it was finished, and what differs where it is skipped."""
    if not found.finished:
        return False
    if found.tokenizer_hash != wanted.tokenizer_hash or not best_model.is_dir():
        logger.info(
            "%s  finished before, but with another tokenizer, or its best model is gone: starts anew", found.stage
        )
        return False
    logger.info("%s  finished before, skipped: %s", found.stage, best_model)
    if differences := describe_differences(found.settings, wanted.settings):
        logger.warning(
            "%s  it was trained with other settings (%s); run without --skip-existing to train anew",
            found.stage,
            differences,
        )
    return True


def find_resume_point(folder: Path, found: StageRecord, wanted: StageRecord) -> Path | None:
    """Return the checkpoint to go on from; None where the stage was interrupted before its first.

    Raises:
        ConfigError: it was started with other settings.
    """
    checkpoint = newest_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        logger.info("%s  interrupted before its first checkpoint, starts again", wanted.stage)
        return None
    differences = describe_differences(
        found.settings | {"tokenizer": found.tokenizer_hash}, wanted.settings | {"tokenizer": wanted.tokenizer_hash}
    )
    if differences:
        raise ConfigError(
            f"{folder}: the interrupted {wanted.stage} stage was started with other settings ({differences}). Restore "
            "them to go on with it, or run without --skip-existing to start anew (what is there is set aside)."
        )
    logger.info("%s  interrupted before, goes on from %s", wanted.stage, checkpoint)
    if found.n_processes != wanted.n_processes:
        logger.warning(
            "%s  was started on %d processes and goes on on %d: the same windows at the same steps, but rounding and "
            "dropout differ, so that the result is not bit for bit that of an uninterrupted run",
            *(wanted.stage, found.n_processes, wanted.n_processes),
        )
    return checkpoint


def keep_global_batch(config: Config, found: StageRecord) -> Config:
    """Fit batch_size to another number of processes than a stage was started on, so that a step takes the same windows.

    Raises:
        ConfigError: they cannot be shared equally.
    """
    n_processes = int(PartialState().num_processes)
    whole = found.settings["windows a step"]
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
    training = config.training.model_copy(update={"batch_size": batch_size, "accumulation_steps": accumulation_steps})
    return config.model_copy(update={"training": training})


def prepare_resume(folder: Path, checkpoint: Path) -> None:
    """Remove what a resumed run writes anew."""
    remove_after(folder / "checkpoints", step_of(checkpoint))


def was_validated(checkpoint: Path) -> bool:
    """Whether the validation that belongs to a checkpoint's step came before it was saved."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    return any("eval_loss" in entry and entry["step"] == state["global_step"] for entry in state["log_history"])


def set_aside(folder: Path) -> None:
    """Make room for a new stage without losing what may be there."""
    if not folder.exists():
        return
    found = StageRecord.read(folder)
    checkpoints = folder / "checkpoints"
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
