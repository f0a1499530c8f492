"""The blend of a base model as plain values, blend.json. Nothing here needs PyTorch."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from kronos.files import find_sealed
from kronos.run_folder import StageFolder

Obstacle = Literal["from_scratch", "no_trained_model", "other_start", "other_tokens"]


class BlendFigures(BaseModel):
    """What was measured on validation windows. A share is the part of the fine-tuned weights, 0 to 1.

    losses: the mean loss of each share. errors: the standard error of its difference to the lowest loss; None if there are
    too few stretches to estimate it. n_stretches: groups of windows whose horizons hardly overlap. pretrained_hash,
    trained_hash: of the weights that were blended.
    """

    figure: str
    shares: tuple[float, ...]
    losses: tuple[float, ...]
    errors: tuple[float | None, ...]
    n_windows: int
    n_stretches: int
    pretrained_hash: str
    trained_hash: str


class BlendRecord(BaseModel):
    """share: of the fine-tuned weights in best_model. obstacle: why nothing was blended; then there are no figures."""

    share: float
    obstacle: Obstacle | None = None
    figures: BlendFigures | None = None


def read_blend(stage_dir: Path) -> BlendRecord | None:
    """Read blend.json of a base model's stage folder; None if it is missing or not readable."""
    stored = find_sealed(StageFolder(stage_dir).blend)
    try:
        return BlendRecord.model_validate(stored) if stored else None
    except ValidationError:
        return None
