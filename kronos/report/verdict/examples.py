"""The forecasts that the report shows: as figures for the page and as pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kronos.evaluation.metric_labels import METRIC_LABELS
from kronos.evaluation.results import LANGUAGES, Evaluation, Example, Language, Texts
from kronos.forecast import Forecast
from kronos.report.charts.chart_figure import FONT, INK
from kronos.report.forecast.candle_plot import draw_forecast
from kronos.report.forecast.files import HISTORY_DRAWN, MIN_HISTORY_DRAWN
from kronos.report.forecast.interactive import build_figure
from kronos.report.forecast.scene import CANDLE_COLOURS, FORECAST_COLOUR, ORIGIN_COLOUR, Rising, build_scene
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import format_figures
from kronos.report.words.page_texts import text
from kronos.report.words.page_words import KINDS

DIGITS = 7  # that float32 holds
MAX_HISTORY_DRAWN = 240  # candles


@dataclass(frozen=True, eq=False)
class ExampleForecast:
    """A forecast to show. history: the known candles. truth: the candles that came."""

    example: Example
    history: pd.DataFrame
    forecast: Forecast
    truth: pd.DataFrame

    @property
    def shown_history(self) -> pd.DataFrame:
        """The last known candles: three times the horizon, of a long one fewer, or the page would grow large."""
        horizon = len(self.forecast.timestamps)
        n_shown = min(max(HISTORY_DRAWN * horizon, MIN_HISTORY_DRAWN), max(horizon, MAX_HISTORY_DRAWN))
        return self.history[-n_shown:]


@dataclass(frozen=True)
class LegendItem:
    """An entry of a legend. look: how its sign is drawn. key: of the traces it switches; none: it switches nothing."""

    label: Texts
    colour: str
    look: str
    key: str = ""


def build_example_figure(shown: ExampleForecast, rising: Rising, language: Language) -> dict[str, Any]:
    """Return the data and the layout of an example; its legend stands beside it in the page."""
    scene = build_scene(shown.shown_history, shown.forecast, shown.truth, language)
    figure: dict[str, Any] = _shorten(json.loads(build_figure(scene, rising).to_json()))
    layout = figure["layout"]
    layout |= {"showlegend": False, "dragmode": "zoom", "margin": {"l": 8, "r": 12, "t": 8, "b": 8}}
    layout["font"] = {"family": FONT, "size": 12, "color": INK}
    return {"data": figure["data"], "layout": layout}


def list_legend(shown: ExampleForecast, rising: Rising) -> list[LegendItem]:
    """Return what the signs in an example mean."""
    scenes = {
        language: build_scene(shown.shown_history, shown.forecast, shown.truth, language) for language in LANGUAGES
    }
    up, down = CANDLE_COLOURS[rising]
    medians: Texts = {language: scene.median_label for language, scene in scenes.items()}
    origins: Texts = {language: scene.origin_label for language, scene in scenes.items()}
    bands = [(100 * (high - low), opacity) for low, high, opacity in reversed(scenes["en"].bands)]
    return [
        LegendItem(_format("rising"), up, "hollow"),
        LegendItem(_format("falling"), down, "filled"),
        LegendItem(origins, ORIGIN_COLOUR, "dashed"),
        LegendItem(medians, FORECAST_COLOUR, "strong"),
        *(
            LegendItem(
                text("paths_band", share=f"{share:g}"), f"{FORECAST_COLOUR}{round(255 * opacity + 20):02x}", "area"
            )
            for share, opacity in bands
        ),
    ]


def title_example(example: Example) -> Texts:
    """Say which example it is: of which symbol, from where."""
    return text("example_title", kind=KINDS[example.kind], symbol=example.symbol, origin=example.origin)


def format_figure(example: Example, metric: str) -> Texts:
    """Say how good an example is by a metric of log returns."""
    label = METRIC_LABELS[metric]
    (figure,) = format_figures([example.figure], label, of_returns=True)
    unit = "\N{NO-BREAK SPACE}bp" if label.in_units else ""
    return {language: f"{label.label[language]} {figure[language]}{unit}" for language in LANGUAGES}


def draw_examples(
    shown: Sequence[ExampleForecast], evaluation: Evaluation, folder: Path, rising: Rising, language: Language
) -> None:
    """Draw each example as example_{kind}.png.

    Raises:
        KronosError: a picture cannot be written.
    """
    for each in shown:
        told = title_example(each.example)[language], format_figure(each.example, evaluation.metric)[language]
        title = " · ".join((evaluation.run, *told))
        path = folder / f"example_{each.example.kind}.png"
        draw_forecast(each.shown_history, each.forecast, each.truth, path, title, rising, language)


def _format(key: str) -> Texts:
    return {language: Words(language)(f"forecast.{key}") for language in LANGUAGES}


def _shorten(value: Any) -> Any:
    """Round the numbers in plain values."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, list):
        return [_shorten(each) for each in value]
    if isinstance(value, dict):
        return {key: _shorten(each) for key, each in value.items()}
    return value
