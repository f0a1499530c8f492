"""Paths moved to calibrated quantiles: the same ranks, the calibrated distribution, possible candles, and their risk."""

import numpy as np
import pandas as pd
import pytest

from kronos.errors import ConfigError
from kronos.evaluation.records import LEVELS
from kronos.evaluation.scores.calibration import Calibration
from kronos.evaluation.stored_calibration import CalibratedForecast, calibrate
from kronos.forecast import Forecast

HORIZON, CLOSE = 4, 3
KNOWN = 100 * np.exp(np.random.default_rng(1).normal(0, 0.01, 64).cumsum())


def make_forecast(n_paths: int) -> Forecast:
    rng = np.random.default_rng(0)
    close = 100 * np.exp(rng.normal(0, 0.01, (n_paths, HORIZON)).cumsum(axis=1))
    opened = np.concatenate([np.full((n_paths, 1), 100.0), close[:, :-1]], axis=1)
    high, low = np.maximum(opened, close) + 0.2, np.minimum(opened, close) - 0.2
    paths = np.stack([opened, high, low, close, np.ones_like(close), np.ones_like(close)], axis=-1)
    times = pd.date_range("2024-01-02 10:00", periods=HORIZON, freq="5min")
    return Forecast(paths, times, times[0] - pd.Timedelta(minutes=5), 100.0, None)


def make_calibrated(n_paths: int, correction: float) -> CalibratedForecast:
    calibration = Calibration(100, ((correction,) * HORIZON,) * len(LEVELS), (1,) * len(LEVELS))
    found = calibrate(make_forecast(n_paths), calibration, KNOWN)
    assert isinstance(found, CalibratedForecast)
    return found


@pytest.mark.parametrize("n_paths", [30, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("correction", [0.8, -0.3])
def test_ranks_stay_and_quantiles_are_the_calibrated_ones(n_paths: int, correction: float) -> None:
    forecast = make_calibrated(n_paths, correction)
    before = forecast.paths.copy()
    moved = forecast.calibrated_paths()
    order = forecast.paths[..., CLOSE].argsort(axis=0)
    assert (np.diff(np.take_along_axis(moved[..., CLOSE], order, axis=0), axis=0) >= 0).all()
    for share in (0.1, 0.25, 0.5, 0.75, 0.9):
        expected = forecast.quantile(share)["close"].to_numpy()
        own = np.quantile(moved[..., CLOSE], share, axis=0, method="weibull")
        assert own == pytest.approx(expected, rel=2e-3)
    assert (
        len(np.unique(moved[:, -1, CLOSE])) == n_paths
    )  # the outermost paths too: the worst of them are the shortfall
    assert np.array_equal(forecast.paths, before) and np.array_equal(moved[..., 4:], before[..., 4:])
    opened, high, low, close = np.moveaxis(moved[..., :4], -1, 0)
    assert (high >= np.maximum(opened, close)).all() and (low <= np.minimum(opened, close)).all()


@pytest.mark.parametrize("n_paths", [19, 200])
def test_without_a_correction_paths_stay(n_paths: int) -> None:
    forecast = make_calibrated(n_paths, 0.0)
    assert forecast.calibrated_paths() == pytest.approx(forecast.paths, rel=1e-12)


def test_a_forecast_without_calibration_has_its_own_paths() -> None:
    forecast = make_forecast(30)
    assert forecast.calibrated_paths() is forecast.paths


def test_wider_bands_are_more_risk() -> None:
    plain, wide = make_forecast(100), make_calibrated(100, 0.8)
    assert list(plain.risk().columns) == ["value_at_risk", "expected_shortfall"] and (plain.risk().to_numpy() > 0).all()
    assert (wide.risk(0.9) > plain.risk(0.9)).to_numpy().all()
    assert (plain.risk(0.99) >= plain.risk(0.9)).to_numpy().all()
    assert wide.touch_probability(102.0).iloc[-1] > plain.touch_probability(102.0).iloc[-1]
    assert wide.touch_probability(102.0).is_monotonic_increasing
    assert np.median(wide.drawdowns()) > np.median(plain.drawdowns())
    with pytest.raises(ConfigError):
        plain.risk(95)
