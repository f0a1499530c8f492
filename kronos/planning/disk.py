"""The disk space of a run: what it needs at most, and what is free."""

import shutil
from pathlib import Path

WEIGHT_BYTES = 4  # checkpoints have single precision
MOMENT_BYTES = 8  # AdamW keeps two numbers for each trainable parameter


def compute_disk_bytes(
    checkpoints_kept: int, total_steps: int, steps_a_checkpoint: int, checkpoint_bytes: int, model_bytes: int
) -> int:
    """Return the most that a stage needs at any time.

    These are the checkpoints kept, the next one, written before the oldest is deleted, and two best models.
    """
    n_saved = -(-total_steps // max(steps_a_checkpoint, 1))  # an epoch without steps is refused later, with a reason
    checkpoints = min(checkpoints_kept + 1, n_saved)
    return checkpoints * checkpoint_bytes + 2 * model_bytes


def measure_free_bytes(folder: Path) -> int:
    """Return what is free on the disk of a folder, which may not exist yet."""
    return shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.is_dir())).free
