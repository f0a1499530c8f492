"""Find and read files of candles."""
