"""Bring candles from servers, databases and partitioned folders into local files, once."""
