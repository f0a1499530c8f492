"""The steps from a request to its forecasts. Each blocks, and runs in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kronos.config.schema import Language
from kronos.errors import KronosError
from kronos.evaluation.stored_calibration import calibrate
from kronos.forecast import Forecast, Sampling
from kronos.forecast.limits import limit_forecast
from kronos.forecast.origin import ForecastTask
from kronos.planning.check import check_candles
from kronos.report.check import write_check
from kronos.report.words.catalogue import Words
from kronos.report.words.messages import translate_into
from kronos.serving.answers import Settings
from kronos.serving.candles import build_task, hide_places, read_config, saved_input
from kronos.serving.runs import Outlook, ServedRun
from kronos.serving.schemas import CheckRequest, CheckResponse, FindingInfo, ForecastRequest

Kind = tuple[ServedRun, tuple[int, int, Sampling, int]]  # what the series of a batch share


@dataclass(frozen=True)
class Series:
    """Candles to forecast from, at most lookback of them. name: in messages. symbol: of the random draws."""

    task: ForecastTask
    lookback: int
    name: str
    symbol: str


def read_all(request: ForecastRequest, run: ServedRun, settings: Settings) -> list[Series]:
    """Read the candles of every input. An error names the input if there are several."""
    read, asked = [], request.parameters
    for n, given in enumerate(request.inputs):
        try:
            name, task = build_task(given, run, settings.lookback, settings.horizon, asked.exchange, asked.frequency)
        except KronosError as error:
            raise error.within("inputs[{n}]", n=n) if len(request.inputs) > 1 else error from None
        read.append(Series(task, settings.lookback, name, given.symbol or ""))
    return read


def compute(kind: Kind, batch: Sequence[Series]) -> list[Forecast]:
    """Forecast the series of a batch. Each draws by its symbol, and does not depend on the others."""
    run, (horizon, n_paths, sampling, seed) = kind
    return run.predictor.forecast_batch(
        [each.task.history[-each.lookback :] for each in batch],
        y_timestamp_list=[each.task.future for each in batch],
        horizon=horizon,
        n_paths=n_paths,
        sampling=sampling,
        seed=seed,
        symbols=[each.symbol for each in batch],
        verbose=False,
    )


def finish(
    run: ServedRun, settings: Settings, series: Sequence[Series], sampled: Sequence[Forecast]
) -> tuple[Outlook, list[Forecast]]:
    """Add the notes, and calibrate."""
    outlook = run.find_outlook(settings.sampling, settings.lookback, settings.horizon, settings.n_paths)
    forecasts = []
    for each, forecast in zip(series, sampled):
        notes = (*each.task.repairs, *each.task.notes, *each.task.note_short(settings.lookback), *forecast.notes)
        noted = replace(forecast, notes=notes, name=each.name)
        closes = each.task.history["close"].to_numpy()[-settings.lookback :]
        made = calibrate(noted, outlook.calibration if settings.calibrate else None, closes)
        forecasts.append(limit_forecast(made, each.symbol or each.name, run.config.data.board, each.task.history))
    return outlook, forecasts


def audit(request: CheckRequest, language: Language) -> CheckResponse:
    """Audit candles as `kronos check` does."""
    with saved_input(request.input, request.frequency) as path:
        config = read_config(path, language)
        check = check_candles(config, with_splits=False)
        text = write_check(check, config, Words(language))
    usable = check.enough is not None and check.enough.level != "none"
    findings = [
        FindingInfo(
            severity=each.severity,
            kind=each.kind,
            count=each.count,
            text=hide_places(translate_into(each.message, language)),
        )
        for each in check.audited.findings
    ]
    return CheckResponse(usable=usable, findings=findings, text=hide_places(text))
