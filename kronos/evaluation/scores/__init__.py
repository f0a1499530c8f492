"""Compute figures of forecasts and their uncertainty."""
