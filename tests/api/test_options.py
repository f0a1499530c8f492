"""Keyword arguments as keys of the configuration."""

from typing import Any

import pytest

from kronos.api.options import name_keys, take
from kronos.errors import ConfigError


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"epochs": 3}, {"training.epochs": 3}),
        ({"timezone": "Asia/Shanghai", "gaps": "fill"}, {"data.timezone": "Asia/Shanghai", "repairs.gaps": "fill"}),
        ({"lora": {"r": 4}}, {"training.lora": {"r": 4}}),
        ({"training.epochs": 3}, {"training.epochs": 3}),
        ({"evaluation.lstm.epochs": 3}, {"evaluation.lstm.epochs": 3}),
        (
            {"training": {"epochs": 3, "lora.r": 4}, "report": {"n_paths": 5}},
            {"training.epochs": 3, "training.lora.r": 4, "report.n_paths": 5},
        ),
        ({"recipe": "full"}, {"recipe": "full"}),
    ],
)
def test_an_option_is_a_key_a_dotted_key_or_a_section(options: dict[str, Any], named: dict[str, Any]) -> None:
    assert name_keys(options) == named


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "epoch: no such option. Did you mean epochs? docs/configuration.md"),
        ({"zzzzz": 3}, "zzzzz: no such option. docs/configuration.md"),
        (
            {"n_paths": 3},
            'several sections have this key. Write **{"evaluation.n_paths": …} or **{"report.n_paths": …}.',
        ),
        ({"training": 3}, 'training is a section. Give a mapping of its keys: training={"…": …}.'),
        ({"epochs": 3, "training.epochs": 4}, "training.epochs is given twice. Give it once."),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        name_keys(options)
    assert message in str(error.value)


def test_an_argument_is_given_once() -> None:
    options = {"data.lookback_window": 48}
    with pytest.raises(ConfigError, match=r"lookback and data\.lookback_window are the same setting"):
        take(options, "data.lookback_window", "lookback", 96)
    assert take(options, "data.lookback_window", "lookback") == 48 and not options
    assert take(options, "data.lookback_window", "lookback", 96) == 96
