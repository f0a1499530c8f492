"""Candles of several symbols in Parquet files, and a batch of them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from kronos.batch.batch import BatchResult, run_batch
from kronos.batch.forecaster import Forecaster
from tests.conftest import ROOT

SAMPLE = pd.read_csv(ROOT / "data" / "synthetic_5min.csv", nrows=400, parse_dates=["timestamps"])
SYMBOLS = ["AAA", "BBB", "CCC", "DDD", "EEE"]


def make_candles(symbols: list[str] = SYMBOLS, n_rows: int = 40) -> pd.DataFrame:
    """A long frame: of each symbol other candles of the sample, at the same times."""
    starts = np.arange(len(symbols)) * 60
    parts = [SAMPLE.iloc[start : start + n_rows].assign(symbol=symbol) for start, symbol in zip(starts, symbols)]
    times = SAMPLE["timestamps"].iloc[:n_rows].to_numpy()
    return pd.concat([part.assign(timestamps=times) for part in parts], ignore_index=True)


def write_parquet(frame: pd.DataFrame, path: Path, rows_in_group: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path, row_group_size=rows_in_group)
    return path


def write_long(frame: pd.DataFrame, folder: Path) -> Path:
    """Symbols one after the other; they span row groups."""
    return write_parquet(frame, folder / "long.parquet", rows_in_group=17)


def batch(forecaster: Forecaster, data: object, out: Path, **options: object) -> tuple[pd.DataFrame, BatchResult]:
    result = run_batch(forecaster, str(data), out, **{"n_workers": 1, "partition_size": 2} | options)
    return pd.read_parquet(out), result
