"""The tokenizer's health before and after training, and the gate that a worse one does not pass."""

from typing import Literal

from pydantic import BaseModel

HEALTH_NAME = "health.json"


class TokenizerFigures(BaseModel):
    """The tokenizer's health on validation windows.

    error_bp: mean absolute error of reconstructed prices, basis points of the true price. s1_used, s2_used: share of codes
    that occur. s1_perplexity, s2_perplexity: exp of the entropy of their frequencies. clip_rate: share of normalised inputs
    clipped.
    """

    n_windows: int
    error_bp: float
    s1_used: float
    s2_used: float
    s1_perplexity: float
    s2_perplexity: float
    clip_rate: float


class TokenizerHealth(BaseModel):
    """before: the pretrained (or untrained) tokenizer; after: the fine-tuned one; kept: which one the base model reads."""

    before: TokenizerFigures | None
    after: TokenizerFigures
    kept: Literal["before", "after"]
