"""Candles, the fan of a forecast and volume as a page to zoom and point at (plotly), in one file, offline."""

from html import escape
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from kronos.evaluation.results import Language
from kronos.files import write_text
from kronos.forecast import Forecast
from kronos.forecast.forecast import QUANTILES
from kronos.report.forecast.scene import (
    CANDLE_COLOURS,
    FORECAST_COLOUR,
    FORECAST_COLOURS,
    ORIGIN_COLOUR,
    Rising,
    Scene,
    band_label,
    build_scene,
    rises,
)
from kronos.report.words.scene_texts import say

# The policy lets the browser load nothing: what the page shows is in it.
PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
html, body { height: 100%; margin: 0; }
body { display: flex; flex-direction: column; background: white; color: #222; font: 15px system-ui, sans-serif; }
h1 { margin: 0.6em 0.8em 0; font-size: 1.1em; font-weight: 600; overflow-wrap: anywhere; }
main { flex: 1; min-height: 420px; }
</style>
</head>
<body>
<h1>$title</h1>
<main>$plot</main>
</body>
</html>
""")
CONFIG = {
    "scrollZoom": True,
    "responsive": True,
    "displaylogo": False,
    "showSendToCloud": False,  # a button that uploads the candles
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}
FIT_TIME_LABELS = """
const fit = () => Plotly.relayout('{plot_id}', {'xaxis.nticks': Math.max(2, Math.floor(innerWidth / 110))});
addEventListener('resize', fit);
fit();
"""
PRICE, VOLUME = ":.7~r", ":,.7~r"  # plain numbers, to seven digits


def write_page(
    history: pd.DataFrame,
    forecast: Forecast,
    truth: pd.DataFrame | None,
    path: Path,
    title: str,
    rising: Rising = "hollow",
) -> None:
    """Write what `draw_forecast` draws as one HTML file, about 5 MB, that needs no other file and no network.

    Args:
        history, forecast, truth, title, rising: as for `draw_forecast`.
        path: the HTML file to write.

    Raises:
        KronosError: path cannot be written.
    """
    figure = build_figure(build_scene(history, forecast, truth), rising)
    plot = figure.to_html(
        full_html=False, include_plotlyjs=True, config=CONFIG, div_id="forecast", post_script=FIT_TIME_LABELS
    )
    text = escape(title.encode("utf-8", "replace").decode())  # a file name may hold what is no text
    write_text(path, PAGE.substitute(title=text, plot=plot))


def build_figure(scene: Scene, rising: Rising) -> go.Figure:
    """Return the figure; the time axis has one category per candle, so that gaps without candles take no room."""
    x = [label.replace("\n", "<br>") for label in scene.labels]
    n_known = len(scene.known)
    colours = CANDLE_COLOURS[rising]
    traces = [_candles(x, scene.known, colours, say("known", scene.language), scene.language)]
    traces += _price_fan(x[scene.n_history - 1 :], scene)
    if len(scene.expected):
        traces.append(_candles(x[n_known:], scene.expected, FORECAST_COLOURS, scene.expected_label, scene.language))
    traces.append(_volume(x, scene.known, colours))
    if not scene.bands:
        traces.append(_volume(x[n_known:], scene.expected, FORECAST_COLOURS))
    traces += _volume_fan(x[scene.n_history :], scene)
    figure = go.Figure(traces, _layout(scene))
    figure.add_shape(
        type="line",
        x0=scene.n_history - 0.5,
        x1=scene.n_history - 0.5,
        y0=0,
        y1=1,
        yref="paper",
        line={"color": ORIGIN_COLOUR, "dash": "dash", "width": 1.2},
        name=scene.origin_label,
        showlegend=True,
    )
    return figure


def _candles(
    x: list[str], candles: pd.DataFrame, colours: tuple[str, str], name: str, language: Language
) -> go.Candlestick:
    """Candles at the first positions of x."""
    up, down = colours
    prices = {column: candles[column].tolist() for column in ("open", "high", "low", "close")}
    hover = "<br>".join(f"{say(column, language)} %{{{column}{PRICE}}}" for column in prices)
    return go.Candlestick(
        x=x[: len(candles)],
        **prices,
        name=name,
        increasing={"line": {"color": up, "width": 1}, "fillcolor": "white"},
        decreasing={"line": {"color": down, "width": 1}, "fillcolor": down},
        customdata=candles["volume"].tolist(),
        hovertemplate=f"<b>{name}</b><br>{hover}<br>{say('volume', language)} %{{customdata{VOLUME}}}<extra></extra>",
        zorder=1,  # over the fan
    )


def _price_fan(x: list[str], scene: Scene) -> list[go.Scatter]:
    """The quantiles of the close; x begins at the origin, where the fan opens."""
    common: dict[str, Any] = {"x": x, "mode": "lines", "hoverinfo": "skip"}
    fan, line = scene.opened_fan, {"color": FORECAST_COLOUR, "width": 2}
    traces = [go.Scatter(y=fan[0.5].tolist(), line=line, name=scene.median_label, **common)]
    for low, high, opacity in scene.bands:
        traces.append(go.Scatter(y=fan[low].tolist(), line={"width": 0}, showlegend=False, **common))
        fill = {"fill": "tonexty", "fillcolor": _fade(opacity), "name": band_label(low, high)}
        traces.append(go.Scatter(y=fan[high].tolist(), line={"width": 0}, **fill, **common))
    return traces


def _volume(x: list[str], candles: pd.DataFrame, colours: tuple[str, str]) -> go.Bar:
    colour = [colours[0] if up else colours[1] for up in rises(candles)]
    return _bar(x[: len(candles)], candles["volume"], 0.7, marker={"color": colour, "opacity": 0.75})


def _volume_fan(x: list[str], scene: Scene) -> list[go.Bar]:
    """The quantiles of the volume as bars; the one of the median tells all quantiles when pointed at."""
    volume = scene.volume
    bands = [
        _bar(x, volume[high] - volume[low], 1, base=volume[low].tolist(), marker={"color": _fade(opacity)})
        for low, high, opacity in scene.bands
    ]
    thickness = 0.02 * scene.volume_top()
    median = _bar(
        x,
        pd.Series(thickness, volume.index),
        1,
        base=(volume[0.5] - thickness / 2).tolist(),
        marker={"color": FORECAST_COLOUR},
        customdata=pd.concat([scene.close, volume], axis=1).to_numpy().tolist(),
        hovertemplate=_forecast_hover(scene),
    )
    return [*bands, median.update(hoverinfo=None)]


def _bar(x: list[str], height: pd.Series, width: float, **more: Any) -> go.Bar:
    more = {"hoverinfo": "skip", **more}
    more["marker"]["line"] = {"width": 0}
    return go.Bar(x=x, y=height.tolist(), width=width, yaxis="y2", showlegend=False, **more)


def _forecast_hover(scene: Scene) -> str:
    """The text at a forecast candle: customdata holds the quantiles of the close, then those of the volume."""
    median = say("median_of", scene.language) if scene.bands else ""
    lines = []
    for first, name, form in ((0, "close", PRICE), (len(QUANTILES), "volume", VOLUME)):
        places = {q: f"%{{customdata[{first + i}]{form}}}" for i, q in enumerate(QUANTILES)}
        lines.append(f"<b>{say(f'forecast_{name}', scene.language)}</b>: {median}{places[0.5]}")
        lines += [f"{band_label(low, high)}: {places[low]} – {places[high]}" for low, high, _ in reversed(scene.bands)]
    return "<br>".join(lines) + "<extra></extra>"


def _layout(scene: Scene) -> dict[str, Any]:
    top = scene.volume_top()
    return {
        "template": "plotly_white",
        "barmode": "overlay",
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "hoversort": "trace",
        "dragmode": "pan",
        "margin": {"l": 10, "r": 10, "t": 35, "b": 10},
        "legend": {
            "title": {"text": say("hollow_and_filled", scene.language), "side": "top", "font": {"size": 12}},
            "orientation": "h",
            "traceorder": "normal",
            "yref": "container",  # below the time labels, however high the window is
            "y": 0,
            "yanchor": "bottom",
        },
        "xaxis": {
            "type": "category",
            "anchor": "y2",
            "range": [-0.7, len(scene.labels) - 0.3],
            "rangeslider": {"visible": False},
            "showgrid": False,
            "tickangle": 0,
            "ticks": "outside",
        },
        "yaxis": {
            "title": {"text": say("Price", scene.language)},
            "domain": [0.27, 1],
            "range": scene.price_range(),
            "exponentformat": "none",
            "automargin": True,
        },
        "yaxis2": {
            "title": {"text": say("Volume", scene.language)},
            "domain": [0, 0.23],
            "range": [0, top or 1],
            "exponentformat": "B" if top >= 1 else "none",
            "nticks": 5 if top else 1,
            "automargin": True,
        },
    }


def _fade(opacity: float) -> str:
    red, green, blue = bytes.fromhex(FORECAST_COLOUR[1:])
    return f"rgba({red}, {green}, {blue}, {opacity})"
