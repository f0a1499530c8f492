"""Scores of forecasts, where figures are as small as rounding errors."""

import numpy as np
import pandas as pd
import pytest

from kronos.evaluation.forecasters.base import ForecastInput
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.scoring import score

LOOKBACK, HORIZON = 16, 4


class StillCandles:
    """Candles whose close never moves, by row."""

    def __init__(self, price: float, n: int = 60) -> None:
        self.values = np.full((n, 6), price, np.float32)
        self.instants = np.arange(n)

    def symbol_numbers(self, rows: np.ndarray) -> np.ndarray:
        return np.zeros(len(rows), int)


@pytest.mark.parametrize("price", [100.0, 12.34, 7e-5])
@pytest.mark.parametrize("name", ["last_close", "drift", "volatility"])
def test_a_forecast_of_no_change_has_no_error_where_nothing_changes(name: str, price: float) -> None:
    """Else the rounding of logarithms decides who is better, and by 100 %."""
    origins = Origins(StillCandles(price), np.array([LOOKBACK - 1, 30]), LOOKBACK, HORIZON)  # type: ignore[arg-type]
    times = pd.date_range("2024-01-02", periods=LOOKBACK + HORIZON, freq="5min")
    known = ForecastInput("", pd.DataFrame({"close": origins.closes[0]}, index=times[:LOOKBACK]), times[LOOKBACK:])
    scored = score(NAIVE_FORECASTERS[name], NAIVE_FORECASTERS[name].sample([known, known], 5, 0), origins)
    assert not any(scored.losses[metric].any() for metric in ("crps", "mae"))


def test_a_tick_is_no_rounding_error() -> None:
    """The smallest move of a price that a candle can hold many of: 1 in 100,000."""
    candles = StillCandles(100.0)
    candles.values[LOOKBACK:] = 100.001
    origins = Origins(candles, np.array([LOOKBACK - 1]), LOOKBACK, HORIZON)  # type: ignore[arg-type]
    still = np.full((1, 5, HORIZON), 100.0)
    assert score(NAIVE_FORECASTERS["last_close"], still, origins).raw["mae"] == pytest.approx(1e-5, rel=0.01)
