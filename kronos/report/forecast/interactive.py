"""Candles, the fan of a forecast and volume as a page to zoom and point at (plotly), in one file, offline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kronos.config.schema import Language
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
from kronos.report.words.catalogue import make_safe

CONFIG = {
    "scrollZoom": True,
    "responsive": True,
    "displaylogo": False,
    "showSendToCloud": False,  # no button that uploads the candles
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}
HTML_LANGUAGES: dict[Language, str] = {"en": "en", "zh": "zh-CN"}
PRICE, VOLUME = ":.7~r", ":,.7~r"  # plain numbers, to seven digits


def write_page(
    history: pd.DataFrame,
    forecast: Forecast,
    actual: pd.DataFrame | None,
    path: Path,
    title: str,
    rising: Rising = "hollow",
    language: Language = "en",
    notes: Sequence[str] = (),
) -> None:
    """Write the picture of `draw_forecast` as one HTML file of about 5 MB, which needs no other file and no network.

    Args:
        history, forecast, actual, title, rising, language, notes: as for `draw_forecast`.
        path: the HTML file to write.

    Raises:
        KronosError: path cannot be written.
    """
    templates = Environment(
        loader=PackageLoader("kronos.report"), finalize=make_safe, autoescape=True, undefined=StrictUndefined
    )
    figure = build_figure(build_scene(history, forecast, actual, language), rising)
    script = templates.get_template("forecast.js").render()
    plot = figure.to_html(full_html=False, include_plotlyjs=True, config=CONFIG, div_id="forecast", post_script=script)
    shown, *below = [text.encode("utf-8", "replace").decode() for text in (title, *notes)]  # a name may be no text
    page = templates.get_template("forecast.html.j2")
    write_text(path, page.render(lang=HTML_LANGUAGES[language], title=shown, notes=below, plot=Markup(plot)))


def build_figure(scene: Scene, rising: Rising) -> go.Figure:
    """Return the figure. Its time axis has one category per candle, so gaps without candles take no room."""
    x = [label.replace("\n", "<br>") for label in scene.labels]
    n_known = len(scene.known)
    colours = CANDLE_COLOURS[rising]
    traces = [_candles(x, scene.known, colours, scene.words("forecast.known"), scene)]
    traces += _price_fan(x[scene.n_history - 1 :], scene)
    if len(scene.expected):
        traces.append(_candles(x[n_known:], scene.expected, FORECAST_COLOURS, scene.expected_label, scene))
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


def _candles(x: list[str], candles: pd.DataFrame, colours: tuple[str, str], name: str, scene: Scene) -> go.Candlestick:
    """Return candles at the first positions of x."""
    up, down = colours
    prices = {column: candles[column].tolist() for column in ("open", "high", "low", "close")}
    hover = "<br>".join(f"{scene.words(f'forecast.candle.{column}')} %{{{column}{PRICE}}}" for column in prices)
    volume = scene.words("forecast.candle.volume")
    return go.Candlestick(
        x=x[: len(candles)],
        **prices,
        name=name,
        increasing={"line": {"color": up, "width": 1}, "fillcolor": "white"},
        decreasing={"line": {"color": down, "width": 1}, "fillcolor": down},
        customdata=candles["volume"].tolist(),
        hovertemplate=f"<b>{name}</b><br>{hover}<br>{volume} %{{customdata{VOLUME}}}<extra></extra>",
        zorder=1,  # over the fan
    )


def _price_fan(x: list[str], scene: Scene) -> list[go.Scatter]:
    """Return the quantiles of the close; x begins at the origin, where the fan opens."""
    common: dict[str, Any] = {"x": x, "mode": "lines", "hoverinfo": "skip"}
    fan, line = scene.opened_fan, {"color": FORECAST_COLOUR, "width": 2}
    traces = [go.Scatter(y=fan[0.5].tolist(), line=line, name=scene.median_label, **common)]
    for low, high, opacity in scene.bands:
        traces.append(go.Scatter(y=fan[low].tolist(), line={"width": 0}, showlegend=False, **common))
        fill = {"fill": "tonexty", "fillcolor": _fade(opacity), "name": scene.band_label(low, high)}
        traces.append(go.Scatter(y=fan[high].tolist(), line={"width": 0}, **fill, **common))
    return traces


def _volume(x: list[str], candles: pd.DataFrame, colours: tuple[str, str]) -> go.Bar:
    colour = [colours[0] if up else colours[1] for up in rises(candles)]
    return _bar(x[: len(candles)], candles["volume"], 0.7, marker={"color": colour, "opacity": 0.75})


def _volume_fan(x: list[str], scene: Scene) -> list[go.Bar]:
    """Return the quantiles of the volume as bars; the hover text of the median shows all quantiles."""
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
    """Return the hover text of a forecast candle; customdata holds the quantiles of the close, then of the volume."""
    lines = []
    for first, name, form in ((0, "close", PRICE), (len(QUANTILES), "volume", VOLUME)):
        places = {q: f"%{{customdata[{first + i}]{form}}}" for i, q in enumerate(QUANTILES)}
        median = scene.words("forecast.median_value", value=places[0.5]) if scene.bands else places[0.5]
        lines.append(f"<b>{scene.words(f'forecast.forecast_{name}')}</b>: {median}")
        for low, high, _ in reversed(scene.bands):
            label = band_label(scene.words, low, high, calibrated=False)
            lines.append(f"{label}: {places[low]} – {places[high]}")
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
            "title": {"text": scene.words("forecast.hollow_and_filled"), "side": "top", "font": {"size": 12}},
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
            "title": {"text": scene.words("forecast.price")},
            "domain": [0.27, 1],
            "range": scene.price_range(),
            "exponentformat": "none",
            "automargin": True,
        },
        "yaxis2": {
            "title": {"text": scene.words("forecast.volume")},
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
