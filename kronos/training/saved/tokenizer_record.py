"""The tokenizer's health as plain values, health.json. Nothing here needs PyTorch."""

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ValidationError

from kronos.files import find_sealed
from kronos.run_folder import StageFolder

Figure = Annotated[float, BeforeValidator(lambda v: float("nan") if v is None else v)]  # NaN is null in a file


class TokenizerFigures(BaseModel):
    """The tokenizer's health on validation windows.

    error_bp: mean absolute error of reconstructed prices, basis points of the actual price; NaN if no price is above 0.
    s1_used, s2_used: share of codes that occur. s1_perplexity, s2_perplexity: exp of the entropy of their frequencies.
    clip_rate: share of normalised inputs clipped. tokenizer_hash: of the weights that were measured.
    """

    n_windows: int
    error_bp: Figure
    s1_used: float
    s2_used: float
    s1_perplexity: float
    s2_perplexity: float
    clip_rate: float
    tokenizer_hash: str = ""


class TokenizerHealth(BaseModel):
    """before: the pretrained (or untrained) tokenizer. after: the fine-tuned one. kept: the one that the base model uses.

    before is None if the tokenizer that the stage began with is no longer available; then after is kept.
    """

    before: TokenizerFigures | None
    after: TokenizerFigures
    kept: Literal["before", "after"]

    @property
    def got_worse(self) -> bool:
        """Whether training raised the reconstruction error, or made it NaN."""
        if self.before is None or math.isnan(self.before.error_bp):
            return False
        return not self.after.error_bp <= self.before.error_bp


def read_health(stage_dir: Path) -> TokenizerHealth | None:
    """Read health.json of a tokenizer stage's folder; None if it is missing or not readable."""
    stored = find_sealed(StageFolder(stage_dir).health)
    try:
        return TokenizerHealth.model_validate(stored) if stored else None
    except ValidationError:
        return None
