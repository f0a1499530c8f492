"""What a search tries: keys of the configuration, each with the values it may take."""

import difflib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel

from kronos.config.load import read_yaml
from kronos.config.messages import did_you_mean, section_of
from kronos.config.schema import Config
from kronos.errors import ConfigError

Searched = Literal["tokenizer", "basemodel", "both"]

WORDS = ("low", "high", "log", "step", "choices")
EXAMPLE = "{low: 1.0e-6, high: 1.0e-3, log: true}, {low: 4, high: 32, step: 4} or {choices: [16, 32]}"
# Keys outside training that may be searched: the validation windows stay the same.
ELSEWHERE = {
    *("data.train_stride", "data.windows_per_epoch", "data.balance_symbols"),
    *("model_paths.pretrained_tokenizer", "model_paths.pretrained_predictor"),
    *("experiment.pre_trained_tokenizer", "experiment.pre_trained_predictor"),
}
WITHOUT_EFFECT = {
    *("log_interval", "save_steps", "save_total_limit", "num_workers", "token_cache", "torch_compile"),
    *("auto_find_batch_size", "accumulation_steps", "gradient_checkpointing"),
}
OWN_KEYS = {"tokenizer": ("tokenizer",), "basemodel": ("predictor", "basemodel", "lora")}


@dataclass(frozen=True)
class Parameter:
    """A key and what it may be: one of choices or, without any, a number from low to high."""

    key: str
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()
    whole: bool = False  # integers only

    def to_text(self, value: Any) -> str:
        """Write a value as an override does."""
        return value if isinstance(value, str) else json.dumps(value)

    def find_in(self, config: Config) -> Any:
        """Return the configured value as a search writes it; None where it does not lie in the space."""
        value: Any = config
        for name in self.key.split("."):
            value = getattr(value, name, None)
        if self.choices:
            text = self.to_text(value)
            return text if text in map(self.to_text, self.choices) else None
        if value is None or not self.low <= value <= self.high:
            return None
        steps = (value - self.low) / (self.step or 1)
        return value if not self.step or abs(steps - round(steps)) < 1e-9 else None

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(map(self.to_text, self.choices))
        more = (", log" if self.log else "") + (f", step {self.step:g}" if self.step else "")
        return f"{self.low:g} to {self.high:g}{more}"


Space = tuple[Parameter, ...]


def read_space(path: Path, stage: Searched, build: Callable[[Sequence[str]], Config]) -> Space:
    """Read a space from YAML: `section.key: {low: …, high: …}` or `section.key: {choices: […]}`.

    Args:
        path: the file.
        stage: what is trained in a trial; keys of a stage that is not would do nothing.
        build: the configuration with further overrides; each bound and choice is tried in it.

    Raises:
        ConfigError: with all faults at once, a line each.
    """
    values, places = read_yaml(
        path, needs=f"keys with what they may be: {EXAMPLE}", example="configs/spaces/basemodel.yaml"
    )
    space, faults = [], []
    for key, given in values.items():
        try:
            parameter = _read_parameter(key, given, stage)
            _try(parameter, build)
            space.append(parameter)
        except ConfigError as error:
            faults.append(f"{places[(key,)]}: {error}")
    if faults:
        raise ConfigError("\n".join(faults))
    return tuple(space)


def _read_parameter(key: str, given: Any, stage: Searched) -> Parameter:
    field = _find_field(key)
    if objection := _objection(key, stage):
        raise ConfigError(f"{key} {objection}.")
    if not isinstance(given, dict) or not given:
        raise ConfigError(f"{key} is {given!r}; say what it may be: {EXAMPLE}.")
    if unknown := [word for word in given if word not in WORDS]:
        close = difflib.get_close_matches(unknown[0], WORDS, n=1)
        raise ConfigError(
            f"{key}: unknown word {unknown[0]}; "
            + (f"did you mean {close[0]}?" if close else f"known are {', '.join(WORDS)}.")
        )
    if "choices" in given:
        return _read_choices(key, given)
    return _read_range(key, given, integral=float not in _plain_types(field))


