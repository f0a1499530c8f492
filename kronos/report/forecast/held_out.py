"""Forecasts from held-out origins beside the actual candles, and the pictures of some at the end of a run."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from kronos.config import Config
from kronos.data import CandleSet, Split
from kronos.data.windows.splits import SplitName, WindowStarts
from kronos.evaluation.forecasters.base import KronosForecaster
from kronos.evaluation.origins.walk_forward import Origins
from kronos.forecast import Forecast
from kronos.forecast.coherence import Repairs
from kronos.report.drawing import draw_meanwhile
from kronos.report.forecast.candle_plot import HISTORY_DRAWN, draw_forecast, format_title
from kronos.report.words.catalogue import Words
from kronos.run_folder import ReportFolder
from kronos.timing import timed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class HeldOutForecast:
    """A forecast of all columns of a candle. history: the known candles. actual: the candles after the origin."""

    history: pd.DataFrame
    forecast: Forecast
    actual: pd.DataFrame


@timed("forecasts")
def forecast_held_out(
    own: KronosForecaster, origins: Origins, names: Sequence[str], n_paths: int, seed: int, verbose: bool = True
) -> list[HeldOutForecast]:
    """Forecast whole candles from origins whose future is known. The evaluation itself keeps close prices only."""
    candles, lookback, horizon = origins.candles, origins.lookback, origins.horizon
    windows = [candles.frame(row - lookback + 1, row + 1 + horizon) for row in origins.rows.tolist()]
    histories, actual = [window[:lookback] for window in windows], [window[lookback:] for window in windows]
    forecasts = own.predictor.forecast_batch(
        histories,
        y_timestamp_list=[each.index for each in actual],
        n_paths=n_paths,
        sampling=own.sampling,
        seed=seed,
        names=list(names),
        symbols=[each.symbol for each in origins.known()],
        verbose=verbose,
    )
    return [HeldOutForecast(*each) for each in zip(histories, forecasts, actual)]


def draw_held_out_forecasts(
    config: Config, candles: CandleSet, splits: Mapping[SplitName, Split], own: KronosForecaster, report: ReportFolder
) -> None:
    """Forecast from report.n_origins origins of the test split, or of validation if there is none, and draw each.

    Args:
        candles, splits: of the run. own: its best models.
        report: the folder of the pictures, forecast_1.png and so on.
    """
    if not config.report.n_origins:
        return
    split = splits.get("test") or splits["val"]
    rows = choose_origins(split.starts, config.data.lookback_window, config.report.n_origins)
    origins = Origins(candles, np.array(rows), config.data.lookback_window, config.data.predict_window)
    n_paths = config.report.n_paths
    logger.debug("forecasting from %d origins in the %s split, %d paths each", len(origins), split.name, n_paths)
    many = len(candles.symbols) > 1
    symbols = [candles.symbol_at(row).symbol if many else "" for row in rows]
    times = [f"{candles.timestamps(row, row + 1)[0]:%Y-%m-%d %H:%M}" for row in rows]
    names = [f"{symbol} {time}".strip() for symbol, time in zip(symbols, times)]
    shown = forecast_held_out(own, origins, names, n_paths, config.training.seed)
    logger.debug("%s", Repairs.total(each.forecast.repairs for each in shown if each.forecast.repairs).message)
    paths = [report.forecast(n) for n in range(1, len(shown) + 1)]
    drawn = [partial(_draw, config, *each, split.name) for each in zip(paths, shown, symbols)]
    with timed("pictures"), draw_meanwhile(drawn):
        pass


def choose_origins(starts: WindowStarts, lookback: int, n_origins: int) -> list[int]:
    """Return up to n_origins rows, spread evenly over a split, from which its windows forecast."""
    chosen = np.unique(np.linspace(0, len(starts) - 1, n_origins).round().astype(int))
    return [starts[i] + lookback - 1 for i in chosen]


def _draw(config: Config, path: Path, shown: HeldOutForecast, symbol: str, split: SplitName) -> None:
    language, words = config.report.language, Words(config.report.language)
    name = " · ".join(filter(None, (config.model_paths.exp_name, symbol)))
    title = format_title(name, shown.forecast, language)
    title = words("forecast.held_out_title", title=title, split=words(f"forecast.splits.{split}"))
    history = shown.history[-HISTORY_DRAWN * len(shown.actual) :]
    draw_forecast(history, shown.forecast, shown.actual, path, title, config.report.rising, language)
