"""Candles, forecast and volume as a PNG picture (matplotlib)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kronos.files import replacing

# Told apart without red and green (Okabe and Ito); a rising candle is hollow, a falling one filled.
KNOWN_COLOUR = "#444444"
FORECAST_COLOUR = "#0072B2"
ORIGIN_COLOUR = "#D55E00"
TRUE_OFFSET, FORECAST_OFFSET = -0.2, 0.2  # side by side where both are drawn
N_TIME_LABELS = 8


def draw_forecast(
    history: pd.DataFrame, forecast: pd.DataFrame, truth: pd.DataFrame | None, path: Path, title: str
) -> None:
    """Draw the known candles, then the forecast beside the true ones, with volume below.

    Args:
        history, forecast, truth: frames of open, high, low, close, volume, indexed by timestamp; truth, where known,
            has the forecast's index.
        path: the PNG to write, 1200 × 700 pixels.
        title: what is drawn, in one line.
    """
    figure = Figure(figsize=(12, 7), dpi=100, layout="constrained")
    prices, volumes = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    first = len(history)
    _draw_candles(prices, volumes, history, np.arange(first), KNOWN_COLOUR, width=0.7)
    positions = first + np.arange(len(forecast))
    shift, width = (0.0, 0.7) if truth is None else (FORECAST_OFFSET, 0.36)
    if truth is not None:
        _draw_candles(prices, volumes, truth, positions + TRUE_OFFSET, KNOWN_COLOUR, width)
    _draw_candles(prices, volumes, forecast, positions + shift, FORECAST_COLOUR, width)
    for axes in (prices, volumes):
        axes.axvline(first - 0.5, color=ORIGIN_COLOUR, linestyle="--", linewidth=1.2)
        axes.grid(axis="y", alpha=0.25)
        axes.margins(x=0.01, y=0.05)
        axes.spines[["top", "right"]].set_visible(False)
    _label(prices, volumes, history.index.append(forecast.index), title, with_truth=truth is not None)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _draw_candles(prices: Axes, volumes: Axes, candles: pd.DataFrame, x: np.ndarray, colour: str, width: float) -> None:
    opened, high, low, closed = (candles[name].to_numpy() for name in ("open", "high", "low", "close"))
    top, bottom = np.maximum(opened, closed), np.minimum(opened, closed)
    prices.vlines(x, low, bottom, color=colour, linewidth=0.9)
    prices.vlines(x, top, high, color=colour, linewidth=0.9)
    fill = np.where(closed >= opened, "white", colour)
    prices.use_sticky_edges = False  # or a low body would touch the frame
    prices.bar(x, top - bottom, width, bottom, color=fill, edgecolor=colour, linewidth=0.9)
    volumes.bar(x, candles["volume"], width, color=colour)


def _label(prices: Axes, volumes: Axes, timestamps: pd.Index, title: str, with_truth: bool) -> None:
    prices.set_title(title, loc="left")
    prices.set_ylabel("Price")
    volumes.set_ylabel("Volume")
    ticks = np.unique(np.linspace(0, len(timestamps) - 1, N_TIME_LABELS).round().astype(int))
    volumes.set_xticks(ticks, [f"{timestamps[tick]:%Y-%m-%d\n%H:%M}" for tick in ticks])  # candles, not hours: no gaps
    known = "History, then what came" if with_truth else "History"
    handles = [
        Line2D([], [], color=KNOWN_COLOUR, linewidth=5, label=known),
        Line2D([], [], color=FORECAST_COLOUR, linewidth=5, label="Forecast"),
        Line2D([], [], color=ORIGIN_COLOUR, linestyle="--", label="Origin (last known candle)"),
    ]
    prices.legend(handles=handles, loc="best", frameon=False, title="Hollow: rising · filled: falling", fontsize=9)
