"""Forecasts on request: runs kept in memory, requests computed in batches, over HTTP or without it."""
