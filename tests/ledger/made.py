"""Forecasts of a ledger, made by hand."""

from datetime import UTC, datetime

import numpy as np
import pandas as pd
from scipy.stats import norm

from kronos.ledger.records import SHARES, LoggedForecast

START = pd.Timestamp("2024-01-01 09:30")
STEP = pd.Timedelta(minutes=5)


def make_forecast(
    n: int = 0,
    symbol: str = "A",
    horizon: int = 2,
    width: float = 1.0,
    last_close: float = 100.0,
    up: float = 0.6,
) -> LoggedForecast:
    """A forecast from candle n: a normal distribution around the last close, whose baseline has a width of 1 at each step."""
    origin = START + n * STEP
    close, baseline = (
        tuple(tuple(last_close + each * norm.ppf(SHARES)) for _ in range(horizon)) for each in (width, 1.0)
    )
    return LoggedForecast(
        written=datetime(2024, 1, 1, tzinfo=UTC),
        run="finetuned/my",
        tokenizer="0" * 64,
        base_model="1" * 64,
        candles="2" * 64,
        settings={"seed": 0},
        symbol=symbol,
        origin=origin,
        times=tuple(origin + k * STEP for k in range(1, horizon + 1)),
        last_close=last_close,
        close=close,
        baseline=baseline,
        probability_up=(up,) * horizon,
    )


def make_candles(closes: list[float] | np.ndarray) -> pd.DataFrame:
    index = pd.date_range(START, periods=len(closes), freq=STEP)
    return pd.DataFrame({"close": closes}, index=index)
