"""The figure that chooses the model to keep: the validation loss, or a score that the caller provides."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from kronos.config import Config
from kronos.config.training import LOSS_NAME
from kronos.data import CandleSet, Split
from kronos.errors import KronosError
from kronos.model import KronosTokenizer
from kronos.training.device_use import fork_random_state


class Score(Protocol):
    """Rates a base model by its forecasts; the same weights give the same figure, on every rank."""

    @property
    def higher_is_better(self) -> bool: ...

    def __call__(self, model: nn.Module, tokenizer: KronosTokenizer) -> float: ...


# builds a score from the configuration, the candles and the validation split
BuildScore = Callable[[Config, CandleSet, Split], Score]


@dataclass(frozen=True)
class Criterion:
    """The validation figure that chooses the best model.

    name: as in training.best_by. rate: computes the figure from the model; None for a loss, which is computed anyway.
    """

    name: str = LOSS_NAME
    higher_is_better: bool = False
    rate: Callable[[nn.Module], float] | None = None

    def is_better(self, figure: float, best: float | None) -> bool:
        """Whether a figure beats the best so far. The first always does; an equal one does not."""
        if best is None:
            return True
        return figure > best if self.higher_is_better else figure < best

    def compute(self, model: nn.Module, step: int) -> dict[str, float]:
        """Return the figure by its name, or nothing for a loss. The random state does not change.

        Raises:
            KronosError: the figure is not finite.
        """
        if self.rate is None:
            return {}
        with fork_random_state():
            figure = self.rate(model)
        if not math.isfinite(figure):
            raise KronosError(
                "The validation {name} is {figure} at step {step}: training has diverged, or the model is damaged. Lower the "
                "learning rate, or set training.best_by=horizon_loss. The best model so far is kept.",
                name=self.name,
                figure=figure,
                step=step,
            )
        return {self.name: figure}


BY_LOSS = Criterion()


def bind_score(name: str, score: Score, tokenizer: KronosTokenizer) -> Criterion:
    """Return the criterion that applies a score to base models of one tokenizer."""
    return Criterion(name, score.higher_is_better, lambda model: score(model, tokenizer))
