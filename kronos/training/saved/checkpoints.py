"""Checkpoints for resuming: complete or ignored."""

import logging
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
        raise WriteError(
            "{path}: cannot be written ({reason}; {free_mb:,.0f} MB free). Free some space, then rerun with --skip-existing to "
            "resume from the last checkpoint, if any. Everything saved before is kept.",
            path=path,
            reason=_first_line(error),
            free_mb=_measure_free_bytes(path) / 2**20,
        ) from error


def _measure_free_bytes(path: Path) -> int:
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    return shutil.disk_usage(existing).free


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


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
        if any(SHARD_NAME.fullmatch(path.name) for path in checkpoint.rglob("*")):
            raise CheckpointError(
                "{checkpoint}: this checkpoint is sharded (distributed.strategy=fsdp of an earlier version) and cannot be "
                "resumed. Run without --skip-existing to train the stage again; the old files are moved aside.",
                checkpoint=checkpoint,
            )


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


def remove_after(folder: Path, step: int) -> None:
    """Remove the checkpoints after a step; the resumed run will write them again."""
    for checkpoint in list_checkpoints(folder):
        if step_of(checkpoint) > step:
            shutil.rmtree(checkpoint, ignore_errors=True)
