"""Which origins are forecast, and the forecasts themselves."""
