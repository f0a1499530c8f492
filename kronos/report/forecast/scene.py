"""The contents and colours of a forecast picture, shared by the PNG and the interactive page."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from kronos.config.schema import Language
from kronos.forecast import Forecast
from kronos.forecast.forecast import QUANTILES
from kronos.report.words.catalogue import Words

Rising = Literal["hollow", "red", "green"]  # the colour of rising candles, which are always drawn hollow

# Distinct for colour-blind readers too (Okabe and Ito).
NEUTRAL_COLOUR = "#444444"
RED, GREEN = "#D7301F", "#00A087"  # as distinct as Okabe and Ito's vermilion and green
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
    """Candles by position instead of time, so nights, lunch breaks and weekends take no room.

    labels: the time of each of the positions 0, 1, 2, …
    known: real candles, the history and then the actual ones, from position 0. n_history: how many are history.
    expected: the mean forecast candles after the last actual one; no rows if all are known.
    close, volume: (horizon, 5) quantiles over the paths, one column per quantile, from position n_history.
    last_close: the close at the origin, where the fan of the close opens.
    n_paths: how many paths were sampled. With one there is no band.
    calibrated: whether the quantiles of the close are. words: the texts of the labels.
    """

    labels: list[str]
    known: pd.DataFrame
    n_history: int
    expected: pd.DataFrame
    close: pd.DataFrame
    volume: pd.DataFrame
    last_close: float
    n_paths: int
    calibrated: bool
    words: Words

    @property
    def bands(self) -> tuple[tuple[float, float, float], ...]:
        """The bands to draw, widest first: from quantile, to quantile, opacity."""
        return BANDS if self.n_paths > 1 else ()

    @property
    def median_label(self) -> str:
        """The label of the line through the fan."""
        return self.words("forecast.median", n=self.n_paths) if self.bands else self.words("forecast.one_path")

    @property
    def origin_label(self) -> str:
        """The label of the line at the origin."""
        return self.words(f"forecast.{'origin_and_actual' if len(self.known) > self.n_history else 'origin'}")

    @property
    def expected_label(self) -> str:
        """The label of the candles inside the fan."""
        return self.words(f"forecast.{'mean_candle' if self.bands else 'one_candle'}")

    def band_label(self, low: float, high: float) -> str:
        """Name the band between two quantiles by its percentages."""
        return band_label(self.words, low, high, self.calibrated)

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
        """The prices at the bottom and top of the picture, with a margin, also around constant prices."""
        candles = pd.concat([self.known, self.expected])
        values = np.concatenate([candles[["low", "high"]].to_numpy().ravel(), self.opened_fan.to_numpy().ravel()])
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        span = high - low
        margin = 0.05 * span if span > 1e-6 * abs(high) else 0.01 * abs(high) or 1.0  # a smaller span is rounding
        return low - margin, high + margin

    def volume_top(self) -> float:
        """The volume at the top of the picture, with a margin; 0 without any volume."""
        return 1.06 * float(max(self.known["volume"].max(), self.volume.max(axis=None)))


def build_scene(
    history: pd.DataFrame, forecast: Forecast, actual: pd.DataFrame | None, language: Language = "en"
) -> Scene:
    """Lay out a picture.

    Args:
        history: the known candles to show, indexed by timestamp, up to the origin.
        forecast: the forecast from there.
        actual: the real candles of the forecast's first timestamps, if known by now.
        language: of the labels.
    """
    n_actual = 0 if actual is None else len(actual)
    quantiles = {q: forecast.quantile(q) for q in QUANTILES}
    return Scene(
        labels=label_times(history.index.append(forecast.timestamps)),
        known=history if actual is None else pd.concat([history, actual]),
        n_history=len(history),
        expected=forecast.mean[n_actual:],
        close=pd.DataFrame({q: frame["close"] for q, frame in quantiles.items()}),
        volume=pd.DataFrame({q: frame["volume"] for q, frame in quantiles.items()}),
        last_close=forecast.last_close,
        n_paths=len(forecast.paths),
        calibrated=forecast.calibrated,
        words=Words(language),
    )


def label_times(timestamps: pd.Index) -> list[str]:
    """Label timestamps in the shortest form in which all differ: daily candles need no time of day.

    A time that a clock put back shows again is marked (2), as the labels are the positions of the interactive page.
    """
    for form in TIME_FORMATS:
        labels = [f"{timestamp:{form}}" for timestamp in timestamps]
        if len(set(labels)) == timestamps.nunique():
            break
    again = pd.Series(labels).groupby(labels).cumcount()
    return [f"{label} ({n + 1})" if n else label for label, n in zip(labels, again)]


def band_label(words: Words, low: float, high: float, calibrated: bool) -> str:
    """Name the band between two quantiles by its percentages."""
    key = "calibrated_band" if calibrated else "band"
    return words(f"forecast.{key}", low=f"{100 * low:g}", high=f"{100 * high:g}")


def rises(candles: pd.DataFrame) -> np.ndarray:
    """Return (n,) bool: which candles close no lower than they open."""
    return (candles["close"] >= candles["open"]).to_numpy()
