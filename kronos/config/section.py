"""What all sections of the configuration share."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Strict, model_validator
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
Names = Annotated[tuple[str, ...], BeforeValidator(lambda v: v if isinstance(v, list | tuple) else (v,))]


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
