"""Keyword arguments as keys of the configuration."""

import difflib
from collections.abc import Iterator, Mapping
from itertools import chain
from os import PathLike
from typing import Any

from kronos.config import Config
from kronos.config.section import Section
from kronos.errors import ConfigError

SECTIONS: dict[str, type[Section]] = {
    name: field.annotation
    for name, field in Config.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
}


def name_keys(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options by their dotted keys.

    An option is a key ("epochs", if one section only has it), a dotted key ("training.epochs"), or a section with a
    mapping of keys (training={"epochs": 3}).

    Raises:
        ConfigError: no section has the key, or several have; or a key is given twice.
    """
    named: dict[str, Any] = {}
    for key, value in chain.from_iterable(_name(name, value) for name, value in options.items()):
        if key in named:
            raise ConfigError("{key} is given twice. Give it once.", key=key)
        named[key] = value
    return named


def take(options: dict[str, Any], key: str, argument: str, given: Any = None) -> Any:
    """Return an argument that may also be given under its key, and remove the key from the options.

    Raises:
        ConfigError: both are given.
    """
    if given is not None and key in options:
        raise ConfigError("{argument} and {key} are the same setting. Give one of them.", argument=argument, key=key)
    return options.pop(key, given)


def check_path(argument: str, given: object) -> None:
    """Check an argument that is a folder or the name of a model.

    Raises:
        ConfigError: it is neither.
    """
    if not isinstance(given, str | PathLike):
        raise ConfigError(
            "{argument}: expected a folder or the name of a model, got {kind}.",
            argument=argument,
            kind=type(given).__name__,
        )


def take_sizes(options: dict[str, Any], lookback: int | None, horizon: int | None) -> dict[str, int]:
    """Return the lengths of a window that are given, by dotted key, and remove them from the options."""
    sizes = {
        "data.lookback_window": take(options, "data.lookback_window", "lookback", lookback),
        "data.predict_window": take(options, "data.predict_window", "horizon", horizon),
    }
    return {key: n for key, n in sizes.items() if n is not None}


def _name(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if name in SECTIONS and isinstance(value, Mapping):
        yield from ((f"{name}.{key}", each) for key, each in value.items())
    elif "." in name or (name in Config.model_fields and name not in SECTIONS):
        yield name, value
    else:
        yield _find(name), value


def _find(key: str) -> str:
    found = [f"{name}.{key}" for name, section in SECTIONS.items() if key in section.model_fields]
    if len(found) == 1:
        return found[0]
    if found:
        dotted = " or ".join(f'**{{"{each}": …}}' for each in found)
        raise ConfigError("{key}: several sections have this key. Write {dotted}.", key=key, dotted=dotted)
    if key in SECTIONS:
        raise ConfigError('{key} is a section. Give a mapping of its keys: {key}={{"…": …}}.', key=key)
    known = [*SECTIONS, *chain.from_iterable(section.model_fields for section in SECTIONS.values())]
    near = difflib.get_close_matches(key, known, n=1)
    raise ConfigError(
        "{key}: no such option. {hint}docs/configuration.md lists all keys.",
        key=key,
        hint=f"Did you mean {near[0]}? " if near else "",
    )
