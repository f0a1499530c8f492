"""Forecasting: a frame of candles in, sampled futures out."""

from kronos.forecast.forecast import Forecast
from kronos.forecast.predictor import KronosPredictor
from kronos.forecast.sampling import Sampling

__all__ = ["Forecast", "KronosPredictor", "Sampling"]
