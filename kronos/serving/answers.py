"""Forecasts and verdicts as plain values."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.config.schema import Language
from kronos.evaluation.scores.calibration import Calibration
from kronos.forecast import Forecast, Sampling
from kronos.report.verdict.summary import VerdictSummary
from kronos.report.words.catalogue import Words
from kronos.report.words.messages import translate_into
from kronos.serving.runs import ServedRun
from kronos.serving.schemas import (
    CalibrationInfo,
    ForecastRequest,
    ForecastResponse,
    Input,
    Output,
    Parameters,
    QuantilePrediction,
    RunInfo,
    VerdictInfo,
)

DIGITS = 7  # of float32


@dataclass(frozen=True)
class Settings:
    """The settings of a request's forecasts, with those of the run where the request has none.

    Forecasts of one run are computed together if they agree in `batch`.
    """

    horizon: int
    lookback: int
    n_paths: int
    sampling: Sampling
    seed: int
    levels: tuple[float, ...]
    calibrate: bool
    timeout: float

    @property
    def batch(self) -> tuple[int, int, Sampling, int]:
        """The arguments that all series of a batch share."""
        return self.horizon, self.n_paths, self.sampling, self.seed


@dataclass(frozen=True)
class ServedForecasts:
    """The forecasts of one request that are about to be sent, for whoever keeps account of them.

    run: the folder of the run. conditions: see `describe_conditions`. settings: what else the forecasts depend on. forecasts:
    each with its known candles as its history.
    """

    run: str
    conditions: Mapping[str, Any]
    settings: Mapping[str, Any]
    forecasts: Sequence[Forecast]


def build_response(
    request: ForecastRequest,
    run: ServedRun,
    settings: Settings,
    forecasts: Sequence[Forecast],
    summary: VerdictSummary,
    language: Language,
) -> ForecastResponse:
    """Return the answer to a request from the forecasts of its inputs."""
    outputs = [
        build_output(given, forecast, settings.levels, request.parameters, language)
        for given, forecast in zip(request.inputs, forecasts)
    ]
    calibrated = all(forecast.calibrated for forecast in forecasts)
    return ForecastResponse(
        id=str(uuid.uuid4()),
        created=int(time.time()),
        model=run.name,
        prediction_length=settings.horizon,
        quantile_levels=list(settings.levels),
        input_points=sum(len(each.history) for each in forecasts if each.history is not None),
        outputs=outputs,
        run=describe_run(run),
        verdict=describe_verdict(summary, calibrated, language),
        metadata=request.metadata,
    )


def build_output(
    given: Input, forecast: Forecast, levels: Sequence[float], asked: Parameters, language: Language
) -> Output:
    """Return the forecast of one series as plain values."""
    nested = isinstance((given.target or [0])[0], list)
    mean, up = forecast.mean, forecast.probability_up()
    calibration: Calibration | None = getattr(forecast, "calibration", None)
    closes = {level: forecast.quantile(level)["close"].to_numpy() for level in levels}
    return Output(
        symbol=given.symbol,
        as_of=forecast.origin.isoformat(),
        last_close=round_digits(np.array(forecast.last_close)).item(),
        timestamps=[each.isoformat() for each in forecast.timestamps],
        mean=_list_closes(mean["close"].to_numpy(), nested),
        quantile_predictions=[
            QuantilePrediction(level=level, values=_list_closes(values, nested)) for level, values in closes.items()
        ],
        candles=_to_columns(mean),
        probability_up=up.to_numpy().tolist(),
        paths=_list_paths(forecast.paths) if asked.include_paths else None,
        history=_list_history(forecast.history) if asked.include_history and forecast.history is not None else None,
        calibration=CalibrationInfo(applied=forecast.calibrated, n_origins=calibration and calibration.n_origins),
        notes=[translate_into(note, language) for note in forecast.notes],
        metadata=given.metadata,
    )


def describe_run(run: ServedRun) -> RunInfo:
    """Return the name and the hashes of a run."""
    weights, tokenizer = run.hashes
    return RunInfo(name=run.name, weights=weights, tokenizer=tokenizer)


def describe_verdict(summary: VerdictSummary, calibrated: bool, language: Language) -> VerdictInfo:
    """Return a verdict; its text in the language of the reader."""
    return VerdictInfo(**summary.to_json(calibrated), text=summary.write(calibrated, Words(language)))


def round_digits(values: Array) -> Array:
    """Round to the seven digits of float32: 21.43 instead of 21.43000030517578."""
    exponent = np.floor(np.log10(np.abs(values), out=np.zeros_like(values), where=values != 0))
    scale = 10.0 ** (DIGITS - 1 - exponent)
    rounded: Array = np.where(np.isfinite(scale) & (scale > 0), np.round(values * scale) / scale, values)
    return rounded


def _list_closes(closes: Array, nested: bool) -> list[float] | list[list[float]]:
    values: list[float] = round_digits(closes).tolist()
    return [[each] for each in values] if nested else values


def _to_columns(frame: pd.DataFrame) -> dict[str, list[float]]:
    return {str(name): round_digits(column.to_numpy()).tolist() for name, column in frame.items()}


def _list_history(frame: pd.DataFrame) -> dict[str, list[float] | list[str]]:
    return {"timestamps": [each.isoformat() for each in pd.DatetimeIndex(frame.index)], **_to_columns(frame)}


def _list_paths(paths: Array) -> dict[str, list[list[float]]]:
    return {name: round_digits(paths[..., n]).tolist() for n, name in enumerate(CANDLE_COLUMNS)}
