"""Forecasting: a frame of candles in, a frame of candles out."""

from kronos.forecast.predictor import KronosPredictor

__all__ = ["KronosPredictor"]
