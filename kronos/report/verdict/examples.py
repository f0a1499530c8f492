"""The forecasts that the report shows: as figures for the page and as pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from kronos.evaluation.results import Evaluation, Example
from kronos.forecast import Forecast
from kronos.report.charts.chart_figure import FONT, INK
from kronos.report.drawing import Picture
from kronos.report.forecast.candle_plot import HISTORY_DRAWN, MIN_HISTORY_DRAWN, draw_forecast
from kronos.report.forecast.interactive import build_figure
from kronos.report.forecast.scene import CANDLE_COLOURS, FORECAST_COLOUR, ORIGIN_COLOUR, Rising, Scene, build_scene
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import format_number
from kronos.report.words.sentences import name_metric
from kronos.run_folder import ReportFolder

DIGITS = 7  # that float32 holds
MAX_HISTORY_DRAWN = 240  # candles


@dataclass(frozen=True, eq=False)
class ExampleForecast:
    """A forecast to show. history: the known candles. actual: the candles after the origin."""

    example: Example
    history: pd.DataFrame
    forecast: Forecast
    actual: pd.DataFrame

    @property
    def shown_history(self) -> pd.DataFrame:
        """Return the last known candles: three times the horizon, or fewer for a long one, to keep the page small."""
        horizon = len(self.forecast.timestamps)
        n_shown = min(max(HISTORY_DRAWN * horizon, MIN_HISTORY_DRAWN), max(horizon, MAX_HISTORY_DRAWN))
        return self.history[-n_shown:]


@dataclass(frozen=True)
class LegendItem:
    """An entry of a legend. look: how its sign is drawn. key: of the traces it switches; none: it switches nothing."""

    label: str
    colour: str
    look: str
    key: str = ""


def lay_out(shown: ExampleForecast, words: Words) -> Scene:
    """Return what the picture of an example shows."""
    return replace(build_scene(shown.shown_history, shown.forecast, shown.actual), words=words)


def build_example_figure(scene: Scene, rising: Rising) -> dict[str, Any]:
    """Return the data and the layout of an example; its legend stands beside it in the page."""
    figure: dict[str, Any] = _shorten(json.loads(build_figure(scene, rising).to_json()))
    layout = figure["layout"]
    layout |= {"showlegend": False, "dragmode": "zoom", "margin": {"l": 8, "r": 12, "t": 8, "b": 8}}
    layout["font"] = {"family": FONT, "size": 12, "color": INK}
    return {"data": figure["data"], "layout": layout}


def list_legend(scene: Scene, rising: Rising, words: Words) -> list[LegendItem]:
    """Return what the signs in an example mean."""
    up, down = CANDLE_COLOURS[rising]
    bands = [(100 * (high - low), opacity) for low, high, opacity in reversed(scene.bands)]
    return [
        LegendItem(words("forecast.rising"), up, "hollow"),
        LegendItem(words("forecast.falling"), down, "filled"),
        LegendItem(scene.origin_label, ORIGIN_COLOUR, "dashed"),
        LegendItem(scene.median_label, FORECAST_COLOUR, "strong"),
        *(
            LegendItem(
                words("page.paths_band", share=f"{share:g}"),
                f"{FORECAST_COLOUR}{round(255 * opacity + 20):02x}",
                "area",
            )
            for share, opacity in bands
        ),
    ]


def title_example(example: Example, words: Words) -> str:
    """Return the title of an example: its rank, symbol and origin."""
    kind = words(f"page.{example.kind}")
    return words("page.example_title", kind=kind, symbol=example.symbol, origin=example.origin)


def format_figure(example: Example, metric: str, words: Words) -> str:
    """Return how good an example is: its mean loss by the verdict's metric, or by CRPS where that is direction."""
    name = name_metric("crps" if metric == "direction" else metric, words)
    return words("page.example_figure", metric=name, figure=format_number(example.figure, 3))


def list_pictures(
    shown: Sequence[ExampleForecast], evaluation: Evaluation, folder: ReportFolder, rising: Rising, words: Words
) -> list[Picture]:
    """Return what draws each example, as example_{kind}.png."""
    pictures: list[Picture] = []
    for each in shown:
        title = f"{title_example(each.example, words)} · {format_figure(each.example, evaluation.metric, words)}"
        path = folder.example(each.example.kind)
        candles = each.shown_history, each.forecast, each.actual
        pictures.append(partial(draw_forecast, *candles, path, f"{evaluation.run} · {title}", rising, words.language))
    return pictures


def _shorten(value: Any) -> Any:
    """Round the numbers in plain values."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, list):
        return [_shorten(each) for each in value]
    if isinstance(value, dict):
        return {key: _shorten(each) for key, each in value.items()}
    return value
