"""The files of a forecast: tables, a picture and a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from kronos.candles import TIMESTAMP_COLUMN
from kronos.config.schema import Language
from kronos.errors import DataError
from kronos.files import replacing, replacing_files
from kronos.forecast import Forecast
from kronos.forecast.origin import ForecastTask
from kronos.names import name_file
from kronos.report.forecast.candle_plot import HISTORY_DRAWN, MIN_HISTORY_DRAWN, draw_forecast, format_title
from kronos.report.forecast.interactive import write_page
from kronos.report.forecast.scene import Rising

RISK_CONFIDENCE = 0.95
TableFormat = Literal["csv", "parquet"]


def write_table(frame: pd.DataFrame, path: Path) -> None:
    """Write a frame as CSV or Parquet, by the ending of the path, whole or not at all."""
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            frame.to_parquet(temporary)
        else:
            frame.to_csv(temporary, float_format="%.7g")


def save_forecast(
    forecast: Forecast,
    task: ForecastTask,
    folder: Path,
    quantiles: Sequence[float],
    table_format: TableFormat = "csv",
    with_paths: bool = False,
    with_pictures: bool = True,
    rising: Rising = "hollow",
    language: Language = "en",
    notes: Sequence[str] = (),
    name: str | None = None,
) -> dict[str, Path]:
    """Write {name}_forecast.csv and, if asked for, {name}_paths.csv, {name}_forecast.png and {name}_forecast.html.

    name: of the files; by default `kronos.names.name_file` makes it of the forecast's. language: of the picture and the page. notes: lines below their titles, on the models.

    Returns:
        The files, by kind: table, paths, picture, page.
    """
    name = name or name_file(forecast.name)  # BTC/USDT is no folder
    with replacing_files(folder, name_group(name)) as new:  # a full disk mixes no two forecasts
        files = {"table": new / f"{name}_forecast.{table_format}"}
        write_table(forecast.to_frame(quantiles).rename_axis(TIMESTAMP_COLUMN), files["table"])
        if with_paths:
            files["paths"] = new / f"{name}_paths.{table_format}"
            write_table(forecast.paths_to_frame(), files["paths"])
        if with_pictures:
            files |= {
                "picture": new / f"{name}_forecast.png",
                "page": new / f"{name}_forecast.html",
            }
            horizon = len(forecast.timestamps)
            history = task.history[-max(HISTORY_DRAWN * horizon, MIN_HISTORY_DRAWN) :]
            actual = task.actual if len(task.actual) else None
            title = format_title(forecast.name, forecast, language)
            draw_forecast(history, forecast, actual, files["picture"], title, rising, language, notes)
            write_page(history, forecast, actual, files["page"], title, rising, language, notes)
    return {kind: folder / path.name for kind, path in files.items()}


def name_group(name: str) -> str:
    """Return what the files of a forecast are together."""
    return f"{name}_forecast"


def list_saved(folder: Path) -> list[str]:
    """Return the names of the forecasts in a folder."""
    return [path.stem.removesuffix(name_group("")) for path in folder.glob(f"*{name_group('')}.*")]


def to_json(
    forecast: Forecast, task: ForecastTask, quantiles: Sequence[float], files: dict[str, Path]
) -> dict[str, Any]:
    """Return a forecast as plain values, one list per feature and as long as the horizon; truth: the actual candles so far."""
    return {
        "name": forecast.name,
        "origin": forecast.origin.isoformat(),
        "last_close": _shorten(forecast.last_close),
        "timestamps": [time.isoformat() for time in forecast.timestamps],
        "mean": _to_lists(forecast.mean),
        "quantiles": {f"{q:.10g}": _to_lists(forecast.quantile(q)) for q in quantiles},
        "probability_up": forecast.probability_up().tolist(),
        "risk": _describe_risk(forecast),
        "truth": _to_lists(task.actual),
        "n_paths": len(forecast.paths),
        "calibrated": forecast.calibrated,
        "repairs": None if forecast.repairs is None else vars(forecast.repairs),
        "notes": list(forecast.notes),
        "files": {kind: str(path) for kind, path in files.items()},
    }


def _describe_risk(forecast: Forecast) -> dict[str, Any] | None:
    """Return measures of risk as plain values; None if prices are not above 0, or there is one path."""
    if len(forecast.paths) < 2:
        return None
    try:
        measures, drawdowns = forecast.risk(RISK_CONFIDENCE), forecast.drawdowns()
    except DataError:
        return None
    worst = {
        "median": float(np.median(drawdowns)),
        f"q{RISK_CONFIDENCE:g}": float(np.quantile(drawdowns, RISK_CONFIDENCE)),
    }
    return {"confidence": RISK_CONFIDENCE, **_to_lists(measures), "maximum_drawdown": worst}


def _to_lists(frame: pd.DataFrame) -> dict[str, list[float]]:
    return {str(name): [_shorten(value) for value in column] for name, column in frame.items()}


def _shorten(value: float) -> float:
    """Round to the seven digits of float32: 21.43 instead of 21.43000030517578."""
    return float(f"{value:.7g}")
