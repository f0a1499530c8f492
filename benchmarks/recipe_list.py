"""The recipes that benchmarks/recipes.py compares: overrides of a configuration, and an experiment with the objective.

The experiment is not in the product: "early" leaves out the last part of the lookback, where normalisation tells most about
the next candle.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.known_markets import HORIZON, LOOKBACK
from kronos.config.recipes import RECIPES as PRODUCT_RECIPES
from kronos.model import base_model


@dataclass(frozen=True)
class Recipe:
    """Values for a configuration; experiment: one of EXPERIMENTS; replay: whether to mix in candles of other markets."""

    overrides: dict[str, Any] = field(default_factory=dict)
    experiment: str = ""
    replay: bool = False

    def run_experiment(self) -> AbstractContextManager[None]:
        """Return the context to train in."""
        return EXPERIMENTS[self.experiment]() if self.experiment else nullcontext()


@contextmanager
def _early(share: float) -> Iterator[None]:
    """Leave out the last share of the lookback in training."""
    positions = np.arange(LOOKBACK + HORIZON - 1)
    kept = torch.from_numpy((positions < LOOKBACK * (1 - share)) | (positions >= LOOKBACK - 1)).float()
    average = base_model._average

    def average_kept(losses: Tensor, n_horizon: int | None, lookback_weight: float) -> Tensor:
        if not torch.is_grad_enabled():  # a validation
            return average(losses, n_horizon, lookback_weight)
        return (losses * kept).sum(-1) / kept.sum()

    with patch.object(base_model, "_average", average_kept):
        yield


EXPERIMENTS = {
    "early, without the last quarter": lambda: _early(0.25),
    "early, without the last half": lambda: _early(0.5),
}

STEPS, VALIDATE_EVERY = 60, 10
_PUBLISHED = {
    "experiment.train_tokenizer": True,
    "training.tokenizer_epochs": 2,
    "training.basemodel_epochs": 2,
    "training.max_steps": None,
    "training.eval_steps": None,
    "data.windows_per_epoch": None,
    "data.val_windows": None,
    "training.best_by": "loss",
    "training.teacher_forcing": False,
}
_PRODUCT = {"training.max_steps": None, "training.eval_steps": None}
_FITS: dict[str, dict[str, Any]] = {
    "full 4e-5": {"training.predictor_learning_rate": 4e-5},
    "full 1e-4": {"training.predictor_learning_rate": 1e-4},
    "full 3e-4": {"training.predictor_learning_rate": 3e-4},
    "full 1e-3": {"training.predictor_learning_rate": 1e-3},
    "lora 1e-3": {"training.predictor_learning_rate": 1e-3, "training.lora": {"r": 8}},
    "lora 3e-3": {"training.predictor_learning_rate": 3e-3, "training.lora": {"r": 8}},
    "frozen 4e-4": {
        "training.predictor_learning_rate": 4e-4,
        "training.freeze_basemodel": ["embedding", "time_emb", "transformer.0", "transformer.1"],
    },
    "gentle": {"training.predictor_learning_rate": 1e-4, "training.max_steps": 30, "training.eval_steps": 5},
}
_OBJECTIVES: dict[str, Recipe] = {
    "all": Recipe(),
    "horizon": Recipe({"training.loss_on": "horizon"}),
    "origins": Recipe({"training.loss_on": "origins"}),
    **{
        f"weighted {weight}": Recipe({"training.loss_on": "weighted", "training.lookback_weight": weight})
        for weight in (0.03, 0.1, 0.3)
    },
    **{name: Recipe(experiment=name) for name in EXPERIMENTS},
}
_TOKENIZER = {"experiment.train_tokenizer": True, "training.keep_worse_tokenizer": True}
_DECODER_ONLY = {"training.freeze_tokenizer": ["embed", "encoder", "quant_embed"]}
_NO_BASE = {"experiment.train_basemodel": False}

RECIPES: dict[str, Recipe] = {
    "published": Recipe(_PUBLISHED),
    "published, base 1e-6": Recipe(_PUBLISHED | {"training.predictor_learning_rate": 1e-6}),
    **{
        f"{fit}, {name}": Recipe(values | objective.overrides, objective.experiment)
        for fit, values in _FITS.items()
        for name, objective in _OBJECTIVES.items()
    },
    "safe": Recipe(PRODUCT_RECIPES["safe"] | _PRODUCT),
    "full": Recipe(PRODUCT_RECIPES["full"] | _PRODUCT),
    "full 3e-4, horizon, sampled s1": Recipe(
        {
            "training.predictor_learning_rate": 3e-4,
            "training.loss_on": "horizon",
            "training.teacher_forcing": False,
        }
    ),
    "tokenizer only, decoder": Recipe(_TOKENIZER | _DECODER_ONLY | _NO_BASE),
    "tokenizer only, whole": Recipe(_TOKENIZER | _NO_BASE),
    **{
        f"full 3e-4, horizon, {kind}": Recipe(
            {"training.predictor_learning_rate": 3e-4, "training.loss_on": "horizon", "training.augment": [kind]}
        )
        for kind in ("noise", "mirror", "scale", "warp")
    },
    "full 3e-4, horizon, replay": Recipe(
        {"training.predictor_learning_rate": 3e-4, "training.loss_on": "horizon"}, replay=True
    ),
}
