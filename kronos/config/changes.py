"""Which keys may be given to a model that is trained already: how candles are read, evaluated and drawn."""

from collections.abc import Iterable, Sequence

from kronos.config.data import OF_ONE_SOURCE, READING_KEYS
from kronos.errors import ConfigError
from kronos.names import Message, Template

# Keys, or sections that end in a dot.
FOR_READING = (*(f"data.{key}" for key in READING_KEYS), "data.cache_dir", "repairs.")
HUB = "model_paths.hub_endpoint"  # changes nothing but where a model comes from
FOR_FORECASTS = (*FOR_READING, HUB)
FOR_EVALUATION = ("evaluation.", "report.", "data.board", "device.", "distributed.", HUB)
FOR_MODELS = (*FOR_EVALUATION, "data.", "repairs.", "model_paths.base_path", "model_paths.exp_name")
OTHER_CANDLES = dict.fromkeys(f"data.{key}" for key in OF_ONE_SOURCE)  # for other candles than the run's own

FIXED: Template = "this setting cannot change after training"
NO_EFFECT_ON_MODELS: Template = "this setting has no effect on a model that is not trained here"
NO_EFFECT_ON_FORECASTS: Template = "a forecast does not depend on this key"


def check_changes(keys: Iterable[str], allowed: Sequence[str], why: Template, hint: Template | Message = "") -> None:
    """Check that each key may be given.

    Args:
        allowed: keys, or sections that end in a dot.
        why, hint: end the message: why others cannot be given, and what can be done instead.

    Raises:
        ConfigError: one may not.
    """
    for key in keys:
        if any(key == each or f"{key}.".startswith(f"{each.rstrip('.')}.") for each in allowed):
            continue
        raise ConfigError(
            "{key}: {why}. Only {allowed} can be changed{hint}.",
            key=key,
            why=why,
            allowed=", ".join(f"{each}*" if each.endswith(".") else each for each in allowed),
            hint=hint,
        )
