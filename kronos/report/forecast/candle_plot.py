"""Candles, the fan of a forecast and volume as a PNG picture (matplotlib)."""

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import ScalarFormatter

from kronos.config.schema import Language
from kronos.errors import ConfigError
from kronos.files import replacing
from kronos.forecast import Forecast
from kronos.report.drawing import write_png
from kronos.report.fonts import accept_any_weight, can_draw, choose_fonts
from kronos.report.forecast.scene import (
    CANDLE_COLOURS,
    FORECAST_COLOUR,
    FORECAST_COLOURS,
    NEUTRAL_COLOUR,
    ORIGIN_COLOUR,
    Rising,
    Scene,
    build_scene,
    rises,
)
from kronos.report.words.catalogue import Words

HISTORY_DRAWN = 3  # times the horizon
MIN_HISTORY_DRAWN = 60  # candles
N_TIME_LABELS = 8
TITLE_WIDTH = 1000  # pixels, of 1200
TITLE_LINES, NOTE_LINES = 2, 3
NOTE_SIZE, LINE_HEIGHT = 9, 1.3  # points; lines of text as a multiple of their size
MANY_CANDLES = 200  # from here on thinner lines, or hollow candles would fill up


def draw_forecast(
    history: pd.DataFrame,
    forecast: Forecast,
    actual: pd.DataFrame | None,
    path: Path,
    title: str,
    rising: Rising = "hollow",
    language: Language = "en",
    notes: Sequence[str] = (),
) -> None:
    """Draw the known candles and the fan of the forecast, with volume below.

    Args:
        history: open, high, low, close, volume up to the origin, indexed by timestamp.
        forecast: the forecast from there.
        actual: the real candles of the forecast's first timestamps, drawn over the fan. After the last of them, the
            mean forecast candles are drawn instead.
        path: the PNG to write, 1200 × 700 pixels.
        title: in any script for which a font is installed.
        rising: the colour of rising candles.
        notes: small lines below the title.
        language: of the legend and the axes. Without a Chinese font they are English, see `kronos.report.fonts`.

    Raises:
        KronosError: path cannot be written.
    """
    scene = _build_drawable(history, forecast, actual, rising, language)
    with replacing(path) as temporary, accept_any_weight():
        figure = _build_figure(scene, title, rising, notes)
        write_png(figure, temporary)


class ForecastFigure(Figure):
    """A figure that a notebook shows."""

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        FigureCanvasAgg(self).print_png(picture)  # type: ignore[no-untyped-call]
        return picture.getvalue()


def plot_forecast(
    forecast: Forecast, path: Path | None, title: str | None, rising: Rising = "hollow", language: Language = "en"
) -> Figure:
    """Draw a forecast after its own history, see `Forecast.plot`.

    Raises:
        ConfigError: the forecast has no history. KronosError: path cannot be written.
    """
    if forecast.history is None:
        raise ConfigError("the forecast has no history to draw. Make it with KronosPredictor.forecast or Run.forecast.")
    drawn = forecast.history[-max(HISTORY_DRAWN * len(forecast.timestamps), MIN_HISTORY_DRAWN) :]
    title = format_title(forecast.name, forecast, language) if title is None else title
    with accept_any_weight():
        figure = _build_figure(_build_drawable(drawn, forecast, forecast.actual, rising, language), title, rising, ())
    if path is not None:
        with replacing(path) as temporary:
            write_png(figure, temporary)
    return figure


def format_title(name: str, forecast: Forecast, language: Language) -> str:
    """Return the title of a forecast's picture."""
    horizon = len(forecast.timestamps)
    key = "forecast.title" if horizon > 1 else "forecast.title_one"
    return Words(language)(key, name=name, horizon=horizon, origin=f"{forecast.origin:%Y-%m-%d %H:%M}")


def _build_drawable(
    history: pd.DataFrame, forecast: Forecast, actual: pd.DataFrame | None, rising: Rising, language: Language
) -> Scene:
    """Build a scene whose words can be drawn: English ones if there is no Chinese font."""
    scene = build_scene(history, forecast, actual, language)
    if can_draw("".join(str(handle.get_label()) for handle in _legend_handles(scene, rising))):
        return scene
    return build_scene(history, forecast, actual, "en")


def _build_figure(scene: Scene, title: str, rising: Rising, notes: Sequence[str]) -> Figure:
    figure = ForecastFigure(figsize=(12, 7), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    prices, volumes = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    _draw_fans(prices, volumes, scene)
    _draw_candles(prices, scene.known, 0, CANDLE_COLOURS[rising])
    _draw_candles(prices, scene.expected, len(scene.known), FORECAST_COLOURS)
    _draw_volume(volumes, scene.known, 0, CANDLE_COLOURS[rising])
    if not scene.bands:
        _draw_volume(volumes, scene.expected, len(scene.known), FORECAST_COLOURS)
    _set_axes(prices, volumes, scene)
    _write_title(prices, title, notes)
    handles = _legend_handles(scene, rising)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        columnspacing=1.2,
        handlelength=1.8,
        frameon=False,
        prop=_legend_font(handles),
    )
    return figure


def _draw_fans(prices: Axes, volumes: Axes, scene: Scene) -> None:
    """Draw the quantiles of the close as an opening fan, and those of the volume as one step a candle."""
    x = scene.fan_positions
    opened, opened_x = scene.opened_fan, np.append(x[0] - 1, x)
    for low, high, opacity in scene.bands:
        style: dict[str, Any] = {"color": FORECAST_COLOUR, "alpha": opacity, "linewidth": 0}
        prices.fill_between(opened_x, opened[low], opened[high], **style)
        volumes.bar(x, scene.volume[high] - scene.volume[low], 1.0, scene.volume[low], **style)
    prices.plot(opened_x, opened[0.5], color=FORECAST_COLOUR, linewidth=1.8)
    volumes.hlines(scene.volume[0.5], x - 0.5, x + 0.5, color=FORECAST_COLOUR, linewidth=1.8, zorder=3)


