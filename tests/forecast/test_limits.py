"""Forecasts that keep to the price limits of a board, if it is known and the candles are of a day or less."""

import numpy as np
import pandas as pd
import pytest

from kronos.evaluation.records import LEVELS
from kronos.evaluation.scores.calibration import Calibration
from kronos.evaluation.stored_calibration import calibrate
from kronos.forecast import Forecast
from kronos.forecast.limits import limit_forecast

HORIZON, CLOSE = 3, 3


def make_forecast(step: str = "1D") -> Forecast:
    """Closes that rise or fall by up to 30 % a candle, from 10."""
    times = pd.date_range("2024-03-04 15:00", periods=4 + HORIZON, freq=step)
    history = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), [10.0] * 4), index=times[:4])
    closes = 10 * np.exp(np.linspace(-0.3, 0.3, 60)[:, None] * np.arange(1, HORIZON + 1))
    paths = np.repeat(closes[..., None], 6, axis=-1)
    return Forecast(paths, times[4:], times[3], 10.0, None, history=history)


def limit(forecast: Forecast, symbol: str, choice: str | None) -> Forecast:
    assert forecast.history is not None
    return limit_forecast(forecast, symbol, choice, forecast.history)


def test_a_symbol_tells_its_board() -> None:
    forecast = make_forecast()
    limited = limit(forecast, "600000.SH", None)
    assert limited.paths[..., CLOSE].min(axis=0) == pytest.approx([9.0, 8.1, 7.29])
    assert limited.paths[..., CLOSE].max(axis=0) == pytest.approx([11.0, 12.1, 13.31])
    assert limited.risk(0.99)["value_at_risk"].to_numpy() == pytest.approx([0.1, 0.19, 0.271])
    assert [str(note) for note in limited.notes] == [
        "Forecast prices keep to the daily price limit of 10% (data.board=unlimited turns this off)."
    ]
    assert forecast.paths[..., CLOSE].max() > 20 and not forecast.notes


@pytest.mark.parametrize(
    ("symbol", "choice", "high"),
    [("600000.SH", "star", 12.0), ("mine", "beijing", 13.0), ("SH#600000", None, 11.0), ("mine", "chinext", 12.0)],
)
def test_a_key_tells_the_board_too(symbol: str, choice: str | None, high: float) -> None:
    assert limit(make_forecast(), symbol, choice).paths[:, 0, CLOSE].max() == pytest.approx(high)


@pytest.mark.parametrize(
    ("forecast", "symbol", "choice"),
    [
        (make_forecast(), "mine", None),
        (make_forecast(), "600000.SH", "unlimited"),
        (make_forecast("7D"), "600000.SH", None),
    ],
)
def test_without_limits_nothing_changes(forecast: Forecast, symbol: str, choice: str | None) -> None:
    assert limit(forecast, symbol, choice) is forecast


def test_a_day_without_the_close_before_is_not_limited() -> None:
    """Candles of 10 minutes, all of one day."""
    forecast = make_forecast("10min")
    assert limit(forecast, "600000.SH", None) is forecast


def test_calibrated_quantiles_keep_to_them() -> None:
    """The calibration widens the bands beyond what the limits allow."""
    calibration = Calibration(100, ((40.0,) * HORIZON,) * len(LEVELS), (1,) * len(LEVELS))
    known = 10 * np.exp(np.random.default_rng(1).normal(0, 0.01, 64).cumsum())
    wide = calibrate(make_forecast(), calibration, known)
    limited = limit(wide, "600000.SH", None)
    assert wide.quantile(0.05)["close"].iloc[-1] < 7.29 and limited.calibrated
    assert limited.quantile(0.05)["close"].to_numpy() == pytest.approx([9.0, 8.1, 7.29])
    assert limited.quantile(0.95)["close"].to_numpy() == pytest.approx([11.0, 12.1, 13.31])
    moved = limited.calibrated_paths()[..., CLOSE]
    before = np.insert(moved[:, :-1], 0, 10.0, axis=1)
    assert (np.abs(moved / before - 1) < 0.1 + 0.01 / before.min()).all()
