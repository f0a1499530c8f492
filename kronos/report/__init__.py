"""Pages, pictures and texts for people: forecasts beside the actual candles, and the verdict."""
