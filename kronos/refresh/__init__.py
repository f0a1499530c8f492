"""Train a run anew on the candles that have come, and replace it if the new one is not worse."""
