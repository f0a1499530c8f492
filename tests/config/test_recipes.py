"""Recipes fill in what a file leaves open, and nothing else."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from kronos import load_config
from kronos.config import Config
from kronos.config.load import build_config, dump_config
from kronos.config.recipes import RECIPES, describe_recipe
from kronos.errors import ConfigError
from tests.conftest import ROOT

PATHS = {"pretrained_tokenizer": "t", "pretrained_predictor": "p"}


def build(*overrides: str) -> Config:
    return build_config({"data": {"data_path": "c.csv"}, "model_paths": dict(PATHS)}, overrides)


def describe(*overrides: str) -> str:
    return describe_recipe("safe", build("recipe=safe", *overrides).model_dump(mode="json"))


def read(config: Config, key: str) -> Any:
    section, name = key.split(".")
    return getattr(getattr(config, section), name)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "published"])
def test_a_recipe_fills_in_its_keys(name: str) -> None:
    config = build(f"recipe={name}")
    for key, value in RECIPES[name].items():
        found = read(config, key)
        assert (found.list_given() if key == "training.lora" else found) == value
    assert config.training.basemodel_epochs == config.training.epochs


def test_without_a_recipe_a_file_means_what_it_meant() -> None:
    assert build() == build("recipe=published") and RECIPES["published"] == {}
    assert build().training.best_by == "loss" and build().training.loss_on == "all"


def test_every_key_can_be_overridden() -> None:
    config = build("recipe=safe", "training.predictor_learning_rate=3e-3", "training.basemodel_epochs=2")
    assert (config.training.predictor_learning_rate, config.training.basemodel_epochs) == (3e-3, 2)
    assert build("recipe=safe", "training.epochs=3").training.basemodel_epochs == 3
    assert build("recipe=safe", "training.lora=null").training.lora is None
    assert 'training.lora={"r": 4} (overrides {"r": 8})' in describe("training.lora.r=4")
    assert 'training.lora={"r": 8},' in describe("training.lora.alpha=32")
    text = describe_recipe("safe", config.model_dump(mode="json"))
    rate = RECIPES["safe"]["training.predictor_learning_rate"]
    assert text.startswith("recipe safe: ") and f"training.predictor_learning_rate=0.003 (overrides {rate:g})" in text
    assert 'training.best_by="horizon_loss"' in text and text.count("overrides") == 1


def test_another_recipe_replaces_the_values_of_the_first_but_not_given_ones() -> None:
    config = build("recipe=safe", "training.predictor_learning_rate=3e-3").override({"recipe": "published"})
    assert config == build("training.predictor_learning_rate=3e-3")


def test_a_model_from_scratch_trains_its_tokenizer() -> None:
    scratch = build("recipe=safe", "experiment.pre_trained=false")
    assert scratch.experiment.train_tokenizer and scratch.training.lora is None and not scratch.training.blend
    assert build("recipe=safe", "experiment.pre_trained_tokenizer=false").experiment.train_tokenizer
    scratch = build("recipe=safe", "experiment.pre_trained_predictor=false")
    assert not scratch.experiment.train_tokenizer and scratch.training.lora is None


def test_a_resolved_file_is_read_back(tmp_path: Path) -> None:
    config = build("recipe=full", "training.epochs=3")
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("value", "said"), [("sfae", "did you mean 'safe'"), ("[safe]", "recipe is"), ("", "recipe is")]
)
def test_an_unknown_recipe_is_an_error(value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(f"recipe={value}")


def rate_of(recipe: str) -> float:
    return RECIPES[recipe]["training.predictor_learning_rate"]


def test_the_document_lists_the_values_of_the_recipes() -> None:
    """docs/tuning.md has a row for each key of `safe` and `full`, with its value."""
    rows = [line for line in (ROOT / "docs" / "tuning.md").read_text().splitlines() if line.startswith("| `")]
    for name in ("safe", "full"):
        for key, value in RECIPES[name].items():
            row = next(row for row in rows if f"`{key}`" in row.split("|")[1])
            shown = {
                "training.lora": "r 8",
                "training.predictor_learning_rate": f"1e{round(math.log10(rate_of(name))):d}",
            }
            assert shown.get(key, json.dumps(value).strip('"')) in row, key
