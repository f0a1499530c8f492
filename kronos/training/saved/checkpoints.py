"""Checkpoints for resuming: complete or ignored."""

import errno
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from kronos.errors import CheckpointError, WriteError
from kronos.files import MANIFEST_NAME, is_whole

logger = logging.getLogger(__name__)

# In the messages of PyTorch's RuntimeErrors if a file cannot be written; the last one if the disk fills with the last bytes.
WRITER_NAMES = "PytorchStreamWriter", "inline_container", "iostream error"
SHARD_NAME = re.compile(r"pytorch_model_fsdp.*|optimizer_\d+|\.metadata|.*\.distcp")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate what PyTorch and safetensors raise on a full or broken disk.

    Raises:
        WriteError: the body could not write.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(name in str(error) for name in WRITER_NAMES):
            raise
        raise WriteError.about(path, _find_cause(error)) from error


def _find_cause(error: Exception) -> OSError:
    """Return the error of the file system behind that of a library. PyTorch does not tell which one it was."""
    if isinstance(error, OSError):
        return error
    if number := re.search(r"os error (\d+)", str(error)):  # safetensors
        return OSError(int(number[1]), os.strerror(int(number[1])))
    return OSError(errno.ENOSPC, "the disk is probably full")


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoint-N folders, the newest first, complete or not."""
    checkpoints = [path for path in folder.glob("checkpoint-*") if path.name.rpartition("-")[2].isdecimal()]
    return sorted(checkpoints, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    """Return N of checkpoint-N."""
    return int(checkpoint.name.rpartition("-")[2])


def refuse_sharded(folder: Path) -> None:
    """Refuse to resume from checkpoints that an earlier version wrote with FSDP.

    Reading them would unpickle, and so execute, what is in them. They are recognised by the names of their files alone.

    Raises:
        CheckpointError: a checkpoint of the folder is sharded.
    """
    for checkpoint in list_checkpoints(folder):
        if _is_sharded(checkpoint):
            raise CheckpointError(
                "{checkpoint}: this checkpoint is sharded (distributed.strategy=fsdp of an earlier version) and cannot be "
                "resumed. Run without --skip-existing to train the stage again; the old files are moved aside.",
                checkpoint=checkpoint,
            )


def _is_sharded(checkpoint: Path) -> bool:
    return any(SHARD_NAME.fullmatch(path.name) for path in checkpoint.rglob("*"))


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of a folder, or None; log the damaged ones that are skipped."""
    for checkpoint in list_checkpoints(folder):
        if is_whole(checkpoint):
            return checkpoint
        logger.warning("%s is damaged or incomplete and is skipped", checkpoint)
    return None


def remove_checkpoints(folder: Path, keep: int) -> None:
    """Remove all but the newest checkpoints."""
    for checkpoint in list_checkpoints(folder)[keep:]:
        (checkpoint / MANIFEST_NAME).unlink(missing_ok=True)  # first: a half-removed checkpoint must not look complete
        shutil.rmtree(checkpoint, ignore_errors=True)


def remove_incomplete(folder: Path) -> None:
    """Remove the checkpoints that processes were writing, or removing, when they were killed."""
    for checkpoint in list_checkpoints(folder):
        if not (checkpoint / MANIFEST_NAME).exists() and not _is_sharded(checkpoint):
            shutil.rmtree(checkpoint, ignore_errors=True)
            logger.info("%s was incomplete and is removed", checkpoint)


def remove_after(folder: Path, step: int) -> None:
    """Remove the checkpoints after a step; the resumed run will write them again."""
    for checkpoint in list_checkpoints(folder):
        if step_of(checkpoint) > step:
            shutil.rmtree(checkpoint, ignore_errors=True)
