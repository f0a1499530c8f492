"""What a stage finds in its folder: finished, interrupted, or something else; and what --skip-existing makes of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kronos.errors import ConfigError
from kronos.training.record import StageRecord, describe_differences

BEST_MODEL_NAME = "best_model"


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
    """
    found = StageRecord.read(folder)
    if found is None:
        return None
    if not found.finished:
        return _resume_point(folder, found, wanted)
    best_model = folder / BEST_MODEL_NAME
    if found.tokenizer_hash != wanted.tokenizer_hash or not best_model.is_dir():
        return Continuation(
            "start", "finished before, but with another tokenizer, or its best model is gone: starts anew", found
        )
    reason = f"finished before, skipped: {best_model}"
    differences = describe_differences(found.settings, wanted.settings)
    if differences:
        reason += f"; it was trained with other settings ({differences}); run without --skip-existing to train anew"
    return Continuation("skip", reason, found, caution=bool(differences))


def _resume_point(folder: Path, found: StageRecord, wanted: StageRecord) -> Continuation:
    checkpoint = newest_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        return Continuation("start", "interrupted before its first checkpoint, starts again", found)
    differences = describe_differences(
        found.settings | {"tokenizer": found.tokenizer_hash},
        wanted.settings | {"tokenizer": wanted.tokenizer_hash},
    )
    if differences:
        raise ConfigError(
            f"{folder}: the interrupted {wanted.stage} stage was started with other settings ({differences}). Restore "
            "them to go on with it, or run without --skip-existing to start anew (what is there is set aside)."
        )
    return Continuation("resume", f"interrupted before, goes on from {checkpoint}", found, checkpoint)


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint-N folder; trainer_state.json is what is written last."""
    by_step = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    return next((path for path in by_step if _is_whole(path)), None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
