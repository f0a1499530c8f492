"""The self-test of an evaluation against looking into the future: change all that comes after an origin, and forecast anew.

What is forecast from an origin must stay the same, bit for bit. The times at which there are candles are not changed: the
times to forecast are known.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.data import CandleSet
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput

VOLUME = CANDLE_COLUMNS.index("volume")
DIRECTIONS = (1.0, -1.0)  # of the change: whoever peeks at where the price goes alone moves in one of them

BuildForecaster = Callable[[CandleSet], Forecaster]
BuildForecastInput = Callable[
    [CandleSet, Array, int, int], Sequence[ForecastInput]
]  # of candles, rows, lookback and horizon


class ForecastLeak(NamedTuple):
    """An origin whose forecast moves with later candles. row: of the last known candle. name: as in its Known."""

    row: int
    name: str


def find_leaks(
    build_forecaster: BuildForecaster,
    candles: CandleSet,
    rows: Array,
    lookback: int,
    horizon: int,
    n_paths: int,
    seed: int,
    build_forecast_input: BuildForecastInput,
) -> list[ForecastLeak]:
    """Forecast from all origins together, with the candles after each of them in turn changed, of all symbols.

    Together, as a forecaster may also see one origin's future in the lookback of another. That makes 2 + 2 N forecasts
    from N origins and as many copies of the candles: a few origins suffice.

    Args:
        build_forecaster: makes the forecaster from the candles, changed ones too, as one that holds candles or is fitted
            to them would otherwise never see a change; `lambda _: forecaster` where it gets them by Known alone.
        rows: (N,) of the last known candles.
        build_forecast_input: takes candles, rows, lookback and horizon, and returns what is known at each origin.

    Raises:
        ValueError: nothing comes after a row; or the same candles and seed give two forecasts, so that nothing can be
            told.
        NotApplicable: the forecaster cannot forecast such candles.
    """

    def forecast(of: CandleSet) -> Array:
        return build_forecaster(of).sample(build_forecast_input(of, rows, lookback, horizon), n_paths, seed)

    before = forecast(candles)
    if not np.array_equal(before, forecast(candles), equal_nan=True):
        raise ValueError("the forecaster draws anew each time: the same candles and seed must give the same paths")
    names = [known.name for known in build_forecast_input(candles, rows, lookback, horizon)]
    return [
        ForecastLeak(row, name)
        for i, (row, name) in enumerate(zip(rows.tolist(), names))
        if any(
            not np.array_equal(before[i], forecast(_change_after(candles, row, direction))[i], equal_nan=True)
            for direction in DIRECTIONS
        )
    ]


def _change_after(candles: CandleSet, row: int, direction: float) -> CandleSet:
    """Multiply each candle after a row by a number of its own, all above 1 or all below.

    Valid candles stay valid. Of no column, price or return is anything left.
    """
    late = candles.instants > candles.instants[row]
    if not late.any():
        raise ValueError(f"nothing comes after row {row}, so that nothing can be told there")
    factors = np.exp(direction * np.random.default_rng(row).uniform(0.5, 1.0, int(late.sum())))
    values = np.array(candles.values)
    values[late, VOLUME:] += 1  # a volume of 0 would stay as it is
    values[late] *= factors[:, np.newaxis].astype(np.float32)
    return replace(candles, values=values, known_hash="")
