"""What a search may try, and the errors of a space that makes no sense."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from kronos.config import Config, load_config
from kronos.errors import ConfigError
from kronos.tuning.space import Parameter, Space, TrialStages, read_space
from tests.conftest import ROOT


def read(tmp_path: Path, text: str, stage: TrialStages = "basemodel") -> Space:
    path = tmp_path / "space.yaml"
    path.write_text(text)

    def build(overrides: Sequence[str]) -> Config:
        return load_config(ROOT / "configs" / "demo.yaml", overrides)

    return read_space(str(path), stage, build)


def test_each_kind(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        """
training.predictor_learning_rate: {low: 1e-6, high: 1.0e-3, log: true}
training.batch_size: {choices: [16, 32]}
training.adam_weight_decay: {low: 0, high: 1}
training.lora.r: {low: 4, high: 32, step: 4}
training.early_stopping_patience: {choices: [null, 3]}
data.train_stride: {low: 1, high: 5}
model_paths.pretrained_predictor: {choices: [demo, mini]}
training.freeze_basemodel: {choices: [[], [embedding]]}
""",
    )
    assert space[0] == Parameter("training.predictor_learning_rate", 1e-6, 1e-3, log=True)
    assert space[1].choices == (16, 32)
    assert not space[2].whole, "a key for any number is not searched in whole ones, however its bounds are written"
    assert space[3].whole and space[3].step == 4
    assert space[4].to_text(None) == "null" and space[6].to_text("mini") == "mini"
    assert space[5].whole
    config = load_config(ROOT / "configs/demo.yaml", [f"{space[7].key}={space[7].to_text(['embedding'])}"])
    assert config.training.freeze_basemodel == ("embedding",)


ERRORS = {
    "training.batchsize: {choices: [1, 2]}": "unknown key training.batchsize; did you mean training.batch_size?",
    "batch_size: {choices: [1, 2]}": "unknown key batch_size; batch_size belongs in section training.",
    "training.lora.rank: {choices: [1, 2]}": "unknown key training.lora.rank; known here: r, alpha, dropout, targets.",
    "training.lora: {choices: [1, 2]}": "training.lora is a section. Name one of its keys: r, alpha",
    "training.batch_size: 32": "training.batch_size is 32. Write the values to try: {low:",
    "training.batch_size: {lwo: 1, high: 2}": "unknown word lwo; did you mean low?",
    "training.batch_size: {low: 16}": "high missing; write low and high, or choices",
    "training.batch_size: {low: 16, high: 8}": "low (16) must be less than high (8)",
    "training.batch_size: {low: 0, high: 8}": "training.batch_size is 0; it must be at least 1",
    "training.batch_size: {low: 1.5, high: 8}": "low is 1.5, but the key takes whole numbers only",
    "training.batch_size: {low: 4, high: 9, step: 4}": "steps of 4 from low (4) do not end at high (9)",
    "training.batch_size: {low: 4, high: 8, step: 0}": "step is 0; it must be more than 0",
    "training.batch_size: {low: 4, high: 8, step: 4, log: true}": "log and step cannot be combined",
    "training.batch_size: {choices: [16]}": "must be a list of two values or more",
    "training.batch_size: {choices: [16, 16]}": "choices has the same value twice",
    "training.batch_size: {choices: [16, many]}": "training.batch_size is 'many'",
    "training.batch_size: {choices: [16, 32], low: 1}": "leave out low: choices needs no other word",
    "training.adam_weight_decay: {low: 0.0, high: 0.3, log: true}": "on a log scale it must be more than 0",
    "training.adam_weight_decay: {low: 0.0, high: .inf}": "high is inf; it must be a number",
    "training.adam_weight_decay: {low: 0.0, high: 1.0, log: 1}": "log is 1; it must be true or false",
    "training.tokenizer_learning_rate: {low: 0.1, high: 0.2}": "which --stage basemodel does not train",
    "training.seed: {low: 1, high: 5}": "must be the same in all trials",
    "training.accumulation_steps: {choices: [1, 2]}": "changes memory or time, not the validation loss",
    "training.epochs: {choices: [1, 2]}": "Name one of these",
    "data.lookback_window: {choices: [64, 96]}": "their losses could not be compared",
    "report.n_paths: {choices: [1, 2]}": "does not change the validation loss",
}


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_names_its_place(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, f"# a space\n{line}\n")
    assert str(error.value).startswith(f"{tmp_path / 'space.yaml'}:2: ") and ERRORS[line] in str(error.value)


def test_all_errors_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, "training.seed: {low: 1, high: 2}\ntraining.max_steps: {low: 10, high: 20}\ndata.clip: 3\n")
    assert [line.split(": ")[0][-2:] for line in str(error.value).splitlines()] == [":1", ":3"]


def test_an_empty_file_and_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the file is empty; it needs keys with the values to try"):
        read(tmp_path, "")
    with pytest.raises(ConfigError, match=r"no such config file. .* for example configs/spaces/basemodel.yaml"):
        read_space(str(tmp_path / "none.yaml"), "basemodel", lambda overrides: None)


def test_a_space_on_the_command_line() -> None:
    def build(overrides: Sequence[str]) -> Config:
        return load_config(ROOT / "configs" / "demo.yaml", overrides)

    rate = Parameter("training.predictor_learning_rate", 1e-6, 1e-3, log=True)
    text = f"{rate.key}: {{low: 1e-6, high: 1e-3, log: true}}"
    assert read_space(text, "basemodel", build) == (rate,) and rate.is_numeric
    with pytest.raises(ConfigError, match=r"^--space:1: training.seed must be the same"):
        read_space("training.seed: {low: 1, high: 2}", "basemodel", build)


def test_which_parameters_are_numbers() -> None:
    numeric = {(16, 32): True, (0.0, 0.1): True, (True, False): False, (None, 3): False, ("mini", "base"): False}
    assert {choices: Parameter("a.b", choices=choices).is_numeric for choices in numeric} == numeric


def test_the_configured_value(tmp_path: Path) -> None:
    config = load_config(ROOT / "configs" / "demo.yaml", ["training.lora=null"])
    assert config.training.batch_size == 32
    assert Parameter("training.batch_size", 8, 64, whole=True).find_configured(config) == 32
    assert Parameter("training.batch_size", 8, 16, whole=True).find_configured(config) is None
    assert Parameter("training.batch_size", 8, 68, step=10, whole=True).find_configured(config) is None
    assert Parameter("training.batch_size", choices=(16, 32)).find_configured(config) == "32"
    assert Parameter("training.batch_size", choices=(16, 64)).find_configured(config) is None
    assert Parameter("training.lora.r", 1, 8, whole=True).find_configured(config) is None


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "spaces").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_spaces(path: Path) -> None:
    stage: TrialStages = "tokenizer" if path.stem == "tokenizer" else "basemodel"
    space = read_space(str(path), stage, lambda overrides: load_config(ROOT / "configs/demo.yaml", overrides))
    assert len(space) == 1 if path.stem == "learning_rate" else len(space) >= 3
    header = path.read_text().split("\n\n")[0]
    assert all(word in header for word in ("Needs:", "Launch:", "Override:")), header
