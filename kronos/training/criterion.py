"""What chooses the model that a stage keeps: the validation loss, or a score that is handed in from outside."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from kronos.config import Config
from kronos.config.training import LOSS_NAME
from kronos.data import CandleSet, Split
from kronos.errors import KronosError
from kronos.model import KronosTokenizer


class Score(Protocol):
    """Rates a base model by what it forecasts; the same figure on every rank, and for the same weights."""

    @property
    def higher_is_better(self) -> bool: ...

    def __call__(self, model: nn.Module, tokenizer: KronosTokenizer) -> float: ...


# From the configuration, the candles and the validation split.
BuildScore = Callable[[Config, CandleSet, Split], Score]


@dataclass(frozen=True)
class Criterion:
    """The figure of a validation by which the best model is chosen.

    name: as in training.best_by. rate: computes it from the model; None for the loss, which every validation has.
    """

    name: str = LOSS_NAME
    higher_is_better: bool = False
    rate: Callable[[nn.Module], float] | None = None

    def is_better(self, figure: float, best: float | None) -> bool:
        """Whether a figure beats the best so far; the first always does, an equal one does not."""
        if best is None:
            return True
        return figure > best if self.higher_is_better else figure < best

    def compute(self, model: nn.Module, step: int) -> dict[str, float]:
        """Return the figure by its name, and nothing for the loss; the random state stays as it was.

        Raises:
            KronosError: it is not a number.
        """
        if self.rate is None:
            return {}
        with torch.random.fork_rng():
            figure = self.rate(model)
        if not math.isfinite(figure):
            raise KronosError(
                f"the validation {self.name} is {figure} at step {step}: training has diverged or the model is damaged. Lower "
                "the learning rate, or choose the best model by training.best_by=loss; the best model so far is kept."
            )
        return {self.name: figure}


BY_LOSS = Criterion()


def bind_score(name: str, score: Score, tokenizer: KronosTokenizer) -> Criterion:
    """Return the criterion that a score is for the base models of a tokenizer."""
    return Criterion(name, score.higher_is_better, lambda model: score(model, tokenizer))
