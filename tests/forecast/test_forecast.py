import numpy as np
import pandas as pd
import pytest

from kronos.errors import ConfigError
from kronos.forecast import Forecast

TIMES = pd.date_range("2024-04-02", periods=5, freq="D")
PATHS = np.random.default_rng(0).normal(10, 1, (40, 5, 6))
FORECAST = Forecast(PATHS, TIMES, TIMES[0] - pd.Timedelta("1D"), last_close=10.0, repairs=None)


def test_summaries_are_numpy_s() -> None:
    np.testing.assert_allclose(FORECAST.mean, PATHS.mean(0))
    np.testing.assert_allclose(FORECAST.median, np.median(PATHS, axis=0))
    np.testing.assert_allclose(FORECAST.quantile(0.1), np.quantile(PATHS, 0.1, axis=0))
    np.testing.assert_allclose(FORECAST.probability_up(), (PATHS[..., 3] > 10.0).mean(0))
    for frame in (FORECAST.mean, FORECAST.quantile(0.1)):
        assert list(frame) == ["open", "high", "low", "close", "volume", "amount"] and frame.index.equals(TIMES)


def test_up_is_above_the_last_close() -> None:
    paths = np.full((4, 1, 6), 10.0)
    paths[0, 0, 3], paths[1, 0, 3] = 10.5, 9.5
    assert Forecast(paths, TIMES[:1], TIMES[0], 10.0, None).probability_up().tolist() == [0.25]
    assert repr(FORECAST) == "Forecast('series', 40 paths × 5 candles from 2024-04-01 00:00)"


def test_table_holds_mean_quantiles_and_probability() -> None:
    table = FORECAST.to_frame(quantiles=[0.1, 0.5])
    assert list(table)[:6] == ["open", "high", "low", "close", "volume", "amount"]
    assert list(table)[6:9] == ["close_mean", "close_median", "open_q0.1"]
    assert table.shape == (5, 6 + 2 + 2 * 6 + 1)
    np.testing.assert_allclose(table["close"], FORECAST.mean["close"])
    np.testing.assert_array_equal(table["close_mean"], table["close"])
    np.testing.assert_allclose(table["close_q0.5"], FORECAST.median["close"])
    np.testing.assert_array_equal(table["close_median"], table["close_q0.5"])
    assert "close_median" in FORECAST.to_frame(quantiles=[0.1])
    np.testing.assert_allclose(table["probability_up"], FORECAST.probability_up())


def test_every_path_can_be_had_as_a_table() -> None:
    table = FORECAST.paths_to_frame()
    assert table.index.names == ["path", "timestamps"] and len(table) == 40 * 5
    np.testing.assert_allclose(table.loc[7], PATHS[7])


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan"), "half", None, True])
def test_a_quantile_that_is_none(q: object) -> None:
    with pytest.raises(ConfigError, match="quantile must be a number from 0 to 1"):
        FORECAST.quantile(q)
