"""What a picture of a forecast shows, and in which colours: shared by the PNG and the interactive page."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from kronos.evaluation.results import Language
from kronos.forecast import Forecast
from kronos.forecast.forecast import QUANTILES
from kronos.report.words.scene_texts import say

Rising = Literal["hollow", "red", "green"]  # how rising candles are told from falling ones, always drawn hollow

# Told apart by colour-blind eyes too (Okabe and Ito).
NEUTRAL_COLOUR = "#444444"
RED, GREEN = "#D7301F", "#00A087"  # as far apart for them as Okabe and Ito's vermilion and green, and red
FORECAST_COLOUR = "#0072B2"
FORECAST_COLOURS = (FORECAST_COLOUR, FORECAST_COLOUR)  # rising, falling
ORIGIN_COLOUR = "#222222"
CANDLE_COLOURS: dict[Rising, tuple[str, str]] = {  # rising, falling
    "hollow": (NEUTRAL_COLOUR, NEUTRAL_COLOUR),
    "red": (RED, GREEN),
    "green": (GREEN, RED),
}
BANDS = ((0.05, 0.95, 0.18), (0.25, 0.75, 0.30))  # from quantile, to quantile, opacity
TIME_FORMATS = ("%Y-%m-%d", "%Y-%m-%d\n%H:%M", "%Y-%m-%d\n%H:%M:%S", "%Y-%m-%d\n%H:%M:%S%z")


@dataclass(frozen=True)
class Scene:
    """Candles by position, not by time: nights, lunches and weekends take no room.

    labels: the time of each of the positions 0, 1, 2, …
    known: true candles, history and then truth, from position 0. n_history: how many of them are history.
    expected: the mean forecast candles, from where the truth ends; no rows where it is known to the end.
    close, volume: (horizon, 5) quantiles over the paths, one column per quantile, from position n_history.
    last_close: the close at the origin, where the fan of the close opens.
    n_paths: how many paths were sampled. With one there is no band.
    language: of the labels.
    """

    labels: list[str]
    known: pd.DataFrame
    n_history: int
    expected: pd.DataFrame
    close: pd.DataFrame
    volume: pd.DataFrame
    last_close: float
    n_paths: int
    language: Language = "en"

    @property
    def bands(self) -> tuple[tuple[float, float, float], ...]:
        """The bands to draw, widest first: from quantile, to quantile, opacity."""
        return BANDS if self.n_paths > 1 else ()

    @property
    def median_label(self) -> str:
        """What the line through the fan is called."""
        return say("median" if self.bands else "one_path", self.language, n=self.n_paths)

    @property
    def origin_label(self) -> str:
        """What the line at the origin is called."""
        return say("origin_and_truth" if len(self.known) > self.n_history else "origin", self.language)

    @property
    def expected_label(self) -> str:
        """What the candles within the fan are called."""
        return say("mean_candle" if self.bands else "one_candle", self.language)

    @property
    def fan_positions(self) -> np.ndarray:
        """(horizon,) positions of the forecast candles."""
        return self.n_history + np.arange(len(self.close))

    @property
    def opened_fan(self) -> pd.DataFrame:
        """(1 + horizon, 5) quantiles of the close, opening at the last known one, from position n_history - 1."""
        start = pd.DataFrame(self.last_close, index=[-1], columns=self.close.columns)
        return pd.concat([start, self.close], ignore_index=True)

    def price_range(self) -> tuple[float, float]:
        """The prices at the bottom and top of the picture, with room around them; constant prices get some too."""
        candles = pd.concat([self.known, self.expected])
        values = np.concatenate([candles[["low", "high"]].to_numpy().ravel(), self.opened_fan.to_numpy().ravel()])
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        span = high - low
        margin = 0.05 * span if span > 1e-6 * abs(high) else 0.01 * abs(high) or 1.0  # a span of rounding is none
        return low - margin, high + margin

    def volume_top(self) -> float:
        """The volume at the top of the picture, with room above; 0 where there is none."""
        return 1.06 * float(max(self.known["volume"].max(), self.volume.max(axis=None)))


def build_scene(
    history: pd.DataFrame, forecast: Forecast, truth: pd.DataFrame | None, language: Language = "en"
) -> Scene:
    """Lay out what is to be drawn.

    Args:
        history: the known candles to show, indexed by timestamp, up to the origin.
        forecast: what was forecast from there.
        truth: the candles of the forecast's first timestamps, where they are known by now.
        language: of the labels.
    """
    n_true = 0 if truth is None else len(truth)
    quantiles = {q: forecast.quantile(q) for q in QUANTILES}
    return Scene(
        labels=label_times(history.index.append(forecast.timestamps)),
        known=history if truth is None else pd.concat([history, truth]),
        n_history=len(history),
        expected=forecast.mean[n_true:],
        close=pd.DataFrame({q: frame["close"] for q, frame in quantiles.items()}),
        volume=pd.DataFrame({q: frame["volume"] for q, frame in quantiles.items()}),
        last_close=forecast.last_close,
        n_paths=len(forecast.paths),
        language=language,
    )


def label_times(timestamps: pd.Index) -> list[str]:
    """Label timestamps in the shortest form that tells them all apart: daily candles need no time of day.

    What a clock that is put back shows again is marked (2): the labels are the positions of the interactive page.
    """
    for form in TIME_FORMATS:
        labels = [f"{timestamp:{form}}" for timestamp in timestamps]
        if len(set(labels)) == timestamps.nunique():
            break
    again = pd.Series(labels).groupby(labels).cumcount()
    return [f"{label} ({n + 1})" if n else label for label, n in zip(labels, again)]


def band_label(low: float, high: float) -> str:
    """Call the band between two quantiles by its percentages."""
    return f"{100 * low:g}–{100 * high:g} %"


def rises(candles: pd.DataFrame) -> np.ndarray:
    """(n,) bool: which candles close no lower than they open."""
    return (candles["close"] >= candles["open"]).to_numpy()
