"""Words what pydantic objects to: the place, the key, its value, and what would be valid."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from kronos.errors import ConfigError
from kronos.names import Message, Template
from kronos.urls import mask_secrets

KeyPath = tuple[str, ...]
MAX_DIGITS, MAX_SHOWN, MAX_ERRORS = 30, 200, 20

# pydantic's type of an error: what the value must be, with the limits of the field.
REQUIREMENTS: dict[str, Template] = {
    "int_type": "it must be a whole number",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "bool_type": "it must be true or false",
    "bool_parsing": "it must be true or false",
    "string_type": "it must be a text: put it in quotes",
    "string_too_short": "it must not be empty",
    "too_short": "it must not be empty",
    "dict_type": "it must be a mapping, for example {{key: value}}",
    "path_type": "it must be a path",
    "tuple_type": "it must be a list, for example [a, b]",
    "too_long": "it must not have more than {max_length:,} items",
    "greater_than": "it must be more than {gt:,.15g}",
    "greater_than_equal": "it must be at least {ge:,.15g}",
    "less_than": "it must be less than {lt:,.15g}",
    "less_than_equal": "it must be at most {le:,.15g}",
}


def build_config_error(
    error: ValidationError, section: type[BaseModel], places: Mapping[KeyPath, str], default_place: str
) -> ConfigError:
    """Turn pydantic's error into ours, with one line for each key.

    Args:
        section: the class that was validated.
        places: where each key was given, for example "demo.yaml:3" or "command line".
        default_place: the place of all other keys.
    """
    found = error.errors()
    items = {details["loc"][:-1] for details in found}
    errors = [
        _describe(details, section, places, default_place)
        for details in found
        # These follow from another error: a list whose items are wrong counts as empty.
        if details["type"] != "default_factory_not_called"
        and not (details["type"] == "too_short" and details["loc"] in items)
    ]
    if len(errors) > MAX_ERRORS:
        errors[MAX_ERRORS:] = [
            ConfigError("{place}: {n:,} more errors.", place=default_place, n=len(errors) - MAX_ERRORS)
        ]
    return ConfigError.join(errors)


def _describe(
    details: ErrorDetails, section: type[BaseModel], places: Mapping[KeyPath, str], default_place: str
) -> ConfigError:
    context: dict[str, Any] = details.get("ctx", {})
    kind = details["type"]
    keys = tuple(context["key"].split(".")) if "key" in context else tuple(str(key) for key in details["loc"])
    place = next((places[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in places), default_place)
    named: dict[str, Any] = {"place": place, "key": ".".join(keys), "value": _describe_value(details["input"])}
    if kind == "cross_field":
        template: str = context["template"]  # of cross_field_error
        whole = "{place}: {error}" if template.endswith("?") else "{place}: {error}."
        return ConfigError(whole, place=place, error=Message(template, **context["values"]))
    if kind == "missing":
        return ConfigError("{place}: {key} is missing.", **named)
    if kind == "extra_forbidden":
        return ConfigError("{place}: unknown key {key}; {hint}", **named, hint=did_you_mean(keys, section))
    if kind == "model_type":
        return ConfigError("{place}: {key} must be a section of keys, but it is {value}.", **named)
    if kind == "literal_error":
        hint = _nearest(details["input"], context["expected"])
        expected = Message.join(context["expected"].split(" or "), " or ")  # pydantic's list
        return ConfigError(
            "{place}: {key} is {value}; it must be {expected}{hint}", **named, expected=expected, hint=hint
        )
    if kind in REQUIREMENTS:
        return ConfigError("{place}: {key} is {value}; " + REQUIREMENTS[kind] + ".", **named, **context)
    reason = context["reason"] if kind == "field" else details["msg"][:1].lower() + details["msg"][1:]
    return ConfigError("{place}: {key} is {value}; {reason}.", **named, reason=reason)


def _describe_value(value: object) -> str:
    """Return a value as code, shortened, without the secrets of a URL."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**MAX_DIGITS:
        return "a number of very many digits"
    value = str(value) if isinstance(value, Path) else value
    shown = repr(mask_secrets(value[:MAX_SHOWN]) if isinstance(value, str) else value)
    return shown if len(shown) <= MAX_SHOWN else f"{shown[:MAX_SHOWN]} …"


def _nearest(value: object, expected: str) -> Template | Message:
    """End the sentence, with the valid value closest to the given one if there is one."""
    if not isinstance(value, str | bool):
        return "."
    close = difflib.get_close_matches(str(value)[:MAX_SHOWN].lower(), re.findall("'([^']*)'", expected), n=1)
    return Message("; did you mean {close!r}?", close=close[0]) if close else "."


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a key holds, as `LoraConfig` in `LoraConfig | None`; None for plain values."""
    choices = get_args(annotation) or (annotation,)
    return next((kind for kind in choices if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def did_you_mean(keys: KeyPath, root: type[BaseModel]) -> Message:
    """Suggest the nearest known key: in the same section first, then the same key in another section."""
    sections = _list_keys(root)
    *prefix, key = keys
    siblings = sections.get(".".join(prefix), [])
    if close := difflib.get_close_matches(key[:MAX_SHOWN], siblings, n=1, cutoff=0.6):
        return Message("did you mean {close}?", close=".".join([*prefix, close[0]]))
    if homes := [section for section, known in sections.items() if section and key in known]:
        return Message("{key} belongs in section {section}.", key=key, section=homes[0])
    return Message("known here: {known}.", known=", ".join(siblings))


def _list_keys(section: type[BaseModel], prefix: str = "") -> dict[str, list[str]]:
    """Return the known keys of each section; "training.lora" is one, "" is the whole."""
    keys = {prefix.removesuffix("."): list(section.model_fields)}
    for name, field in section.model_fields.items():
        if inner := section_of(field.annotation):
            keys |= _list_keys(inner, f"{prefix}{name}.")
    return keys
