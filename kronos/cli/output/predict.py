"""What `kronos predict` prints."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos.cli.output.text import print_text

if TYPE_CHECKING:
    from kronos.config.schema import Language
    from kronos.forecast import Forecast
    from kronos.forecast.coherence import Repairs
    from kronos.forecast.origin import ForecastTask
    from kronos.report.verdict.summary import VerdictSummary
    from kronos.report.words.catalogue import Words


def print_json(
    forecasts: Sequence[Forecast],
    tasks: dict[str, ForecastTask],
    saved: Sequence[dict[str, Path]],
    summary: VerdictSummary,
    levels: Sequence[float],
    errors: Sequence[object],
) -> None:
    from kronos.report.forecast.files import to_json

    listed = [
        to_json(each, tasks[each.name], levels, files) | {"verdict": summary.to_json(each.calibrated)}
        for each, files in zip(forecasts, saved)
    ]
    typer.echo(json.dumps({"forecasts": listed, "errors": list(map(str, errors))}, allow_nan=False))


def print_summary(
    forecasts: Sequence[Forecast],
    tasks: dict[str, ForecastTask],
    saved: Sequence[dict[str, Path]],
    summary: VerdictSummary,
    out: Path,
    language: Language,
) -> None:
    """Print where each series may end at the end of the horizon, and the verdict on the models."""
    from kronos.forecast.coherence import Repairs
    from kronos.report.forecast.scene import band_label
    from kronos.report.words.catalogue import Words

    words = Words(language)
    headers = {key: words(f"forecast.table.{key}") for key in ("series", "from", "close", "to", "median")}
    headers |= {"band": band_label(words, 0.05, 0.95, calibrated=False)}
    headers |= {key: words(f"forecast.table.{key}") for key in ("higher", "actual")}
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for key, header in headers.items():
        if key == "series":
            table.add_column(header, overflow="fold")
        else:
            is_time = key in ("from", "to")
            table.add_column(header, justify="left" if is_time else "right", min_width=10 if is_time else None)
    for each in forecasts:
        table.add_row(*_format_row(each, tasks[each.name]))
    typer.echo()
    Console().print(table)
    n_paths = len(forecasts[0].paths)
    what = words("forecast.over_paths", n=n_paths) if n_paths > 1 else words("forecast.over_one_path")
    repairs = Repairs.total(each.repairs for each in forecasts if each.repairs)
    notes = [what, _format_repairs(repairs, words), words("forecast.no_promise")]
    calibrated = all(each.calibrated for each in forecasts)
    if calibrated:
        notes.insert(1, words("forecast.calibrated"))
    if n_limited := sum(each.limits is not None for each in forecasts):
        notes.insert(1, words("forecast.limited", n=n_limited, n_all=len(forecasts)))
    print_text("\n" + "\n".join([*notes, *summary.write(calibrated, words)]))
    files, folder = ", ".join(path.name for path in saved[0].values()), f"{out}{os.sep}"
    key = "forecast.written_more" if len(saved) > 1 else "forecast.written"
    print_text(words(key, folder=folder, files=files, n=len(saved) - 1))
    if n_paths > 1:
        print_text(words("forecast.columns"))


def _format_row(forecast: Forecast, task: ForecastTask) -> list[str]:
    low, median, high = (f"{forecast.quantile(q)['close'].iloc[-1]:.6g}" for q in (0.05, 0.5, 0.95))
    ends = (forecast.origin, forecast.timestamps[-1])
    start, end = (f"{time:%Y-%m-%d %H:%M}" for time in ends)
    if all(time == time.normalize() for time in ends):  # candles of a day or more
        start, end = (f"{time:%Y-%m-%d}" for time in ends)
    actual = task.actual["close"]
    shown = f"{actual.iloc[-1]:.6g}" if len(actual) == len(forecast.timestamps) else ""
    higher = f"{forecast.probability_up().iloc[-1]:.0%}"
    band = (f"{low} – {high}", higher) if len(forecast.paths) > 1 else ("", "")
    return [escape(forecast.name), start, f"{forecast.last_close:.6g}", end, median, *band, shown]


def _format_repairs(repairs: Repairs, words: Words) -> str:
    if not repairs.any:
        return words("forecast.no_repairs", n_candles=repairs.n_candles)
    return words("forecast.repairs", share=repairs.share, **vars(repairs))
