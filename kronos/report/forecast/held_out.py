"""The pictures at the end of a run: forecasts from held-out origins, which are spread evenly."""

import logging
from pathlib import Path

import numpy as np
from accelerate import PartialState

from kronos.config import Config
from kronos.data.windows.splits import WindowStarts
from kronos.forecast import KronosPredictor, Sampling
from kronos.forecast.coherence import Repairs
from kronos.report.forecast.candle_plot import draw_forecast
from kronos.report.forecast.files import HISTORY_DRAWN, format_title
from kronos.report.words.catalogue import Words
from kronos.saved_run import SavedRun, load_models
from kronos.training.pipeline import RunResult

logger = logging.getLogger(__name__)


def draw_held_out_forecasts(config: Config, result: RunResult) -> list[Path]:
    """Forecast from report.n_origins origins of the test split, or of validation without one, and draw each.

    Returns:
        The PNG files written, report/forecast_1.png and so on, in the run's folder.
    """
    if not config.report.n_origins:
        return []
    split = result.splits.get("test") or result.splits["val"]
    origins = choose_origins(split.starts, config.data.lookback_window, config.report.n_origins)
    tokenizer, model = load_models(config)
    predictor = KronosPredictor.from_run(SavedRun(config, tokenizer, model), device=PartialState().device)
    logger.info(
        "forecasting from %d origins in the %s split, %d paths each", len(origins), split.name, config.report.n_paths
    )
    lookback, horizon = config.data.lookback_window, config.data.predict_window
    windows = [result.candles.frame(origin - lookback + 1, origin + 1 + horizon) for origin in origins]
    many = len(result.candles.symbols) > 1
    symbols = [result.candles.symbol_at(origin).symbol if many else "" for origin in origins]
    histories, actuals = [window[:lookback] for window in windows], [window[lookback:] for window in windows]
    forecasts = predictor.forecast_batch(
        histories,
        y_timestamp_list=[actual.index for actual in actuals],
        n_paths=config.report.n_paths,
        sampling=Sampling(config.report.temperature, top_p=config.report.top_p),
        seed=config.training.seed,
        names=[f"{symbol} {history.index[-1]:%Y-%m-%d %H:%M}".strip() for symbol, history in zip(symbols, histories)],
    )
    logger.info("%s", Repairs.total(forecast.repairs for forecast in forecasts if forecast.repairs))
    report = config.model_paths.run_folder.report
    for earlier in report.forecasts:
        earlier.unlink()
    paths = []
    rising, language = config.report.rising, config.report.language
    for n, (history, actual, forecast, symbol) in enumerate(zip(histories, actuals, forecasts, symbols), start=1):
        paths.append(report.forecast(n))
        name = " · ".join(filter(None, (config.model_paths.exp_name, symbol)))
        title = Words(language)(
            "forecast.held_out_title", title=format_title(name, forecast, language), split=split.name
        )
        draw_forecast(history[-HISTORY_DRAWN * horizon :], forecast, actual, paths[-1], title, rising, language)
    return paths


def choose_origins(starts: WindowStarts, lookback: int, n_origins: int) -> list[int]:
    """Return up to n_origins rows, spread evenly over a split, from which its windows forecast."""
    chosen = np.unique(np.linspace(0, len(starts) - 1, n_origins).round().astype(int))
    return [starts[i] + lookback - 1 for i in chosen]
