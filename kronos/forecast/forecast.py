"""`Forecast`: the sampled futures of one series, and their statistics."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN, Array
from kronos.config.schema import Language
from kronos.errors import ConfigError
from kronos.forecast.coherence import Repairs, find_price_floor, repair_candles
from kronos.forecast.inputs import InputSeries
from kronos.names import Message
from kronos.risk.measures import (
    compute_drawdowns,
    compute_expected_shortfall,
    compute_losses,
    compute_touch_probability,
    compute_value_at_risk,
)
from kronos.risk.price_limits import PriceLimits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANY_REPAIRS = 0.2  # as a share of the sampled candles
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # the default: the median, and bands of 50% and 90% of the paths


@dataclass(frozen=True, repr=False, eq=False)
class Forecast:
    """Sampled candles after a series' last known one.

    paths: (n_paths, horizon, 6) float64, sampled futures in the units of the series: open, high, low, close, volume,
        amount.
    timestamps: the horizon's times.
    origin: time of the last known candle. last_close: its close.
    repairs: how many sampled candles were impossible and were repaired; None if repair was off.
    name: the name of the series in messages.
    notes: assumptions, for example about future times.
    history: the known candles before the horizon, indexed by timestamp; None if they are not kept.
    actual: the candles of the horizon that are known already, indexed by timestamp; None if there are none.
    limits: the price limits that the prices keep to (`limit_forecast`); None: none.
    """

    paths: Array
    timestamps: pd.DatetimeIndex
    origin: pd.Timestamp
    last_close: float
    repairs: Repairs | None
    name: str = "series"
    notes: tuple[str, ...] = ()
    history: pd.DataFrame | None = None
    actual: pd.DataFrame | None = None
    limits: PriceLimits | None = None
    calibrated: ClassVar[bool] = False

    def __repr__(self) -> str:
        n_paths, horizon = self.paths.shape[:2]
        return f"Forecast({self.name!r}, {n_paths} paths × {horizon} candles from {self.origin:%Y-%m-%d %H:%M})"

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(repr(self))}</p>{self.summary().to_html(float_format='{:.6g}'.format)}"

    def summary(self) -> pd.DataFrame:
        """Return the close in a few columns: horizon rows of the mean, the median, a band of 90% and the probability of a rise."""
        low, median, high = (self.quantile(q)["close"] for q in (0.05, 0.5, 0.95))
        columns = {"close_mean": self.mean["close"], "close_median": median, "close_q0.05": low, "close_q0.95": high}
        return pd.DataFrame(columns | {"probability_up": self.probability_up()})

    def plot(
        self,
        path: str | Path | None = None,
        title: str | None = None,
        rising: Literal["hollow", "red", "green"] = "hollow",
        language: Language = "en",
    ) -> Figure:
        """Draw the known candles, the fan of the forecast and, if they are known, the actual candles.

        Args:
            path: also write the picture to this PNG file.
            rising: the colour of rising candles.
            language: of the title, the legend and the axes.

        Returns:
            A figure of matplotlib; a notebook shows it.

        Raises:
            ConfigError: the forecast has no history. KronosError: path cannot be written.
        """
        from kronos.report.forecast.candle_plot import plot_forecast

        return plot_forecast(self, None if path is None else Path(path), title, rising, language)

    @property
    def mean(self) -> pd.DataFrame:
        """The mean over the paths: horizon rows of open, high, low, close, volume, amount, indexed by timestamp."""
        return self._to_frame(self.paths.mean(axis=0))

    @property
    def median(self) -> pd.DataFrame:
        """The median over the paths, shaped as `mean`."""
        return self.quantile(0.5)

    def quantile(self, q: float) -> pd.DataFrame:
        """The q-quantile over the paths, each feature and time on its own, shaped as `mean`.

        It is interpolated linearly between the sampled paths; 30 paths tell little about tails beyond 5%.

        Raises:
            ConfigError: q is not a number from 0 to 1.
        """
        return self._to_frame(np.quantile(self.paths, check_quantile(q), axis=0))

    def probability_up(self) -> pd.Series:
        """The share of paths that close above the last known close, for each time of the horizon."""
        up = self.paths[..., CANDLE_COLUMNS.index("close")] > self.last_close
        return pd.Series(up.mean(axis=0), index=self.timestamps, name="probability_up")

    def calibrated_paths(self) -> Array:
        """Return paths (n_paths, horizon, 6) whose quantiles are those of `quantile`: for measures of whole paths."""
        return self.paths

    def keep_to_limits(self, paths: Array) -> Array:
        """Return paths (P, horizon, 6) that keep to the price limits, if there are any."""
        return paths if self.limits is None else self.limits.keep(paths, self.timestamps)

    def risk(self, confidence: float = 0.95) -> pd.DataFrame:
        """Return what may be lost by each time of the horizon, as shares of the last known close.

        Returns:
            horizon rows of value_at_risk and expected_shortfall at the closes, see `kronos.risk.measures`. A few dozen paths
            tell little about the worst 1%.

        Raises:
            ConfigError: the confidence is not above 0.5 and below 1. DataError: the last close is not above 0.
        """
        losses = compute_losses(self.calibrated_paths(), self.last_close)
        measures = {
            "value_at_risk": compute_value_at_risk(losses, confidence),
            "expected_shortfall": compute_expected_shortfall(losses, confidence),
        }
        return pd.DataFrame(measures, index=self.timestamps)

    def touch_probability(self, level: float) -> pd.Series:
        """The share of paths that have touched a price by each time of the horizon, by their highs or lows.

        Raises:
            ConfigError: the level is no finite number.
        """
        shares = compute_touch_probability(self.calibrated_paths(), self.last_close, level)
        return pd.Series(shares, index=self.timestamps, name="touch_probability")

    def drawdowns(self) -> Array:
        """The maximum drawdown (n_paths,) of each path, as a share of a price; see `kronos.risk.measures`.

        Raises:
            DataError: a price is not above 0.
        """
        return compute_drawdowns(self.calibrated_paths(), self.last_close)

    def to_frame(self, quantiles: Sequence[float] = QUANTILES) -> pd.DataFrame:
        """Return the mean, the quantiles and the probability of a rise side by side.

        Returns:
            horizon rows indexed by timestamp: open … amount (the mean, as upstream's forecast), close_mean (the same as close),
            close_median, open_q0.05 … amount_q0.95, probability_up.
        """
        bands = [self.quantile(q).add_suffix(f"_q{q:.10g}") for q in quantiles]
        middles = self.summary()[["close_mean", "close_median"]]
        return pd.concat([self.mean, middles, *bands, self.probability_up()], axis=1)

    def paths_to_frame(self) -> pd.DataFrame:
        """Return every path: n_paths × horizon rows indexed by path (from 0) and timestamp."""
        n_paths, n_features = len(self.paths), self.paths.shape[-1]
        index = pd.MultiIndex.from_product([range(n_paths), self.timestamps], names=["path", TIMESTAMP_COLUMN])
        return pd.DataFrame(self.paths.reshape(-1, n_features), columns=list(CANDLE_COLUMNS), index=index)

    def _to_frame(self, values: Array) -> pd.DataFrame:
        return pd.DataFrame(values, columns=list(CANDLE_COLUMNS), index=self.timestamps)


def build_forecast(series: InputSeries, paths: Array, repair: bool) -> Forecast:
    """Return the forecast of a series from its sampled paths (n_paths, horizon, 6), repaired or as they are."""
    notes, repairs = [], None
    if repair:
        floor = find_price_floor(series.candles[:, : len(PRICE_COLUMNS)])
        paths, repairs = repair_candles(paths, floor)
        if floor is None:
            template = "The known prices have one below 0, or none above 0; sampled prices may have any sign too."
            notes.append(Message(template))
        if repairs.share > MANY_REPAIRS:
            template = "Over {share:.0%} of the sampled candles were impossible and were repaired: the model is imprecise here."
            notes.append(Message(template, share=MANY_REPAIRS))
    last_close = float(series.candles[-1, CANDLE_COLUMNS.index("close")])
    origin = series.timestamps[-1]
    history = pd.DataFrame(series.candles, columns=list(CANDLE_COLUMNS), index=series.timestamps)
    return Forecast(paths, series.future, origin, last_close, repairs, series.name, (*series.notes, *notes), history)


def check_quantile(q: float) -> float:
    """Return q.

    Raises:
        ConfigError: it is not a number from 0 to 1.
    """
    if isinstance(q, bool) or not isinstance(q, int | float | np.number) or not 0 <= q <= 1:
        raise ConfigError("a quantile must be a number from 0 to 1, got {q!r}.", q=q)
    return float(q)
