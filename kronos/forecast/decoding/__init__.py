"""From known candles to sampled tokens: growing caches on a CPU, one captured step on a GPU."""
