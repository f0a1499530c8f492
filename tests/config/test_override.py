"""A configuration derived from another one."""

from pathlib import Path
from typing import Any

import pytest

from kronos.config import Config
from kronos.config.load import build_config
from kronos.errors import ConfigError

GIVEN: dict[str, Any] = {
    "data": {"data_path": "candles.csv", "columns": {"amount": "notional"}},
    "model_paths": {"pretrained_tokenizer": "t", "pretrained_predictor": "p", "base_save_path": ""},
}


def build(*overrides: str) -> Config:
    return build_config(GIVEN, overrides)


def test_only_the_named_keys_change() -> None:
    config = build("training.lora={r: 4}", "data.train_end=2024-06-30", "data.val_end=2024-09-30")
    changed = config.override({"training.batch_size": 8, "training.lora.alpha": 2.0, "data.columns.open": "first"})
    assert (changed.training.batch_size, changed.training.lora.r, changed.training.lora.alpha) == (8, 4, 2.0)
    assert (
        changed.data.columns == {"amount": "notional", "open": "first"}
        and config.data.columns == GIVEN["data"]["columns"]
    )
    back = changed.override({"training": config.training, "data.columns": config.data.columns})
    assert back == config and config.training.batch_size == 32


def test_a_section_overrides_its_own_keys() -> None:
    data = build().data
    assert data.override({"lookback_window": 96}) == build("data.lookback_window=96").data


@pytest.mark.parametrize(
    ("given", "values", "expected"),
    [
        ([], {"training.epochs": 3}, {"training.tokenizer_epochs": 3, "training.basemodel_epochs": 3}),
        (["training.tokenizer_epochs=7"], {"training.epochs": 3}, {"training.tokenizer_epochs": 7}),
        ([], {"experiment.pre_trained": False}, {"experiment.pre_trained_tokenizer": False}),
        (
            [],
            {"model_paths.base_path": "/new", "model_paths.exp_name": "b"},
            {"model_paths.finetuned_tokenizer": Path("/new/b/tokenizer/best_model")},
        ),
        (
            ["model_paths.base_save_path=/mine"],
            {"model_paths.exp_name": "b"},
            {
                "model_paths.base_save_path": Path("/mine"),
                "model_paths.finetuned_tokenizer": Path("/mine/tokenizer/best_model"),
            },
        ),
        (
            ["experiment.train_tokenizer=false", "model_paths.finetuned_tokenizer=/t"],
            {"model_paths.base_save_path": "/mine"},
            {"model_paths.finetuned_tokenizer": Path("/t")},
        ),
    ],
)
def test_what_was_set_stays_and_what_follows_from_it_follows(
    given: list[str], values: dict[str, Any], expected: dict[str, Any]
) -> None:
    changed = build(*given).override(values)
    for key, value in expected.items():
        section, _, name = key.partition(".")
        assert getattr(getattr(changed, section), name) == value, key


def test_values_are_checked_and_all_errors_come_at_once() -> None:
    values = {"training.batch_sise": 8, "training.seed": -1, "data.predict_window": 512, "device.use_cuda.x": 1}
    with pytest.raises(ConfigError) as caught:
        build().override({key: value for key, value in values.items() if key != "device.use_cuda.x"})
    assert str(caught.value).splitlines() == [
        "override: predict_window (512) must be shorter than max_context (512): a forecast needs history in its context.",
        "override: training.seed is -1; it must be at least 0.",
        "override: unknown key training.batch_sise; did you mean training.batch_size?",
    ]
    assert [error.values.get("key") for error in caught.value.errors] == [None, "training.seed", "training.batch_sise"]
    with pytest.raises(ConfigError, match=r"override: device\.use_cuda\.x: use_cuda is a value, not a section"):
        build("device.use_cuda=false").override({"device.use_cuda.x": 1})
    with pytest.raises(ConfigError, match="unknown key batchsize; did you mean batch_size"):
        build().training.override({"batchsize": 8})
