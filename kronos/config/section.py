"""What all sections of the configuration share."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    PlainValidator,
    Strict,
    model_validator,
)
from pydantic_core import PydanticCustomError

# true is not 1, and "32" is not 32.
Integer = Annotated[int, Strict()]
Number = Annotated[float, Strict()]


def fault(key: str, message: str) -> PydanticCustomError:
    """A fault that only several values together have; key says where to look for it."""
    return PydanticCustomError("cross_field", "{message}", {"key": key, "message": message})


# ~ is the home folder.
UserPath = Annotated[Path, AfterValidator(Path.expanduser)]
# One or many: a text stands for a list of one.
UserPaths = Annotated[tuple[UserPath, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str | Path) else v)]
Moment = Annotated[
    date | datetime,
    PlainValidator(lambda value: _read_moment(value)),
    PlainSerializer(lambda value: value if value is None else value.isoformat(), when_used="json"),
]
Names = Annotated[tuple[str, ...], BeforeValidator(lambda v: v if isinstance(v, list | tuple) else (v,))]


def _read_moment(value: object) -> date | datetime | None:
    """Read a day (2024-06-30, 20240630) or a moment (2024-06-30 15:00), by the exchange's clock."""
    if value is None or isinstance(value, date):
        return value
    text = str(value).replace("/", "-")
    try:
        if len(text) in (8, 10):
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        message = "a day like 2024-06-30 or a moment like 2024-06-30 15:00 is wanted"
        raise PydanticCustomError("moment", message) from None
    if moment.tzinfo is not None:
        raise PydanticCustomError("moment", "leave the time zone out: it is by the exchange's clock")
    return moment


class Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _blank_is_empty(cls, values: Any) -> Any:
        """Read a text or path key left blank as empty."""
        if not isinstance(values, dict):
            return values
        texts = {key for key, field in cls.model_fields.items() if field.annotation in (str, Path)}
        return {key: "" if value is None and key in texts else value for key, value in values.items()}
