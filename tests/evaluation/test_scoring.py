"""Scores of forecasts, where figures are as small as rounding errors."""

import numpy as np
import pandas as pd
import pytest

from kronos.evaluation.forecasters.base import ForecastInput
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.scoring import SMALLEST_SHARE, _rank, measure_unit, score

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


@pytest.mark.parametrize("n_halted", [2, 8])
def test_a_halt_does_not_outweigh_all_other_times(n_halted: int) -> None:
    """Most lookbacks without a move, or few: their unit is a share of what the price usually moves."""
    candles = StillCandles(100.0, n=200)
    candles.values[100:] *= np.exp(0.01 * np.where(np.arange(100) % 2, 1, -1))[:, np.newaxis].astype(np.float32)
    rows = np.append(np.linspace(20, 90, n_halted).astype(int), [150, 160, 170])
    unit = measure_unit(Origins(candles, rows, LOOKBACK, HORIZON))[:, 0]  # type: ignore[arg-type]
    assert unit[n_halted:] == pytest.approx(0.02, rel=0.01)
    assert unit[:n_halted] == pytest.approx(SMALLEST_SHARE * 0.02, rel=0.01)


def test_equal_values_share_their_rank() -> None:
    """As in the rank IC itself; else the order of the origins would decide, while prices stand still."""
    assert _rank(np.array([[0.0], [2.0], [0.0], [0.0]]))[:, 0].tolist() == [2.0, 4.0, 2.0, 2.0]
