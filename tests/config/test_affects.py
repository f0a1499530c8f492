"""What each key affects, and the settings that are derived from it."""

import pytest
from pydantic import BaseModel

from kronos.config import Config
from kronos.config.affects import collect_weight_settings, find_affects, list_affects
from kronos.config.load import build_config
from kronos.config.messages import section_of
from tests.conftest import ROOT

AFFECTS = list_affects(Config)


def list_sections(section: type[BaseModel], prefix: str = "") -> set[str]:
    """Return the keys that always hold a section; what they affect stands on the keys below."""
    inner = {
        prefix + name: field.annotation for name, field in section.model_fields.items() if section_of(field.annotation)
    }
    below = [list_sections(section_of(each), f"{name}.") for name, each in inner.items()]
    return {name for name, each in inner.items() if isinstance(each, type)}.union(*below)


def test_every_key_says_what_it_affects() -> None:
    assert {key for key, affects in AFFECTS.items() if affects is None} == list_sections(Config)
    trained = [affects for affects in AFFECTS.values() if affects and affects.models]
    assert all(affects.what == "weights" for affects in trained)


@pytest.mark.parametrize(
    ("key", "what"),
    {
        "data.columns.open": "weights",  # an entry of a mapping
        "training.lora": "weights",
        "training.lora.r": "weights",
        "training.epochs": "shorthand",
        "training.accumulation_steps": "speed",
        "data.cache_dir": "naming",
        "evaluation.rivals": "report",
    }.items(),
)
def test_what_a_key_affects(key: str, what: str) -> None:
    assert find_affects(Config, key).what == what


def test_the_settings_of_each_model() -> None:
    config = build_config(
        {"data": {"data_path": "c.csv"}, "model_paths": {"pretrained_tokenizer": "t", "pretrained_predictor": "p"}},
        ["training.lora={r: 4}"],
    )
    tokenizer, base, lstm = (set(collect_weight_settings(config, each)) for each in ("tokenizer", "basemodel", "lstm"))
    own = {f"training.{key}" for key in ("tokenizer_epochs", "tokenizer_learning_rate", "freeze_tokenizer")}
    assert tokenizer - base == own | {"model_paths.pretrained_tokenizer", "experiment.pre_trained_tokenizer"}
    assert {"training.lora", "training.best_by", "data.max_context"} < base - tokenizer
    assert lstm - base == {key for key in AFFECTS if key.startswith("evaluation.lstm.")}
    assert {"training.warmup_ratio", "data.clip", "repairs.jumps"} < lstm and "training.precision" not in lstm
    assert collect_weight_settings(config, "basemodel")["training.lora"]["r"] == 4


def test_the_documents_say_the_same() -> None:
    """In docs/configuration.md each row of keys names what they affect."""
    lines = (ROOT / "docs" / "configuration.md").read_text().splitlines()
    section, documented = "", {}
    for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")):
        if cells[0].startswith("**"):
            section = cells[0].strip("*")
        elif len(cells) == 4:
            names = [name.strip("`") for name in cells[0].split(", ")]
            documented |= {f"{section}.{name}" if section else name: cells[2] for name in names}
    for key, affects in AFFECTS.items():
        if affects:
            assert documented[key] == affects.what, key
