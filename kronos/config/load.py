"""YAML file and overrides to a checked `Config`; every fault with its place, its value and its remedy."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from kronos.config.messages import KeyPath, build_config_error
from kronos.config.schema import Config
from kronos.config.section import UserPath, set_key
from kronos.errors import ConfigError


class _Constructor(RoundTripConstructor):
    """Leaves dates as the texts they are; YAML's own reading stumbles over 30 February."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", _Constructor.construct_scalar)


class _Yaml(YAML):
    def __init__(self) -> None:
        super().__init__()
        self.Constructor = _Constructor


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, apply overrides, and check the whole.

    Args:
        path: the YAML file.
        overrides: "section.key=value" each, the value written as in YAML.

    Raises:
        ConfigError: with all faults at once, a line each.
    """
    path = Path(path)
    values, places = read_yaml(path, needs="at least data.data_path and model_paths", example="configs/demo.yaml")
    return _build(values, places, path, overrides)


def build_config(values: dict[str, Any], overrides: Sequence[str] = ()) -> Config:
    """Build a configuration without a file, from its sections and overrides.

    Raises:
        ConfigError: with all faults at once, a line each.
    """
    return _build(values, {}, Path("command line"), overrides)


def _build(values: dict[str, Any], places: dict[KeyPath, str], path: Path, overrides: Sequence[str]) -> Config:
    for override in overrides:
        _apply_override(values, places, override)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise build_config_error(error, Config, places, str(path)) from None


def dump_config(config: Config) -> str:
    """Write a resolved configuration as YAML that `load_config` reads back.

    Paths that follow from base_path and exp_name stay empty, so that the file can be used for another exp_name.
    """
    values = config.model_dump(mode="json")
    values["model_paths"] |= dict.fromkeys(config.model_paths.list_derived(), "")
    stream = io.StringIO()
    YAML().dump(values, stream)
    return stream.getvalue()


def read_yaml(
    path: Path, needs: str, example: str, text: str | None = None
) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Return the file's mapping and the place, "file:line", of each key in it.

    Args:
        path: the YAML file.
        needs: what an empty file lacks, for the error.
        example: a file of the kind, for the error.
        text: the YAML itself, if it is not in a file; path is then where it was given.

    Raises:
        ConfigError: there is no such file, or it is not a mapping in YAML.
    """
    try:
        document = _Yaml().load(path.read_text(encoding="utf-8-sig") if text is None else text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file. Ready ones are in configs/, for example {example}.") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: this is a folder; give a YAML file.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a UTF-8 text file ({error.reason} at byte {error.start}).") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    except DuplicateKeyError as error:
        raise ConfigError(f"{_mark(path, error)}: {_first_line(error.problem)}; keep one of them.") from None
    except MarkedYAMLError as error:
        raise ConfigError(f"{_mark(path, error)}: not valid YAML: {error.problem}.") from None
    except YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {_first_line(str(error))}.") from None
    if document is None:
        raise ConfigError(f"{path}: the file is empty; it needs {needs}.")
    if not isinstance(document, CommentedMap):
        raise ConfigError(f"{path}: expected sections (data:, training:, …), found something else.")
    values = {key: {} if value is None else value for key, value in _plain(document).items()}  # an empty section
    return values, _locate(document, path)


def _mark(path: Path, error: MarkedYAMLError) -> str:
    return f"{path}:{error.problem_mark.line + 1}" if error.problem_mark else str(path)


def _first_line(text: str | None) -> str:
    return (text or "unreadable").strip().splitlines()[0]


def _plain(node: Any) -> Any:
    """Turn ruamel's containers and scalars into plain Python ones."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    for plain_type in (bool, int, float, str):
        if isinstance(node, plain_type):
            return plain_type(node)
    return node


def _locate(node: CommentedMap, path: Path, prefix: KeyPath = ()) -> dict[KeyPath, str]:
    places = {}
    for key, value in node.items():
        keys = (*prefix, str(key))
        # A key merged in by << has no place of its own; its section has.
        line = node.lc.key(key)[0] if key in (node.lc.data or {}) else node.lc.line
        places[keys] = f"{path}:{line + 1}"
        if isinstance(value, CommentedMap):
            places |= _locate(value, path, keys)
    return places


def _apply_override(values: dict[str, Any], places: dict[KeyPath, str], override: str) -> None:
    dotted, equals, text = override.partition("=")
    keys = tuple(dotted.split("."))
    if not equals or not all(keys):
        raise ConfigError(
            f"command line: {override!r} is not an override; write section.key=value, for example training.batch_size=8."
        )
    value = text if _is_text(keys) and not text.startswith("[") else _parse_value(text)
    set_key(values, keys, value, "command line")
    places[keys] = "command line"


def _parse_value(text: str) -> Any:
    try:
        return _plain(_Yaml().load(text)) if text else ""
    except YAMLError:
        return text


def _is_text(keys: KeyPath) -> bool:
    """Whether a key holds a text or a path, which are taken as they stand: 000001 is a stock, not 1."""
    section = Config.model_fields[keys[0]].annotation if keys[0] in Config.model_fields else None
    if len(keys) != 2 or not (isinstance(section, type) and issubclass(section, BaseModel)):
        return False
    field = section.model_fields.get(keys[1])
    return field is not None and field.annotation in (str, Path, tuple[UserPath, ...])
