"""Figures of forecasts, and how certain they are."""
