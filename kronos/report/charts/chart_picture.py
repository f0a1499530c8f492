"""Charts as PNG pictures (matplotlib)."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import ScalarFormatter

from kronos.files import replacing
from kronos.report.charts.chart import NEUTRAL_COLOUR, Chart, ChartSeries, Panel
from kronos.report.drawing import write_png
from kronos.report.fonts import accept_any_weight, choose_fonts

WIDTH, ROW_HEIGHT, HEADROOM = 12.0, 3.4, 0.9  # inches
LEGEND_COLUMNS = 5
BELOW: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncols": 4}
LINES: dict[str, Any] = {"line": "-", "dashed": (0, (4, 2.5)), "dotted": (0, (1.2, 1.6)), "star": "", "bars": "-"}


def draw_chart(chart: Chart, path: Path) -> None:
    """Draw a chart as a PNG picture, 1200 pixels wide.

    Raises:
        KronosError: path cannot be written.
    """
    _, families = choose_fonts(_all_texts(chart))
    # A $ sign in a label starts no formula.
    style: dict[Any, Any] = {"font.family": families, "text.parse_math": False, "font.size": 10}
    with matplotlib.rc_context(style), accept_any_weight():
        figure = _build_figure(chart)
        with replacing(path) as temporary:
            write_png(figure, temporary)


def _build_figure(chart: Chart) -> Figure:
    columns = min(chart.columns, len(chart.panels))
    rows = -(-len(chart.panels) // columns)
    legend_rows = -(-len(chart.legend) // LEGEND_COLUMNS)
    height = rows * ROW_HEIGHT + HEADROOM + 0.25 * legend_rows
    figure = Figure(figsize=(WIDTH, height), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, panel, legend in zip(grid, chart.panels, chart.legends):
        _draw_panel(axes, panel, titled=len(chart.panels) > 1)
        if legend:
            axes.legend(handles=[_legend_handle(each) for each in legend], frameon=False, **BELOW)
    for axes in grid[len(chart.panels) :]:
        axes.set_axis_off()
    figure.suptitle(_known(chart.title), x=0.012, ha="left", fontsize=13)
    if chart.legend:
        handles = [_legend_handle(series) for series in chart.legend]
        figure.legend(handles=handles, loc="outside lower center", ncols=LEGEND_COLUMNS, frameon=False)
    return figure


def _draw_panel(axes: Axes, panel: Panel, titled: bool) -> None:
    if panel.expected:
        axes.axhspan(*panel.expected, color=NEUTRAL_COLOUR, alpha=0.35, linewidth=0, zorder=1.7)
    for level in panel.levels:
        axes.axhline(level, color=NEUTRAL_COLOUR, linestyle="--", linewidth=1.1, zorder=2)
    for series in panel.series:
        _draw_series(axes, series)
    if titled:
        axes.set_title(_known(panel.title), loc="left", fontsize=11)
    axes.set_xlabel(_known(panel.x_label))
    axes.set_ylabel(_known(panel.y_label))
    plain = ScalarFormatter(useOffset=False)
    plain.set_scientific(False)
    axes.yaxis.set_major_formatter(plain)
    if panel.ticks:
        axes.set_xticks(panel.ticks, [f"{tick:g}" for tick in panel.ticks])
    if panel.x_range:
        axes.set_xlim(*panel.x_range)
    if panel.y_range:
        axes.set_ylim(*panel.y_range)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_series(axes: Axes, series: ChartSeries) -> None:
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    if series.style == "bars":
        axes.bar(x, y, 0.92 * (x[1] - x[0] if len(x) > 1 else 1.0), color=series.colour, zorder=1.5)
    elif series.style == "star":
        axes.plot(x, y, "*", color=series.colour, markersize=13, zorder=5)
    else:
        marker = "o" if series.has_markers else None
        width = 2.6 if series.strong else 1.6
        style: dict[str, Any] = {"linestyle": LINES[series.style], "linewidth": width, "marker": marker}
        axes.plot(x, y, color=series.colour, markersize=4.5, zorder=4 if series.strong else 3, **style)
    if series.low is None or series.high is None:
        return
    low, high = np.asarray(series.low, float), np.asarray(series.high, float)
    if series.whiskers or len(x) == 1:
        axes.vlines(x, low, high, color=series.colour, linewidth=1.6)
    else:
        axes.fill_between(x, low, high, color=series.colour, alpha=0.18, linewidth=0)


def _legend_handle(series: ChartSeries) -> Artist:
    label = _known(series.label)
    if series.style == "bars":
        return Patch(color=series.colour, label=label)
    if series.style == "star":
        return Line2D([], [], linestyle="", marker="*", markersize=12, color=series.colour, label=label)
    width = 2.6 if series.strong else 1.6
    return Line2D([], [], color=series.colour, linewidth=width, linestyle=LINES[series.style], label=label)


def _all_texts(chart: Chart) -> str:
    panels = [text for panel in chart.panels for text in (panel.title, panel.x_label, panel.y_label)]
    legends = [series.label for legend in (chart.legend, *chart.legends) for series in legend]
    texts = [chart.title, *panels, *legends]
    return "".join(texts)


def _known(text: str) -> str:
    return choose_fonts(" ".join(text.split()))[0]