def _find_field(key: str) -> Any:
    """Return the annotation of a known key, "section.key" or deeper."""
    names = tuple(key.split("."))
    model: type[BaseModel] = Config
    for n, name in enumerate(names, start=1):
        field = model.model_fields.get(name)
        inner = section_of(field.annotation) if field else None
        if field and not inner and n == len(names):
            return field.annotation
        if inner is None:
            raise ConfigError(f"unknown key {key}; {did_you_mean(names[:n], Config)}")
        model = inner
    raise ConfigError(f"{key} is a section; name one of its keys: {', '.join(model.model_fields)}.")


def _plain_types(annotation: Any) -> set[Any]:
    inner = get_args(annotation)
    return {annotation}.union(*map(_plain_types, inner)) if inner else {annotation}


def _objection(key: str, stage: Searched) -> str:
    """Say why a key is not to be searched; empty where it may be."""
    section, _, name = key.partition(".")
    if section in ("data", "repairs") and key not in ELSEWHERE:
        return "changes what is validated on, so that the losses of two trials could not be compared"
    if section != "training" and key not in ELSEWHERE:
        return "does not change the validation loss"
    if name in WITHOUT_EFFECT:
        return "changes memory or time, not the validation loss"
    if name in ("seed", "eval_steps", "best_by", "keep_worse_tokenizer"):
        return "is the same for all trials, or their losses could not be compared"
    if name == "epochs":
        return "only fills in tokenizer_epochs and basemodel_epochs; name one of these"
    for other in ("tokenizer", "basemodel"):
        concerned = any(word in name for word in OWN_KEYS[other])
        if concerned and stage not in (other, "both"):
            return f"concerns the {other} stage, which --stage {stage} does not train"
    return ""


def _read_choices(key: str, given: dict[str, Any]) -> Parameter:
    choices = given["choices"]
    if len(given) > 1:
        raise ConfigError(
            f"{key}: choices stand alone; leave out {', '.join(word for word in given if word != 'choices')}."
        )
    if not isinstance(choices, list) or len(choices) < 2:
        raise ConfigError(f"{key}: choices is {choices!r}; it must be a list of two values or more.")
    texts = [json.dumps(choice) for choice in choices]
    if len(set(texts)) < len(texts):
        raise ConfigError(f"{key}: choices names a value twice.")
    return Parameter(key, choices=tuple(choices))


def _read_range(key: str, given: dict[str, Any], integral: bool) -> Parameter:
    if missing := [word for word in ("low", "high") if word not in given]:
        raise ConfigError(f"{key}: {' and '.join(missing)} missing; write low and high, or choices.")
    for word in ("low", "high", "step"):
        value = given.get(word, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"{key}: {word} is {value!r}; it must be a number.")
        if integral and not isinstance(value, int):
            raise ConfigError(f"{key}: {word} is {value!r}, but the key takes whole numbers only.")
    if not isinstance(given.get("log", False), bool):
        raise ConfigError(f"{key}: log is {given['log']!r}; it must be true or false.")
    parameter = Parameter(key, **given, whole=integral)
    if fault := _fault_of_range(parameter):
        raise ConfigError(f"{key}: {fault}.")
    return parameter


def _fault_of_range(parameter: Parameter) -> str:
    low, high, step = parameter.low, parameter.high, parameter.step
    if low >= high:
        return f"low ({low:g}) must be less than high ({high:g})"
    if parameter.log and low <= 0:
        return f"low is {low:g}; on a log scale it must be more than 0"
    if step is None:
        return ""
    if parameter.log:
        return "log and step exclude each other; leave one out"
    if step <= 0:
        return f"step is {step:g}; it must be more than 0"
    steps = (high - low) / step
    if abs(steps - round(steps)) > 1e-9 * max(steps, 1):
        return f"high ({high:g}) is not reached from low ({low:g}) in steps of {step:g}"
    return ""


def _try(parameter: Parameter, build: Callable[[Sequence[str]], Config]) -> None:
    """Check that the configuration takes each bound or choice."""
    for value in parameter.choices or (parameter.low, parameter.high):
        override = f"{parameter.key}={parameter.to_text(value)}"
        try:
            build([override])
        except ConfigError as error:
            said = str(error).splitlines()[0]
            if said.startswith("command line: "):
                raise ConfigError(said.removeprefix("command line: ")) from None
            raise ConfigError(f"with {override}: {said}") from None
