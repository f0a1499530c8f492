"""What a key of the configuration affects. It stands on the field, and every list of keys is derived from it.

`batch_size: Annotated[Integer, WEIGHTS] = Field(32, ge=1)`
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kronos.config.messages import section_of

ModelName = Literal["tokenizer", "basemodel", "lstm"]  # all that is trained: the stages' models, and a baseline
What = Literal["weights", "speed", "naming", "report", "shorthand"]


@dataclass(frozen=True)
class Affects:
    """What a key affects.

    Args:
        what: "weights" of a trained model; "speed": time, memory and disk, with the same result; "naming": names and
            places; "report": what is logged, measured and shown after training; "shorthand": it only fills in other keys.
        models: whose weights; those of no model: which models are trained.
        comparable: whether the validation losses for two values of the key can be compared.
        splits: whether the key decides which candles belong to which split.
    """

    what: What
    models: tuple[ModelName, ...] = ()
    comparable: bool = True
    splits: bool = False


ALL_MODELS: tuple[ModelName, ...] = ("tokenizer", "basemodel", "lstm")
BOTH_STAGES: tuple[ModelName, ...] = ("tokenizer", "basemodel")

WEIGHTS = Affects("weights", ALL_MODELS)
WINDOWS = Affects("weights", ALL_MODELS, comparable=False)  # other windows to train on and to validate on
SEED = Affects("weights", ALL_MODELS, comparable=False)
SPLIT = Affects("weights", ALL_MODELS, comparable=False, splits=True)
STAGE_WEIGHTS = Affects("weights", BOTH_STAGES)
TOKENIZER = Affects("weights", ("tokenizer",))
BASE_MODEL = Affects("weights", ("basemodel",))
LSTM = Affects("weights", ("lstm",))
VALIDATION = Affects("weights", BOTH_STAGES, comparable=False)  # how a stage's best model is chosen
BASE_MODEL_VALIDATION = Affects("weights", ("basemodel",), comparable=False)
STAGES_THAT_RUN = Affects("weights", comparable=False)
SPEED = Affects("speed")
NAMING = Affects("naming")
REPORT = Affects("report")
SHORTHAND = Affects("shorthand")


def list_affects(section: type[BaseModel], prefix: str = "") -> dict[str, Affects | None]:
    """Return what each key affects, by dotted key; None only for sections, whose keys say it."""
    affects: dict[str, Affects | None] = {}
    for name, field in section.model_fields.items():
        affects[prefix + name] = _read_affects(field)
        if inner := section_of(field.annotation):
            affects |= list_affects(inner, f"{prefix}{name}.")
    return affects


def find_affects(section: type[BaseModel], key: str) -> Affects | None:
    """Return what a dotted key affects; an entry of a mapping, such as data.columns.open, affects what the mapping does."""
    affects = list_affects(section)
    names = key.split(".")
    nearest_first = (affects.get(".".join(names[:n])) for n in range(len(names), 0, -1))
    return next((each for each in nearest_first if each), None)


def collect_weight_settings(section: BaseModel, model: ModelName, prefix: str = "") -> dict[str, Any]:
    """Return the values that affect a model's weights, by dotted key, as JSON holds them."""
    settings: dict[str, Any] = {}
    values = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        affects, value = _read_affects(field), getattr(section, name)
        if affects is None:
            settings |= collect_weight_settings(value, model, f"{prefix}{name}.")
        elif affects.what == "weights" and model in affects.models:
            settings[prefix + name] = values[name]
    return settings


def _read_affects(field: FieldInfo) -> Affects | None:
    return next((each for each in field.metadata if isinstance(each, Affects)), None)
