"""From candles to batches of windows."""
