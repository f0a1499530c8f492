"""Suggest a recipe for the candles at hand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kronos.config import Config
from kronos.config.recipes import RecipeName
from kronos.data.windows.splits import SplitName
from kronos.planning.evidence import MIN_INDEPENDENT_VAL
from kronos.planning.plan import SplitPlan


@dataclass(frozen=True)
class RecipeHint:
    """A recipe, the code of the reason for it, and the independent windows of train and validation."""

    name: RecipeName
    reason: Literal["from_scratch", "little_validation", "pretrained"]
    train: int
    val: int


def suggest_recipe(config: Config, splits: Mapping[SplitName, SplitPlan]) -> RecipeHint:
    """Return the recipe that fits a run, by its start and by the evidence of its validation split (docs/tuning.md)."""
    counts = splits["train"].independent, splits["val"].independent
    if not config.experiment.pre_trained_predictor:
        return RecipeHint("full", "from_scratch", *counts)
    return RecipeHint("safe", "little_validation" if counts[1] < MIN_INDEPENDENT_VAL else "pretrained", *counts)
