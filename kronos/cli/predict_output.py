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

if TYPE_CHECKING:
    from kronos.forecast import Forecast
    from kronos.forecast.origin import ForecastTask


def print_json(
    forecasts: Sequence[Forecast],
    cuts: dict[str, ForecastTask],
    saved: Sequence[dict[str, Path]],
    levels: Sequence[float],
    faults: Sequence[str],
) -> None:
    from kronos.report.forecast.files import to_json

    listed = [to_json(each, cuts[each.name], levels, files) for each, files in zip(forecasts, saved)]
    typer.echo(json.dumps({"forecasts": listed, "errors": list(faults)}, allow_nan=False))


def print_summary(
    forecasts: Sequence[Forecast], cuts: dict[str, ForecastTask], saved: Sequence[dict[str, Path]], out: Path
) -> None:
    """Print where each series may stand at the end of the horizon."""
    from kronos.forecast.coherence import Repairs

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("series", overflow="fold")
    for header in ("from", "close", "to", "median", "5–95 %", "higher", "came"):
        table.add_column(header, justify="left" if header in ("from", "to") else "right", no_wrap=True)
    for each in forecasts:
        low, median, high = (f"{each.quantile(q)['close'].iloc[-1]:.6g}" for q in (0.05, 0.5, 0.95))
        start, end = (f"{time:%Y-%m-%d\n%H:%M}" for time in (each.origin, each.timestamps[-1]))
        truth = cuts[each.name].truth["close"]
        came = f"{truth.iloc[-1]:.6g}" if len(truth) == len(each.timestamps) else ""
        band = (f"{low}\n{high}", f"{each.probability_up().iloc[-1]:.0%}") if len(each.paths) > 1 else ("", "")
        table.add_row(escape(each.name), start, f"{each.last_close:.6g}", end, median, *band, came)
    typer.echo()
    Console().print(table)
    n_paths = len(forecasts[0].paths)
    paths = f"{n_paths} sampled paths" if n_paths > 1 else "one path"
    typer.echo(f"\nThe close at the end of the horizon, over {paths}; higher: than the last known close.")
    typer.echo(
        f"{Repairs.total(each.repairs for each in forecasts if each.repairs)}. A forecast is no promise of profit."
    )
    files = [path.name for path in saved[0].values()]
    more = f" and the same of {len(saved) - 1} more series" if len(saved) > 1 else ""
    typer.echo(f"written to {out}{os.sep}: {', '.join(files)}{more}")
