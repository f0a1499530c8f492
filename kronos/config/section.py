"""What all sections of the configuration share."""

from collections.abc import Mapping
from copy import deepcopy
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    PlainValidator,
    Strict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from kronos.config.messages import KeyPath, build_config_error
from kronos.config.yaml_text import BACKSLASHES
from kronos.errors import ConfigError
from kronos.names import Message, Template, find_problem
from kronos.run_folder import is_own_name
from kronos.urls import CandleSource, Url, parse_source

# true is not 1, and "32" is not 32.
Integer = Annotated[int, Strict()]
Number = Annotated[float, Strict()]

DEFAULT_CONTEXT = 512  # that of the published models; Kronos-mini's is 2048

# Upper bounds, far above what anybody needs: beyond them something later would overflow, or never end.
MAX_CANDLES = 10_000_000  # in a row: of a window, a gap, a step
MAX_STEPS = 10**9
MAX_WINDOWS = 10**12
MAX_PATHS = 100_000
MAX_RATE = 1e30  # of learning
MAX_ITEMS = 50_000  # of a list
YEARS = range(1700, 2201)


def cross_field_error(key: str, template: Template, **values: object) -> PydanticCustomError:
    """Build the error of values that do not fit together.

    Args:
        key: the key to correct, "section.key"; its line is named.
        template: the message in English, without the full stop; values: what stands in it.
    """
    context = {"key": key, "template": template, "values": values}
    return PydanticCustomError("cross_field", "values do not fit together", context)


def field_error(reason: Template | Message) -> PydanticCustomError:
    """Build the error of one value; reason: what is wrong with it, without the full stop."""
    return PydanticCustomError("field", "{reason}", {"reason": reason})


def _read_path(path: Path) -> Path:
    """Return a path with the home folder for ~. A tab or a line end in it was a backslash between double quotes."""
    if any(ord(character) < ord(" ") for character in str(path)) and not _exists(path):
        raise field_error(BACKSLASHES[:1].lower() + BACKSLASHES[1:])
    try:
        return path.expanduser()
    except RuntimeError:
        reason = Message("there is no user of that name. Write ./{path} for a file of this name", path=path)
        raise field_error(reason) from None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # the name is too long
        return False


UserPath = Annotated[Path, AfterValidator(_read_path)]


def _check_folder_name(name: str) -> str:
    """Check that a name is one part of a path, and of nothing that a run writes itself."""
    problem = find_problem(name) or ("the run writes it itself" if is_own_name(name) else "")
    if problem:
        raise field_error(Message("{problem}. Give a plain folder name, for example my_run", problem=problem))
    return name


FolderName = Annotated[str, AfterValidator(_check_folder_name)]


class _SourceField:
    """The schema of a path or a URL. Saved, a URL has no secrets."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        path = handler.generate_schema(UserPath)
        as_text = core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        return core_schema.no_info_wrap_validator_function(_read_source, path, serialization=as_text)


UserSource = Annotated[Path | Url, _SourceField()]
# One or many: a text stands for a list of one.
UserSources = Annotated[
    tuple[UserSource, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str | Path | Url) else v)
]
Moment = Annotated[
    date | datetime,
    PlainValidator(lambda value: _read_moment(value)),
    PlainSerializer(lambda value: value if value is None else value.isoformat(), when_used="json"),
]
AS_TUPLE = BeforeValidator(lambda v: v if isinstance(v, list | tuple) else (v,))
Names = Annotated[tuple[str, ...], Field(max_length=MAX_ITEMS), AS_TUPLE]


def _read_source(value: object, read_path: ValidatorFunctionWrapHandler) -> CandleSource:
    if not isinstance(value, str | Path | Url):
        return cast(Path, read_path(value))
    if isinstance(value, str) and value.strip() and Path(value) == Path():
        value = Path.cwd()  # "." is no empty text
    try:
        source = parse_source(value)
    except ConfigError as error:
        raise field_error(Message(error.template.rstrip("."), **error.values)) from None
    return source if isinstance(source, Url) else cast(Path, read_path(source))


def _read_moment(value: object) -> date | datetime | None:
    """Read a day (2024-06-30, 20240630) or a time (2024-06-30 15:00), local to the exchange."""
    if value is None:
        return value
    moment = value if isinstance(value, date) else _parse_moment(value)
    if moment.year not in YEARS:
        raise field_error(Message("give a year from {first} to {last}", first=YEARS[0], last=YEARS[-1]))
    return moment


def _parse_moment(value: object) -> date | datetime:
    text = str(value).replace("/", "-")
    try:
        if len(text) in (8, 10):
            return date.fromisoformat(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise field_error("write a day like 2024-06-30 or a time like 2024-06-30 15:00") from None
    if moment.tzinfo is not None:
        raise field_error("leave the time zone out: times are local to the exchange")
    return moment


def set_key(values: dict[str, Any], keys: KeyPath, value: Any, place: str) -> None:
    """Set a key of nested sections; place: where the value was given, for the error."""
    section = values
    for name in keys[:-1]:
        if section.get(name) is None:
            section[name] = {}
        section = section[name]
        if not isinstance(section, dict):
            raise ConfigError(
                "{place}: {key}: {name} is a value, not a section.", place=place, key=".".join(keys), name=name
            )
    section[keys[-1]] = value


class Section(BaseModel):
    """A frozen part of the configuration, or the whole."""

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

    def override(self, values: Mapping[str, Any], place: str = "override") -> Self:
        """Return a copy with other values, checked as those of a file are.

        Keys that were set stay as they are. Keys that follow from others follow the new values: `training.epochs` fills
        the epochs of a stage that has none of its own, `experiment.pre_trained` its two, and `model_paths.base_path`
        and `exp_name` fill the paths below them. A configuration read from a run's config.yaml has all epochs set.

        Args:
            values: by dotted key, for example {"training.batch_size": 8}; within a section without its name.
            place: where they were given, for errors.

        Raises:
            ConfigError: with all errors at once, a line each.
        """
        given = deepcopy(self.list_given())
        for dotted, value in values.items():
            set_key(given, tuple(dotted.split(".")), value, place)
        try:
            return type(self).model_validate(given)
        except ValidationError as error:
            places = {tuple(dotted.split(".")): place for dotted in values}
            raise build_config_error(error, type(self), places, place) from None

    def list_given(self) -> dict[str, Any]:
        """Return the values that were set, without those that follow from defaults or from other keys."""
        values = {key: getattr(self, key) for key in self.model_fields_set}
        return {key: value.list_given() if isinstance(value, Section) else value for key, value in values.items()}
