"""Read config.json and check its values, before anything is built from them."""

import inspect
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kronos.errors import CheckpointError
from kronos.names import Message

MAX_BYTES = 1 << 20
LARGEST = 1_000_000
MOST_LAYERS = 1_000


def read_model_config(path: Path) -> dict[str, Any]:
    """Read a config.json.

    Raises:
        CheckpointError: it is not a JSON object of at most 1 MB.
    """
    try:
        if not path.is_file():
            raise ValueError(Message("no regular file"))
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(Message("larger than 1 MB"))
        config = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise CheckpointError("{path}: not readable as JSON: nested too deeply.", path=path) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "{path}: not readable as JSON: {reason}.",
            path=path,
            reason=error.args[0] if isinstance(error, ValueError) and error.args else error,
        ) from error
    if not isinstance(config, dict):
        raise CheckpointError("{path}: expected a JSON object of constructor arguments.", path=path)
    return config


def describes_tokenizer(config_file: Path) -> bool:
    """Whether a config.json is that of a tokenizer, not of a base model.

    Raises:
        CheckpointError: it cannot be read.
    """
    return "d_in" in read_model_config(config_file)


def _refuse_constant(name: str) -> float:
    raise ValueError(Message("{name} is no number", name=name))


def select_arguments(
    model_class: type, config: Mapping[str, Any], source: object, n_tensors: int | None
) -> dict[str, Any]:
    """Return the constructor's arguments of a config; other keys are ignored.

    Args:
        n_tensors: of the stored weights, which no model has fewer of than layers; None for a model without weights.

    Raises:
        CheckpointError: one is missing, of another type or out of bounds.
    """
    parameters = list(inspect.signature(model_class.__init__).parameters.values())[1:]  # type: ignore[misc]
    missing = [each.name for each in parameters if each.name not in config]
    if missing:
        raise CheckpointError(
            "{source}: not the configuration of a {model}: {missing} missing.",
            source=source,
            model=model_class.__name__,
            missing=", ".join(missing),
        )
    for each in parameters:
        most = min(MOST_LAYERS, n_tensors or MOST_LAYERS) if each.name.endswith("layers") else LARGEST
        expected = _describe_wrong(config[each.name], each.annotation, most)
        if expected:
            raise CheckpointError(
                "{source}: {name} is {value!r:.40}, but a {model} needs {expected}. Copy the file again from where the model came.",
                source=source,
                name=each.name,
                value=config[each.name],
                model=model_class.__name__,
                expected=expected,
            )
    return {each.name: config[each.name] for each in parameters}


def _describe_wrong(value: object, kind: object, most: int) -> Message:
    """Return what a value should be; empty if it is."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is bool:
        return Message("" if isinstance(value, bool) else "true or false")
    if kind is int:
        is_right = is_number and isinstance(value, int) and 1 <= value <= most
        return Message("") if is_right else Message("a whole number from 1 to {most:,}", most=most)
    if kind is float:
        is_right = is_number and abs(value) <= LARGEST and math.isfinite(value)  # type: ignore[arg-type]
        return Message("") if is_right else Message("a number from -{most:,} to {most:,}", most=LARGEST)
    return Message("")
