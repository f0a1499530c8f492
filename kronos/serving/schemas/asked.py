"""What a forecast is asked for with: the TSFM.ai contract, extended by candles."""

import json
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    WrapValidator,
    model_validator,
)

from kronos.candles import PRICE_COLUMNS

MAX_SERIES = 256  # of one request
MAX_REQUESTS = 64  # of one batch
MAX_ROWS = 200_000  # candles of one series
MAX_QUANTILES = 99
MAX_PATHS = 1000
MAX_SEED = 2**53  # JSON readers of many languages keep no larger whole number
FEWEST = 2  # candles
MAX_DEPTH = 32  # of metadata


def _one_error(text: str) -> Callable[[Any, Callable[[Any], Any]], Any]:
    """Return a validator of a union with one error instead of one for each of its members."""

    def check(value: Any, validate: Callable[[Any], Any]) -> Any:
        try:
            return validate(value)
        except ValidationError:
            raise ValueError(text) from None

    return check


def _check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    """Refuse what cannot be returned as JSON, although the reader takes it."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        nested = [part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list)]
        level = [each for part in nested for each in part]
    if level:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        raise ValueError("NaN, Infinity and halves of a character are no JSON") from None
    return value


Number = float | None
Column = Annotated[list[Number], Field(min_length=FEWEST, max_length=MAX_ROWS)]
Text = Annotated[str, Field(min_length=1, max_length=120)]
Time = Annotated[
    Annotated[str, Field(max_length=60)] | int | float,
    WrapValidator(
        _one_error("write a time like 2024-06-18 11:15, or as a number of seconds or milliseconds since 1970")
    ),
]
Closes = Annotated[
    list[Number] | list[list[Number]],
    WrapValidator(_one_error("write closes as numbers, all of them plain or each in a list of its own")),
]
Metadata = Annotated[dict[str, Any], AfterValidator(_check_metadata)]


class _Asked(BaseModel):
    """A part of a request. Unknown keys are refused, because a misspelt one would be ignored; and so is "1" for 1."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Candles(_Asked):
    """Columns of candles, oldest first. Without volume both it and the amount are 0; amount defaults to volume × mean price."""

    open: Column
    high: Column
    low: Column
    close: Column
    volume: Column | None = None
    amount: Column | None = None


class File(_Asked):
    """A text file of candles, as `kronos predict --data` reads it."""

    name: Annotated[str, Field(pattern=r"(?i)\.(csv|tsv|txt)$", max_length=200)]
    content_base64: Annotated[str, Field(min_length=1)]


class Input(_Asked):
    """One series: candles with timestamps; or closes alone (target); or a file."""

    candles: Candles | None = None
    target: Annotated[Closes, Field(min_length=FEWEST, max_length=MAX_ROWS)] | None = Field(
        None, description="Closes alone. Each candle then has one price, which the models have rarely seen."
    )
    file: File | None = None
    timestamps: Annotated[list[Time], Field(max_length=MAX_ROWS)] | None = Field(
        None, description="A time for each candle, in the market's local time."
    )
    start: Annotated[str, Field(max_length=60)] | None = Field(
        None, description="The first time, with parameters.frequency, instead of timestamps."
    )
    symbol: Text | None = Field(
        None,
        validation_alias=AliasChoices("symbol", "item_id"),
        description="Names the series, and makes its random draws its own. Chooses one if a file holds several.",
    )
    metadata: Metadata | None = Field(None, description="Returned as it is.")

    @model_validator(mode="after")
    def _check_one_kind(self) -> "Input":
        if sum(each is not None for each in (self.candles, self.target, self.file)) != 1:
            raise ValueError("give exactly one of candles, target and file")
        if self.file is not None and (self.timestamps is not None or self.start is not None):
            raise ValueError("a file has its own times; leave timestamps and start out")
        if self.file is None and (self.timestamps is None) == (self.start is None):
            raise ValueError("give timestamps, one for each candle, or start with parameters.frequency")
        if self.candles is not None:
            for name in PRICE_COLUMNS:
                if None in getattr(self.candles, name):
                    raise ValueError(f"{name} has a null; leave rows without a price out")
        return self


class Parameters(_Asked):
    """How to forecast. What is left out is the run's own setting."""

    prediction_length: Annotated[int, Field(ge=1)] | None = Field(None, description="Candles to forecast.")
    quantile_levels: Annotated[
        list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1, max_length=MAX_QUANTILES)
    ] = Field(
        [0.05, 0.25, 0.5, 0.75, 0.95],
        validation_alias=AliasChoices("quantile_levels", "quantiles"),
        description="Of the close.",
    )
    context_length: Annotated[int, Field(ge=FEWEST)] | None = Field(
        None, description="The last candles to forecast from. Bands are calibrated for the run's own number only."
    )
    frequency: Annotated[str, Field(max_length=20)] | None = Field(
        None, validation_alias=AliasChoices("frequency", "freq"), description="With start: 5min, h, D, …"
    )
    n_paths: Annotated[int, Field(ge=1, le=MAX_PATHS)] = Field(30, description="Futures to sample.")
    include_paths: bool = Field(False, description="Return every sampled path.")
    include_history: bool = Field(False, description="Return the known candles that were forecast from.")
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = Field(0, description="The same seed gives the same forecast.")
    temperature: Annotated[float, Field(ge=0, le=1000)] | None = None
    top_k: Annotated[int, Field(ge=0)] = 0
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    calibrate: bool = Field(True, description="Correct the quantiles by the run's calibration, if there is one.")
    exchange: Annotated[str, Field(max_length=20)] | None = Field(
        None, description="The exchange whose calendar gives the future times: XSHG, XNYS, 24/7, …"
    )
    timeout_seconds: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Answer with status 504 after this time; at most, and by default, the server's limit."
    )


_PRICES = {"open": 10.0, "high": 10.04, "low": 9.97, "close": 10.01}
_COLUMNS: dict[str, JsonValue] = {
    name: [round(price + 0.02 * n + 0.01 * (n % 5), 2) for n in range(24)] for name, price in _PRICES.items()
}
EXAMPLE_INPUT: dict[str, JsonValue] = {
    "symbol": "DEMO",
    "timestamps": [f"2024-06-03 {9 + n // 12:02}:{n % 12 * 5:02}" for n in range(7, 31)],
    "candles": {**_COLUMNS, "volume": [1000 + 40 * (n % 7) for n in range(24)]},
}
EXAMPLE: dict[str, JsonValue] = {
    "inputs": [EXAMPLE_INPUT],
    "parameters": {"prediction_length": 4, "quantile_levels": [0.05, 0.5, 0.95]},
}


class ForecastRequest(_Asked):
    """Series to forecast with one run."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    model: Text | None = Field(None, description="A run, as GET /v1/models names it; by default the first.")
    inputs: Annotated[list[Input], Field(min_length=1, max_length=MAX_SERIES)]
    parameters: Parameters = Parameters()
    metadata: Metadata | None = Field(None, description="Returned as it is.")


class BatchRequest(_Asked):
    """Requests of any runs, answered together; one that fails leaves the others as they are."""

    model_config = ConfigDict(json_schema_extra={"example": {"requests": [EXAMPLE]}})

    requests: Annotated[list[ForecastRequest], Field(min_length=1, max_length=MAX_REQUESTS)]


class CheckRequest(_Asked):
    """Candles to audit."""

    model_config = ConfigDict(json_schema_extra={"example": {"input": EXAMPLE_INPUT}})

    input: Input
    frequency: Annotated[str, Field(max_length=20)] | None = Field(None, description="With input.start.")
