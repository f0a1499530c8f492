"""Charts as figures that plotly.js draws in the page: plain values, to be written as JSON."""

from html import escape
from typing import Any

import numpy as np

from kronos.report.charts.chart import NEUTRAL_COLOUR, ChartSeries, Panel

FONT = "system-ui, -apple-system, 'Segoe UI', 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif"
INK, FAINT, GRID = "#374151", "#9CA3AF", "#E9ECF0"
DASHES = {"line": "solid", "dashed": "6px,4px", "dotted": "2px,3px", "star": "solid", "bars": "solid"}
EXPECTED = "rgba(90, 98, 110, 0.28)"
DIGITS = 7


def build_panel(panel: Panel) -> dict[str, Any]:
    """Return the data and the layout of a panel; its title and its legend stand beside it in the page."""
    data = [trace for series in panel.series for trace in _traces(series)]
    return {"data": data, "layout": _layout(panel)}


def _traces(series: ChartSeries) -> list[dict[str, Any]]:
    name = escape(series.label)
    trace: dict[str, Any] = {
        "x": shorten(series.x),
        "y": shorten(series.y),
        "name": name,
        "meta": series.key,  # by which the legend beside the chart finds it
    }
    value = "%{y:.4~r}"
    if series.style == "bars":
        hover = f"%{{x:.3~r}}: {value}<extra></extra>"
        return [trace | {"type": "bar", "marker": {"color": series.colour}, "hovertemplate": hover}]
    mode = "markers" if series.style == "star" else "lines+markers" if series.has_markers else "lines"
    size = {"symbol": "star", "size": 14} if series.style == "star" else {"size": 6}
    trace |= {
        "type": "scatter",
        "mode": mode,
        "line": {"color": series.colour, "width": 3 if series.strong else 1.8, "dash": DASHES[series.style]},
        "marker": {"color": series.colour, **size},
        "hovertemplate": f"%{{fullData.name}}: {value}<extra></extra>",
    }
    if series.low is None or series.high is None:
        return [trace]
    low, high = shorten(series.low), shorten(series.high)
    trace["customdata"] = [list(pair) for pair in zip(low, high)]
    trace["hovertemplate"] = f"{value} [%{{customdata[0]:.4~r}}, %{{customdata[1]:.4~r}}]<extra></extra>"
    if series.whiskers or len(series.y) == 1:  # a band of one point has no width
        return [trace | {"error_y": _error_bar(series)}]
    return [_band(series), trace]


def _error_bar(series: ChartSeries) -> dict[str, Any]:
    y, low, high = (np.asarray(values, float) for values in (series.y, series.low, series.high))
    return {
        "type": "data",
        "symmetric": False,
        "array": shorten(high - y),
        "arrayminus": shorten(y - low),
        "color": series.colour,
    }


def _band(series: ChartSeries) -> dict[str, Any]:
    """Return the area between low and high, as one closed line."""
    x, low, high = (np.asarray(values, float) for values in (series.x, series.low, series.high))
    known = np.isfinite(low) & np.isfinite(high)
    red, green, blue = bytes.fromhex(series.colour[1:])
    return {
        "type": "scatter",
        "mode": "lines",
        "x": shorten([*x[known], *x[known][::-1]]),
        "y": shorten([*high[known], *low[known][::-1]]),
        "fill": "toself",
        "fillcolor": f"rgba({red}, {green}, {blue}, 0.18)",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "meta": series.key,
    }


def _layout(panel: Panel) -> dict[str, Any]:
    axis = {
        "gridcolor": GRID,
        "linecolor": FAINT,
        "zeroline": False,
        "automargin": True,
        "exponentformat": "none",
        "tickfont": {"size": 12},
    }
    x = {
        "title": {"text": escape(panel.x_label), "standoff": 8, "font": {"size": 12}},
        "showgrid": False,
        "ticks": "outside",
    }
    if panel.ticks:
        x |= {"tickvals": list(panel.ticks)}
    if panel.x_range:
        x |= {"range": list(panel.x_range)}
    y: dict[str, Any] = {
        "title": {"text": escape(panel.y_label), "standoff": 8, "font": {"size": 12}},
        "nticks": 6,
    }
    if panel.y_range:
        y |= {"range": list(panel.y_range)}
    line = {"color": NEUTRAL_COLOUR, "width": 1.3, "dash": "4px,4px"}
    return {
        "font": {"family": FONT, "size": 13, "color": INK},
        "showlegend": False,
        "hovermode": "closest" if panel.series[0].style == "bars" else "x unified",
        "hoverlabel": {"bgcolor": "white", "font": {"size": 12}},
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "bargap": 0.08,
        "shapes": [
            *_expected(panel),
            *(
                {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": level, "y1": level, "line": line}
                for level in panel.levels
            ),
        ],
        "xaxis": axis | x,
        "yaxis": axis | y,
    }


def _expected(panel: Panel) -> list[dict[str, Any]]:
    """Return the grey area of what is expected."""
    if panel.expected is None:
        return []
    low, high = panel.expected
    place = {"xref": "paper", "x0": 0, "x1": 1, "y0": low, "y1": high}
    return [{"type": "rect", **place, "fillcolor": EXPECTED, "line": {"width": 0}, "layer": "above"}]


def shorten(values: Any) -> list[float | None]:
    """Round to seven digits; what is not a number becomes None, for JSON."""
    return [float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None for value in values]
