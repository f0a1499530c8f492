"""What a search tries: keys of the configuration, each with the values it may take."""

import difflib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel

from kronos.config.affects import find_affects
from kronos.config.load import read_yaml
from kronos.config.messages import did_you_mean, section_of
from kronos.config.schema import Config
from kronos.errors import ConfigError
from kronos.names import Message, Template

if TYPE_CHECKING:
    from kronos.tuning.plan import BuildConfig

TrialStages = Literal["tokenizer", "basemodel", "both"]

PARAMETER_WORDS = ("low", "high", "log", "step", "choices")
EXAMPLE = "{low: 1.0e-6, high: 1.0e-3, log: true}, {low: 4, high: 32, step: 4} or {choices: [16, 32]}"
COMMAND_LINE = "--space"


@dataclass(frozen=True)
class Parameter:
    """A key and the values to try: some choices, or a number from low to high."""

    key: str
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    choices: tuple[Any, ...] = ()
    whole: bool = False  # integers only

    @property
    def is_numeric(self) -> bool:
        """Whether all values are numbers."""
        return all(isinstance(choice, int | float) and not isinstance(choice, bool) for choice in self.choices)

    def to_text(self, value: Any) -> str:
        """Write a value as an override does."""
        return value if isinstance(value, str) else json.dumps(value)

    def get_value(self, config: Config) -> Any:
        """Return the configured value; None if its section is not set."""
        value: Any = config
        for name in self.key.split("."):
            value = getattr(value, name, None)
        return value

    def find_configured(self, config: Config) -> Any:
        """Return the configured value as a search writes it; None if the search does not try it."""
        value = self.get_value(config)
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


def read_space(source: str, stage: TrialStages, build: "BuildConfig") -> Space:
    """Read a space from YAML: `section.key: {low: …, high: …}` or `section.key: {choices: […]}`.

    Args:
        source: the path of a file, or the YAML itself.
        stage: what a trial trains; keys of another stage would have no effect.
        build: returns the configuration with further overrides; each bound and each choice is checked with it.

    Raises:
        ConfigError: with all errors at once, one on each line.
    """
    is_text = ": " in source and not Path(source).is_file()
    values, places = read_yaml(
        Path(COMMAND_LINE if is_text else source),
        needs=Message("keys with the values to try: {example}", example=EXAMPLE),
        example="configs/spaces/basemodel.yaml",
        text=source if is_text else None,
    )
    space: list[Parameter] = []
    errors: list[ConfigError] = []
    for key, given in values.items():
        try:
            parameter = _read_parameter(key, given, stage)
            _check_values(parameter, build)
            space.append(parameter)
        except ConfigError as error:
            errors.append(error.within("{place}", place=places[(key,)]))
    if errors:
        raise ConfigError.join(errors)
    return tuple(space)


def _read_parameter(key: str, given: Any, stage: TrialStages) -> Parameter:
    field = _find_field(key)
    if objection := _find_objection(key, stage):
        raise ConfigError("{key} {objection}.", key=key, objection=objection)
    if not isinstance(given, dict) or not given:
        raise ConfigError(
            "{key} is {given!r}. Write the values to try: {example}.", key=key, given=given, example=EXAMPLE
        )
    if unknown := [word for word in given if word not in PARAMETER_WORDS]:
        close = difflib.get_close_matches(unknown[0], PARAMETER_WORDS, n=1)
        if close:
            raise ConfigError(
                "{key}: unknown word {word}; did you mean {close}?", key=key, word=unknown[0], close=close[0]
            )
        words = ", ".join(PARAMETER_WORDS)
        raise ConfigError("{key}: unknown word {word}. Known words: {words}.", key=key, word=unknown[0], words=words)
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
            raise ConfigError("unknown key {key}; {hint}", key=key, hint=did_you_mean(names[:n], Config))
        model = inner
    keys = ", ".join(model.model_fields)
    raise ConfigError("{key} is a section. Name one of its keys: {keys}.", key=key, keys=keys)


