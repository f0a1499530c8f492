"""Find and repair what is wrong with candles."""
