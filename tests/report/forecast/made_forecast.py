"""Candles and forecasts for the tests of the pictures."""

import numpy as np
import pandas as pd

from kronos.forecast import Forecast
from tests.conftest import GOLDEN

CANDLES = pd.read_csv(GOLDEN / "candles.csv", parse_dates=["timestamps"], index_col="timestamps")
HISTORY, TRUTH = CANDLES[:40], CANDLES[40:60]


def make_forecast(n_paths: int = 30, history: pd.DataFrame = HISTORY, truth: pd.DataFrame = TRUTH) -> Forecast:
    """Paths around the truth, ever further from it."""
    steps = np.random.default_rng(0).normal(0, 0.002, (n_paths, len(truth)))
    paths = truth.to_numpy() * np.exp(steps.cumsum(axis=1))[..., None]
    return Forecast(paths, truth.index, history.index[-1], float(history["close"].iloc[-1]), repairs=None)