def _plain_types(annotation: Any) -> set[Any]:
    inner = get_args(annotation)
    return {annotation}.union(*map(_plain_types, inner)) if inner else {annotation}


def _find_objection(key: str, stage: TrialStages) -> Template | Message:
    """Return why a key cannot be searched; empty if it can."""
    affects = find_affects(Config, key)
    assert affects is not None
    if affects.what == "shorthand":
        return "only sets the keys of each stage or model. Name one of these"
    if affects.what == "speed":
        return "changes memory or time, not the validation loss"
    if affects.what != "weights" or affects.models == ("lstm",):
        return "does not change the validation loss"
    if not affects.comparable:
        return "must be the same in all trials, or their losses could not be compared"
    if stage != "both" and stage not in affects.models:
        template = "belongs to the {own} stage, which --stage {stage} does not train"
        return Message(template, own=affects.models[0], stage=stage)
    return ""


def _read_choices(key: str, given: dict[str, Any]) -> Parameter:
    choices = given["choices"]
    if others := [word for word in given if word != "choices"]:
        raise ConfigError("{key}: leave out {others}: choices needs no other word.", key=key, others=", ".join(others))
    if not isinstance(choices, list) or len(choices) < 2:
        raise ConfigError(
            "{key}: choices is {choices!r}; it must be a list of two values or more.", key=key, choices=choices
        )
    texts = [json.dumps(choice) for choice in choices]
    if len(set(texts)) < len(texts):
        raise ConfigError("{key}: choices has the same value twice. Leave one out.", key=key)
    return Parameter(key, choices=tuple(choices))


def _read_range(key: str, given: dict[str, Any], integral: bool) -> Parameter:
    if missing := [word for word in ("low", "high") if word not in given]:
        missing_words = Message.join(missing, " and ")
        raise ConfigError("{key}: {missing} missing; write low and high, or choices.", key=key, missing=missing_words)
    for word in ("low", "high", "step"):
        value = given.get(word, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError("{key}: {word} is {value!r}; it must be a number.", key=key, word=word, value=value)
        if integral and not isinstance(value, int):
            template = "{key}: {word} is {value!r}, but the key takes whole numbers only."
            raise ConfigError(template, key=key, word=word, value=value)
    if not isinstance(given.get("log", False), bool):
        raise ConfigError("{key}: log is {log!r}; it must be true or false.", key=key, log=given["log"])
    parameter = Parameter(key, **given, whole=integral)
    if error := _find_range_error(parameter):
        raise ConfigError("{key}: {error}.", key=key, error=Message(error, **vars(parameter)))
    return parameter


def _find_range_error(parameter: Parameter) -> Template:
    """Return what is wrong with a range, as a template; empty if nothing is."""
    low, high, step = parameter.low, parameter.high, parameter.step
    if low >= high:
        return "low ({low:g}) must be less than high ({high:g})"
    if parameter.log and low <= 0:
        return "low is {low:g}; on a log scale it must be more than 0"
    if step is None:
        return ""
    if parameter.log:
        return "log and step cannot be combined. Leave one out"
    if step <= 0:
        return "step is {step:g}; it must be more than 0"
    steps = (high - low) / step
    if abs(steps - round(steps)) > 1e-9 * max(steps, 1):
        return "steps of {step:g} from low ({low:g}) do not end at high ({high:g})"
    return ""


def _check_values(parameter: Parameter, build: "BuildConfig") -> None:
    """Check that the configuration accepts each bound or choice."""
    for value in parameter.choices or (parameter.low, parameter.high):
        override = f"{parameter.key}={parameter.to_text(value)}"
        try:
            build([override])
        except ConfigError as error:
            first = error.errors[0]
            if first.values.get("place") == COMMAND_LINE:
                raise ConfigError(first.template.removeprefix("{place}: "), **first.values) from None
            raise ConfigError("with {override}: {message}", override=override, message=first) from None
