"""Forecasts of very many symbols: from Parquet to Parquet, partition by partition."""
