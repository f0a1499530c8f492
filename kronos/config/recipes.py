"""Recipes: named sets of defaults for fine-tuning. Each key can be overridden; docs/tuning.md tells how they were measured."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Literal

from kronos.names import Message

RecipeName = Literal["published", "safe", "full"]

_LIKE_A_FORECAST: dict[str, Any] = {  # what training learns from and is chosen by
    "data.windows_per_epoch": "independent",
    "data.val_windows": 1024,
    "experiment.train_tokenizer": False,
    "training.loss_on": "origins",
    "training.teacher_forcing": True,
    "training.best_by": "horizon_loss",
    "training.epochs": 20,
    "training.early_stopping_patience": 10,
}

RECIPES: dict[RecipeName, dict[str, Any]] = {
    "published": {},  # the defaults of the fields, which are upstream's
    "safe": _LIKE_A_FORECAST
    | {"training.lora": {"r": 8}, "training.predictor_learning_rate": 1e-3, "training.blend": True},
    "full": _LIKE_A_FORECAST | {"training.predictor_learning_rate": 1e-4},
}
FOR_PRETRAINED = {  # keys that make no sense for a model from scratch
    "pre_trained_tokenizer": ("experiment.train_tokenizer",),
    "pre_trained_predictor": ("training.lora", "training.blend"),
}


def fill_recipe(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections of a configuration with the recipe's values where they give none.

    A model from scratch needs its tokenizer and all its weights trained, whatever the recipe.
    """
    filled = {name: dict(section) if isinstance(section, Mapping) else section for name, section in values.items()}
    for key, value in list_defaults(values).items():
        section, name = key.split(".")
        given = filled.setdefault(section, {})
        if isinstance(given, dict) and name not in given:
            given[name] = deepcopy(value)
    return filled


def describe_recipe(name: RecipeName, values: Mapping[str, Any]) -> Message:
    """Format a recipe's keys with their resolved values; those that differ from the recipe's are marked.

    Args:
        values: the resolved sections, as JSON holds them.
    """
    parts: list[str | Message] = []
    for key, default in RECIPES[name].items():
        section, _, field = key.partition(".")
        value = values[section][field]
        if isinstance(default, dict) and isinstance(value, dict):
            value = {name: value[name] for name in default}
        part = f"{key}={json.dumps(value)}"
        if value != default:
            parts.append(Message("{part} (overrides {default})", part=part, default=json.dumps(default)))
        else:
            parts.append(part)
    listed = Message.join(parts, ", ") if parts else Message("the defaults of the original scripts")
    return Message("recipe {name}: {listed}", name=name, listed=listed)


def list_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe's values, by dotted key, for the sections of a configuration."""
    recipe = values.get("recipe", "published")
    defaults = (
        dict(RECIPES[recipe]) if isinstance(recipe, str) and recipe in RECIPES else {}
    )  # else pydantic reports it
    experiment = values.get("experiment")
    if isinstance(experiment, Mapping):
        for name, keys in FOR_PRETRAINED.items():
            if not experiment.get(name, experiment.get("pre_trained", True)):
                defaults = {key: value for key, value in defaults.items() if key not in keys}
    return defaults
