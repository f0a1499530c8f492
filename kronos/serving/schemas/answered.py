"""What is answered: the TSFM.ai contract, extended by the verdict."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class QuantilePrediction(BaseModel):
    """The quantile of the close at each future time."""

    level: float
    values: list[float] | list[list[float]]


class CalibrationInfo(BaseModel):
    """Whether the quantiles are calibrated, and on how many validation origins."""

    applied: bool
    n_origins: int | None


class Output(BaseModel):
    """The forecast of one series. mean and quantiles: of the close, nested as the target was."""

    symbol: str | None
    as_of: str = Field(description="The time of the last known candle.")
    last_close: float
    timestamps: list[str]
    mean: list[float] | list[list[float]]
    quantile_predictions: list[QuantilePrediction]
    candles: dict[str, list[float]] = Field(description="The mean candles: open … amount.")
    probability_up: list[float] = Field(description="The share of paths that close above last_close.")
    paths: dict[str, list[list[float]]] | None = Field(
        description="Columns of every path: n_paths × prediction_length."
    )
    history: dict[str, list[float] | list[str]] | None = Field(
        description="timestamps, open … amount of the known candles."
    )
    calibration: CalibrationInfo
    notes: list[str]
    metadata: dict[str, Any] | None


class RunInfo(BaseModel):
    """The run that forecast, and the SHA-256 of its weights."""

    name: str
    weights: str
    tokenizer: str


class VerdictInfo(BaseModel):
    """What was measured of the models on held-out candles; states as in `kronos predict --json`."""

    state: Literal["evaluated", "other_settings", "not_evaluated", "other_models", "older"]
    headline: str | None
    coverage_90: dict[str, float | None] | None
    differences: list[str]
    command: str
    text: list[str]


class ForecastResponse(BaseModel):
    """Forecasts in the order of the inputs."""

    id: str
    object: Literal["forecast"] = "forecast"
    created: int
    model: str
    provider: Literal["kronos"] = "kronos"
    prediction_length: int
    quantile_levels: list[float]
    input_points: int
    outputs: list[Output]
    run: RunInfo
    verdict: VerdictInfo
    metadata: dict[str, Any] | None


class Problem(BaseModel):
    """Why a request is not answered."""

    error: str
    code: str


class BatchResult(BaseModel):
    """The answer to one of several requests."""

    status: Literal["ok", "error"]
    forecast: ForecastResponse | None = None
    error: Problem | None = None


class BatchResponse(BaseModel):
    """Answers in the order of the requests."""

    results: list[BatchResult]


class ModelInfo(BaseModel):
    """A run that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When its weights were loaded, in seconds since 1970.")
    context_length: int
    prediction_length: int
    run: RunInfo
    verdict: VerdictInfo


class ModelList(BaseModel):
    """The runs that are served; the first is the default."""

    object: Literal["list"] = "list"
    data: list[ModelInfo]


class FindingInfo(BaseModel):
    """Something that is wrong with candles, or worth a note."""

    severity: str
    kind: str
    count: int
    text: str


class CheckResponse(BaseModel):
    """The audit of candles. text: as `kronos check` prints it."""

    usable: bool
    findings: list[FindingInfo]
    text: str


class Health(BaseModel):
    """The state of the server."""

    status: Literal["ok", "not ready"]
    models: list[str]
    waiting: int
    version: str
