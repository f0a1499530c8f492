"""The recipes that benchmarks/recipes.py compares: overrides of a configuration, and two experiments with the objective.

The experiments are not in the product. "origins" normalises each train window by its first s candles only, and learns from the
positions after them: a forecast from an earlier origin, whose normalisation knows nothing of the future. "early" leaves
out the last part of the lookback, where normalisation tells most about the next candle.
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
from kronos.data.windows.dataset import Batch, WindowDataset
from kronos.data.windows.normalize import Statistics
from kronos.model import base_model
from kronos.training.inputs.tokens import TokenInputs

Array = np.ndarray
ORIGINS = (LOOKBACK // 2, LOOKBACK * 5 // 8, LOOKBACK * 3 // 4, LOOKBACK * 7 // 8, LOOKBACK)


@dataclass(frozen=True)
class Recipe:
    """Values for a configuration; experiment: one of EXPERIMENTS; replay: whether to mix in candles of other markets."""

    overrides: dict[str, Any] = field(default_factory=dict)
    experiment: str = ""
    replay: bool = False

    def run_experiment(self) -> AbstractContextManager[None]:
        """Return the context to train in."""
        return EXPERIMENTS[self.experiment]() if self.experiment else nullcontext()


def choose_origins(rows: Array) -> Array:
    """Return an origin s out of ORIGINS for the windows (B,) that begin at rows: always the same for a window."""
    mixed = (rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return np.array(ORIGINS)[mixed % np.uint64(len(ORIGINS))]


def _gather_from_origins(self: WindowDataset, indices: Any) -> Batch:
    starts = self.starts.take(np.asarray(indices))
    candles = np.ascontiguousarray(self._values[starts]).transpose(0, 2, 1)
    chosen, normalised = choose_origins(starts), np.empty(candles.shape, np.float32)
    for origin in ORIGINS:
        rows = chosen == origin
        statistics = Statistics.compute(candles[rows, :origin])
        normalised[rows] = statistics.normalise(candles[rows], self.config.clip)
    return {"candles": torch.from_numpy(normalised), **self._gather_places(starts)}


@contextmanager
def _weigh_positions(weigh: Any, gather: Any = None) -> Iterator[None]:
    """Train with a weight for each position: weigh maps the windows' rows (B,) to weights (B, T − 1)."""
    weights: list[Tensor | None] = [None]
    prepare, average = TokenInputs.__call__, base_model._average
    usual = WindowDataset.__getitems__

    def prepare_weighted(self: TokenInputs, batch: Batch, step: int | None) -> Batch:
        weights[0] = None if step is None else torch.from_numpy(weigh(batch["window"])).float()
        return prepare(self, batch, step)

    def average_weighted(losses: Tensor, n_horizon: int | None, lookback_weight: float) -> Tensor:
        if weights[0] is None or not torch.is_grad_enabled():
            return average(losses, n_horizon, lookback_weight)
        return (losses * weights[0]).sum(-1) / weights[0].sum(-1).mean()

    def gather_of_split(self: WindowDataset, indices: Any) -> Batch:
        is_train = len(self.starts) and self.starts[0] == first_train_row[0]
        return gather(self, indices) if is_train else usual(self, indices)

    first_train_row = [0]  # train windows begin with the first candle of the first symbol, validation windows do not
    with (
        patch.object(TokenInputs, "__call__", prepare_weighted),
        patch.object(base_model, "_average", average_weighted),
        patch.object(WindowDataset, "__getitems__", gather_of_split if gather else usual),
    ):
        yield


def _origins() -> AbstractContextManager[None]:
    positions = np.arange(LOOKBACK + HORIZON - 1)
    return _weigh_positions(lambda rows: positions >= choose_origins(rows)[:, None] - 1, _gather_from_origins)


def _early(share: float) -> AbstractContextManager[None]:
    """Leave out the last share of the lookback."""
    positions = np.arange(LOOKBACK + HORIZON - 1)
    kept = (positions < LOOKBACK * (1 - share)) | (positions >= LOOKBACK - 1)
    return _weigh_positions(lambda rows: np.broadcast_to(kept, (len(rows), len(kept))))


EXPERIMENTS = {
    "origins": _origins,
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
_NO_CACHE = {"training.token_cache": False}  # the cache does not know the experiment
_OBJECTIVES: dict[str, Recipe] = {
    "all": Recipe(),
    "horizon": Recipe({"training.loss_on": "horizon"}),
    **{
        f"weighted {weight}": Recipe({"training.loss_on": "weighted", "training.lookback_weight": weight})
        for weight in (0.03, 0.1, 0.3)
    },
    **{name: Recipe(_NO_CACHE, name) for name in EXPERIMENTS},
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
