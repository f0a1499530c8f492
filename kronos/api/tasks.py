"""Candles of any kind as the task of one forecast."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd
from typing_extensions import TypeIs

from kronos.candles import CANDLE_COLUMNS
from kronos.config import Config
from kronos.config.data import OF_ONE_SOURCE
from kronos.data.against_run import RunCandles
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.files.options import ReadingOptions
from kronos.data.frames import Frame, is_frame, save_candles
from kronos.errors import ConfigError, DataError
from kronos.forecast.inputs import build_input
from kronos.forecast.origin import ForecastTask, build_forecast_tasks
from kronos.names import Message
from kronos.urls import CandleSource, parse_source

Value = TypeVar("Value")
Sources = str | Path | Sequence[str | Path]
Candles = Sources | Frame | Mapping[str, Frame]


def is_source(candles: object) -> TypeIs[Sources]:
    """Whether candles are named, by a path, a URL or several of them, and not given as frames."""
    return isinstance(candles, str | Path) or (isinstance(candles, Sequence) and not is_frame(candles))


def list_sources(candles: Sources) -> list[CandleSource]:
    """Return the files, folders, globs and URLs that name candles."""
    return [parse_source(each) for each in ([candles] if isinstance(candles, str | Path) else candles)]


def name_sources(data: Candles, config: Config) -> list[CandleSource]:
    """Return what names candles; frames are saved in the folder frames of data.cache_dir first."""
    if is_source(data):
        return list_sources(data)
    return [save_candles(data, config.data.cache_dir.absolute() / "frames")]


def build_task(
    config: Config, candles: Candles | None, symbol: str | None, horizon: int, origin: str, exchange: str | None
) -> tuple[str, ForecastTask]:
    """Return a series' name, and its candles split at the origin.

    Args:
        config: of the run that forecasts.
        candles: None: those of the run.
        symbol: which one, if there are several.

    Raises:
        DataError: the candles are malformed. ConfigError: there are several symbols and none is named.
    """
    if isinstance(candles, Mapping):
        return build_task(config, _choose(candles, symbol), symbol, horizon, origin, exchange)
    if is_frame(candles):
        if origin != "last":
            raise ConfigError("origin needs candles in files. Cut the frame after the last known candle instead.")
        return symbol or "series", _split_frame(candles, symbol or "series", horizon, exchange)
    data = config.data if candles is None else config.data.override(dict.fromkeys(OF_ONE_SOURCE))
    sources = data.data_path if candles is None else list_sources(candles)
    files = gather_files(sources, FetchOptions.of(data)).files
    how = ReadingOptions.of(data), config.repairs, data.max_gap
    trained = RunCandles.read(config.model_paths.run_folder)
    tasks, errors = build_forecast_tasks(files, origin, data.lookback_window, horizon, exchange, *how, trained)
    if not tasks:
        raise DataError("{errors}", errors=Message.join(errors))
    name = _choose(dict(zip(tasks, tasks)), symbol)
    return name, tasks[name]


def _choose(by_symbol: Mapping[str, Value], symbol: str | None) -> Value:
    if symbol is None and len(by_symbol) == 1:
        return next(iter(by_symbol.values()))
    if symbol is not None and symbol in by_symbol:
        return by_symbol[symbol]
    listed = ", ".join(list(by_symbol)[:5]) + (", …" if len(by_symbol) > 5 else "")
    raise ConfigError(
        "there are {n} symbols ({listed}). Name one: symbol={first!r}.",
        n=len(by_symbol),
        listed=listed,
        first=next(iter(by_symbol), ""),
    )


def _split_frame(frame: Frame, name: str, horizon: int, exchange: str | None) -> ForecastTask:
    series = build_input(name, frame, None, None, horizon, exchange)
    history = pd.DataFrame(series.candles, columns=list(CANDLE_COLUMNS), index=series.timestamps)
    return ForecastTask(history, history[:0], series.future, series.notes)
