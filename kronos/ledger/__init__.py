"""Forecasts that are written down before their outcome, and graded when the candles have come."""
