"""Candles of any kind as the task of one forecast."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from kronos.api.candles import Candles, name_sources
from kronos.config import Config
from kronos.config.changes import FOR_READING, NO_EFFECT_ON_FORECASTS, OTHER_CANDLES, check_changes
from kronos.data.against_run import RunCandles
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.files.options import ReadingOptions
from kronos.errors import ConfigError, DataError
from kronos.forecast.origin import ForecastTask, build_forecast_tasks
from kronos.names import Message
from kronos.urls import CandleSource


class SeriesTask(NamedTuple):
    """One of n_series, and its candles split at the origin."""

    name: str
    task: ForecastTask
    n_series: int


def build_task(
    config: Config,
    candles: Candles | None,
    symbol: str | None,
    horizon: int,
    origin: str,
    exchange: str | None,
    reading: Mapping[str, Any],
) -> SeriesTask:
    """Read candles and choose a series, as `kronos predict` does.

    Args:
        config: of the run that forecasts.
        candles: None: those of the run.
        symbol: which series, if there are several.
        reading: how the candles are read, by dotted key.

    Raises:
        DataError: the candles are malformed. ConfigError: there are several symbols and none is named, or a key is wrong.
    """
    check_changes(reading, FOR_READING, NO_EFFECT_ON_FORECASTS)
    config = config.override((OTHER_CANDLES if candles is not None else {}) | dict(reading), "forecast")
    if candles is None:
        tasks, errors = _build_all(config, config.data.data_path, origin, horizon, exchange)
    else:
        with tempfile.TemporaryDirectory(prefix="kronos-") as folder:  # for frames
            tasks, errors = _build_all(config, name_sources(candles, Path(folder)), origin, horizon, exchange)
    if errors and (not tasks or symbol not in (None, *tasks)):
        raise DataError("{errors}", errors=Message.join(errors))
    name = _choose(tasks, symbol)
    return SeriesTask(name, tasks[name], len(tasks))


def _build_all(
    config: Config, sources: Sequence[CandleSource], origin: str, horizon: int, exchange: str | None
) -> tuple[dict[str, ForecastTask], list[DataError | Message]]:
    data = config.data
    files = gather_files(sources, FetchOptions.of(data)).files
    how = ReadingOptions.of(data), config.repairs, data.max_gap
    trained = RunCandles.read(config.model_paths.run_folder)
    return build_forecast_tasks(files, origin, data.lookback_window, horizon, exchange, *how, trained)


def _choose(tasks: Mapping[str, ForecastTask], symbol: str | None) -> str:
    if symbol is None and len(tasks) == 1:
        return next(iter(tasks))
    if symbol is not None and symbol in tasks:
        return symbol
    listed = ", ".join(list(tasks)[:5]) + (", …" if len(tasks) > 5 else "")
    if symbol is not None:
        raise ConfigError("there is no symbol {symbol}. There are {listed}.", symbol=symbol, listed=listed)
    raise ConfigError(
        "there are {n} symbols ({listed}). Name one: symbol={first!r}.",
        n=len(tasks),
        listed=listed,
        first=next(iter(tasks)),
    )
