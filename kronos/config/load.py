"""YAML file and overrides to a checked `Config`; every error with its place, its value and how to correct it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from kronos.config.messages import KeyPath, build_config_error
from kronos.config.schema import Config
from kronos.config.section import UserSource, set_key
from kronos.config.yaml_text import parse_yaml, read_value, write_yaml_text
from kronos.disk.reading import read_regular
from kronos.disk.shipped import locate
from kronos.errors import ConfigError
from kronos.names import Template

COMMAND_LINE = "command line"
EXTERNAL_ACCESS = ("data", "external_access")
DESCRIPTION = ("experiment", "description")
MAX_BYTES = 1 << 20  # of a YAML file
UNSHARDED = "distributed.strategy=ddp"  # an override to read runs that an earlier version trained with fsdp

MAX_KEYS = 10  # of an override, section.key.key


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, apply overrides, and check the whole.

    Args:
        path: the YAML file.
        overrides: "section.key=value" each, the value written as in YAML.

    Raises:
        ConfigError: with all errors at once, a line each.
    """
    path = Path(path)
    values, places = read_yaml(path, needs="at least data.data_path and model_paths", example="configs/demo.yaml")
    return _build(values, places, str(path), overrides)


def build_config(values: dict[str, Any], overrides: Sequence[str] = (), name: str = COMMAND_LINE) -> Config:
    """Build a configuration without a file, from its sections and overrides.

    Args:
        name: where the values come from, for errors.

    Raises:
        ConfigError: with all errors at once, a line each.
    """
    return _build(values, {}, name, overrides)


def build_reading_config(paths: Sequence[str], overrides: Sequence[str] = ()) -> Config:
    """Build a configuration that only reads candles, and trains nothing.

    Args:
        paths: data.data_path; if empty, a placeholder, for callers that name the files themselves.

    Raises:
        ConfigError: with all errors at once, a line each.
    """
    nothing = {"experiment": {"train_tokenizer": False, "train_basemodel": False}}
    return build_config({"data": {"data_path": list(paths) or ["*"]}, **nothing}, overrides)


def _build(values: dict[str, Any], places: dict[KeyPath, str], name: str, overrides: Sequence[str]) -> Config:
    described = _get_candles(values)
    for override in overrides:
        _apply_override(values, places, override)
    if _get_candles(values) != described and places.get(DESCRIPTION) != COMMAND_LINE:
        _forget_description(values)
    _check_external_access(values, places)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise build_config_error(error, Config, places, name) from None


def _get_candles(values: dict[str, Any]) -> Any:
    data = values.get("data")
    return data.get("data_path") if isinstance(data, dict) else None


def _forget_description(values: dict[str, Any]) -> None:
    """Forget what a file says of its experiment, which is about other candles than those to be used."""
    section, key = DESCRIPTION
    if isinstance(values.get(section), dict):
        values[section] = {name: value for name, value in values[section].items() if name != key}


def _check_external_access(values: dict[str, Any], places: dict[KeyPath, str]) -> None:
    """Check that no file lets a query read other files: a configuration may come from somebody else."""
    place = places.get(EXTERNAL_ACCESS, COMMAND_LINE)
    data = values.get(EXTERNAL_ACCESS[0])
    if place != COMMAND_LINE and isinstance(data, dict) and data.get(EXTERNAL_ACCESS[1]):
        template = (
            "{place}: data.external_access lets a query read other files and load extensions. Remove the key here. If you "
            "trust the query, give data.external_access=true on the command line."
        )
        raise ConfigError(template, place=place)


def list_keys(overrides: Sequence[str]) -> list[str]:
    """Return the keys of overrides, "section.key=value" each."""
    return [override.partition("=")[0] for override in overrides]


def dump_config(config: Config) -> str:
    """Write a resolved configuration as YAML that `load_config` reads back.

    Paths that follow from base_path and exp_name stay empty: the file can then be used for another exp_name.
    """
    values = config.model_dump(mode="json")
    values["model_paths"] |= dict.fromkeys(config.model_paths.list_derived(), "")
    if "language" not in config.report.model_fields_set:  # then each command follows its own terminal
        del values["report"]["language"]
    return write_yaml_text(values)


def read_yaml(
    path: Path, needs: Template, example: str, text: str | None = None
) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """Return the file's mapping and the place, "file:line", of each key in it.

    Args:
        path: the YAML file. One of configs/ that is not there is the one that comes with the program.
        needs: what an empty file lacks, for the error.
        example: a file of the kind, for the error.
        text: the YAML itself, if it is not in a file; path is then where it was given.

    Raises:
        ConfigError: there is no such file, or it is not a mapping in YAML.
    """
    document, places = parse_yaml(_read_text(locate(path), example) if text is None else text, str(path))
    if document is None:
        raise ConfigError("{path}: the file is empty; it needs {needs}.", path=path, needs=needs)
    if not isinstance(document, dict):
        raise ConfigError("{path}: expected sections (data:, training:, …), found something else.", path=path)
    return {key: {} if value is None else value for key, value in document.items()}, places  # an empty section


def _read_text(path: Path, example: str) -> str:
    if path.is_dir():
        raise ConfigError("{path}: this is a folder; give a YAML file.", path=path)
    try:
        return read_regular(path, MAX_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        template = "{path}: no such config file. Ready ones are in configs/, for example {example}."
        raise ConfigError(template, path=path, example=example) from None
    except UnicodeDecodeError as error:
        template = "{path}: not a UTF-8 text file ({reason} at byte {byte})."
        raise ConfigError(template, path=path, reason=error.reason, byte=error.start) from None
    except OSError as error:
        template = "{path}: cannot be read: {reason}. Give a YAML file."
        raise ConfigError(template, path=path, reason=error.strerror or error) from None


def _apply_override(values: dict[str, Any], places: dict[KeyPath, str], override: str) -> None:
    dotted, equals, text = override.partition("=")
    keys = tuple(dotted.split("."))
    if not equals or not all(keys) or len(keys) > MAX_KEYS:
        template = (
            "command line: {override!r} is not an override; write section.key=value, for example training.batch_size=8."
        )
        raise ConfigError(template, override=override)
    set_key(values, keys, text if _is_text(keys) and not text.startswith("[") else read_value(text), COMMAND_LINE)
    for below in [place for place in places if place[: len(keys)] == keys]:
        del places[below]
    places[keys] = COMMAND_LINE


def _is_text(keys: KeyPath) -> bool:
    """Whether a key holds a text or a path. These are taken as they are: 000001 is a stock, not 1."""
    section = Config.model_fields[keys[0]].annotation if keys[0] in Config.model_fields else None
    if len(keys) != 2 or not (isinstance(section, type) and issubclass(section, BaseModel)):
        return False
    field = section.model_fields.get(keys[1])
    return field is not None and field.annotation in (str, Path, tuple[UserSource, ...])