def _draw_candles(prices: Axes, candles: pd.DataFrame, first: int, colours: tuple[str, str]) -> None:
    """Draw candles from position first on; colours: of rising and of falling candles."""
    x = first + np.arange(len(candles))
    opened, high, low, closed = (candles[name].to_numpy() for name in ("open", "high", "low", "close"))
    top, bottom = np.maximum(opened, closed), np.minimum(opened, closed)
    up = rises(candles)
    colour = np.where(up, *colours)
    linewidth = 0.9 if first + len(candles) < MANY_CANDLES else 0.6
    prices.vlines(x, low, bottom, color=colour, linewidth=linewidth, zorder=2)
    prices.vlines(x, top, high, color=colour, linewidth=linewidth, zorder=2)
    fill = np.where(up, "white", colour)
    prices.bar(x, top - bottom, 0.7, bottom, color=fill, edgecolor=colour, linewidth=linewidth, zorder=2.5)


def _draw_volume(volumes: Axes, candles: pd.DataFrame, first: int, colours: tuple[str, str]) -> None:
    x = first + np.arange(len(candles))
    colour = np.where(rises(candles), *colours)
    volumes.bar(x, candles["volume"], 0.7, color=colour, alpha=0.75, snap=False)  # snapped, thin bars differ in width


def _set_axes(prices: Axes, volumes: Axes, scene: Scene) -> None:
    prices.set_ylim(*scene.price_range())
    volumes.set_ylim(0, scene.volume_top() or 1)
    plain = ScalarFormatter(useOffset=False)
    plain.set_scientific(False)
    prices.yaxis.set_major_formatter(plain)
    volumes.yaxis.set_major_formatter(_shorten)
    for axes, key in ((prices, "price"), (volumes, "volume")):
        text, families = choose_fonts(scene.words(f"forecast.{key}"))
        axes.set_ylabel(text, fontfamily=families)
    prices.figure.align_ylabels()
    if not scene.volume_top():
        volumes.set_yticks([0])
    for axes in (prices, volumes):
        axes.axvline(scene.n_history - 0.5, color=ORIGIN_COLOUR, linestyle="--", linewidth=1.2)
        axes.grid(axis="y", alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    n = len(scene.labels)
    ticks = np.unique(np.linspace(0, n - 1, N_TIME_LABELS).round().astype(int))
    volumes.set_xticks(ticks, [scene.labels[tick] for tick in ticks])
    volumes.set_xlim(-0.5 - 0.01 * n, n - 0.5 + 0.01 * n)


def _shorten(value: float, position: float = 0) -> str:
    """Write 1500000 as 1.5M."""
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"


def _write_title(axes: Axes, title: str, notes: Sequence[str]) -> None:
    """Write the title in one or two lines, and small notes below it."""
    height = NOTE_SIZE * LINE_HEIGHT
    n_lines = 0
    for note in reversed(notes):
        text, families = choose_fonts(" ".join(note.split()))
        style: dict[str, Any] = {"fontsize": NOTE_SIZE, "color": NEUTRAL_COLOUR, "fontfamily": families}
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
        drawn: Text = axes.annotate(text, (0, 1), (0, 6 + n_lines * height), parse_math=False, **place, **style)
        drawn.set_text(_wrap(text, drawn, NOTE_LINES))
        n_lines += drawn.get_text().count("\n") + 1
    text, families = choose_fonts(" ".join(title.split()))
    pad = 6 + (n_lines * height + 4 if notes else 0)
    drawn = axes.set_title(text, loc="left", pad=pad, fontfamily=families, parse_math=False)  # a name may contain $
    drawn.set_text(_wrap(text, drawn, TITLE_LINES))


def _wrap(text: str, drawn: Text, n_lines: int) -> str:
    """Return a drawn text in lines of at most TITLE_WIDTH pixels, without those beyond n_lines."""
    width = drawn.get_window_extent().width
    if width <= TITLE_WIDTH:
        return text
    lines = textwrap.wrap(text, int(len(text) * TITLE_WIDTH / width))
    return "\n".join(lines[:n_lines]) + (" …" if len(lines) > n_lines else "")


def _legend_handles(scene: Scene, rising: Rising) -> list[Artist]:
    up, down = CANDLE_COLOURS[rising]
    handles: list[Artist] = [
        Patch(facecolor="white", edgecolor=up, label=scene.words("forecast.rising")),
        Patch(facecolor=down, edgecolor=down, label=scene.words("forecast.falling")),
        Line2D([], [], color=ORIGIN_COLOUR, linestyle="--", linewidth=1.2, label=scene.origin_label),
        Line2D([], [], color=FORECAST_COLOUR, linewidth=1.8, label=scene.median_label),
    ]
    for low, high, opacity in reversed(scene.bands):
        handles.append(Patch(facecolor=FORECAST_COLOUR, alpha=opacity + 0.1, label=scene.band_label(low, high)))
    if len(scene.expected):
        handles.append(Patch(facecolor="white", edgecolor=FORECAST_COLOUR, label=scene.expected_label))
    return handles


def _legend_font(handles: list[Artist]) -> FontProperties:
    _, families = choose_fonts("".join(str(handle.get_label()) for handle in handles))
    return FontProperties(family=families, size=9)
