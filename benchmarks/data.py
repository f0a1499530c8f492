"""Time and peak memory of loading candles and drawing windows, compared with plain pandas code.

    python benchmarks/data.py [--sizes 100000 1000000 10000000] [--symbols 500] [--candles 500000]

Loading: `plain` is pd.read_csv, float32 and calendar columns, as in the reference implementation. `ours` adds the audit.
`again` is ours with the cache that large files have. Each measurement is a process of its own, to measure its own peak
memory. The memory of the imports and of a first small file is subtracted. The last column is the memory as a multiple of the
candles in float32 (24 bytes each).

Windows: shuffled batches of 32, lookback 512, horizon 48, through torch's DataLoader in one process. The same number of candles
is taken from one symbol and from many, in memory and memory-mapped from the cache. They are compared with a dataset
that slices a frame.

Compare the ratios; absolute figures depend on the machine. The largest file takes about 600 MB in the temporary folder, and its
cache 370 MB.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import torch
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parents[1]))

from kronos.candles import CANDLE_COLUMNS
from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import CandleSet, WindowDataset, load_candles, split_candles
from kronos.data.windows import load
from kronos.data.windows.candle_cache import CACHE_FROM_BYTES
from kronos.data.windows.dataset import keep_batch

MEBIBYTE = 2**20
BATCH_SIZE = 32
CALENDAR = ["minute", "hour", "day_of_week", "day", "month"]
ROWS_AT_A_TIME = 1_000_000
SMALL = 1_000  # candles in the file of the warm-up


def write_candles(path: Path, n_candles: int, seed: int = 0) -> None:
    """Write one-minute candles without gaps or defects."""
    generator, close = np.random.default_rng(seed), 100.0
    options = pyarrow.csv.WriteOptions(quoting_style="none")
    writer = None
    for start in range(0, n_candles, ROWS_AT_A_TIME):
        n = min(ROWS_AT_A_TIME, n_candles - start)
        closes = close * np.exp(1e-4 * generator.standard_normal(n).cumsum())
        opens = np.concatenate([[close], closes[:-1]])
        close = closes[-1]
        spread, volume = 0.01 * generator.random((2, n)), generator.integers(1, 10_000, n)
        highs, lows = np.maximum(opens, closes) + spread[0], np.minimum(opens, closes) - spread[1]
        times = np.datetime64("2005-01-01T00:00:00") + 60 * np.arange(start, start + n)
        prices = [np.round(each, 2) for each in (opens, highs, lows, closes)]
        table = pa.table([times, *prices, volume, np.round(volume * closes)], ["timestamps", *CANDLE_COLUMNS])
        writer = writer or pyarrow.csv.CSVWriter(path, table.schema, write_options=options)
        writer.write(table)
    if writer:
        writer.close()


class PlainCandles:
    """Plain code: the frame as read with its calendar columns, and both as float32."""

    def __init__(self, path: Path) -> None:
        self.frame = pd.read_csv(path, parse_dates=["timestamps"])
        for name in CALENDAR:
            self.frame[name] = getattr(self.frame["timestamps"].dt, name)
        self.values = self.frame[list(CANDLE_COLUMNS)].to_numpy(np.float32)
        self.calendar = self.frame[CALENDAR].to_numpy(np.float32)


class PlainDataset(Dataset):
    """Plain code: the frame is sliced, converted and normalised for each window."""

    def __init__(self, frame: pd.DataFrame, n_windows: int, config: DataConfig) -> None:
        self.frame, self.n_windows, self.config = frame, n_windows, config

    def __len__(self) -> int:
        return self.n_windows

    def __getitem__(self, start: int) -> dict[str, torch.Tensor]:
        window = self.frame.iloc[start : start + self.config.window]
        candles = window[list(CANDLE_COLUMNS)].values.astype(np.float32)
        lookback = candles[: self.config.lookback_window]
        candles = (candles - lookback.mean(axis=0)) / (lookback.std(axis=0) + 1e-5)
        candles = np.clip(candles, -self.config.clip, self.config.clip)
        stamp = window[CALENDAR].values.astype(np.float32)
        return {"candles": torch.from_numpy(candles), "stamp": torch.from_numpy(stamp)}


def load_ours(path: Path, cache: Path) -> CandleSet:
    candles, findings = load_candles(DataConfig(data_path=path, cache_dir=cache), RepairsConfig())
    assert not findings, findings[0]
    return candles


def measure_load(way: str, folder: Path, n_candles: int) -> dict[str, float]:
    """Return the seconds and peak memory of loading one file, after a small one as warm-up."""

    def read(n: int) -> PlainCandles | CandleSet:
        path = folder / f"{n}.csv"
        return PlainCandles(path) if way == "plain" else load_ours(path, folder / "cache")

    read(SMALL)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    candles = read(n_candles)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(candles.values) == n_candles
    return {"seconds": seconds, "mebibytes": peak * 1024 / MEBIBYTE}


def run_apart(way: str, folder: Path, n_candles: int) -> dict[str, float]:
    """Write a file of candles, or measure one way of loading it, in a process of its own.

    The parent process must stay small, because a child process starts with the peak memory of its parent.
    """
    if way == "ours":
        shutil.rmtree(folder / "cache", ignore_errors=True)
    command = [sys.executable, __file__, "--worker", way, str(folder), str(n_candles)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def compare_loading(sizes: list[int], repeats: int) -> None:
    print("loading one file")
    print(f"{'candles':>10}  {'way':<6} {'seconds':>8} {'times as fast':>14} {'peak MiB':>9} {'x candle bytes':>15}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_apart("write", folder, SMALL)
        for n_candles in sizes:
            run_apart("write", folder, n_candles)
            path, plain = folder / f"{n_candles}.csv", None
            ways = ("plain", "ours", "again") if path.stat().st_size >= CACHE_FROM_BYTES else ("plain", "ours")
            for way in ways:
                runs = [run_apart(way, folder, n_candles) for _ in range(repeats)]
                result = {key: min(run[key] for run in runs) for key in runs[0]}
                plain = plain or result
                seconds, memory = result["seconds"], result["mebibytes"]
                speed, share = plain["seconds"] / seconds, memory * MEBIBYTE / (24 * n_candles)
                print(
                    f"{n_candles:>10,}  {way:<6} {seconds:8.2f} {speed:14.2f} {memory:9.0f} {share:15.1f}", flush=True
                )
            path.unlink()


def measure_windows(dataset: Dataset, seconds: float, collate: Callable | None = None) -> float:
    """Return the windows per second, measured for some seconds after one batch as warm-up."""
    batches = iter(DataLoader(dataset, BATCH_SIZE, shuffle=True, collate_fn=collate))
    next(batches)
    start = time.perf_counter()
    n_windows, elapsed = 0, 0.0
    while elapsed < seconds and (batch := next(batches, None)):
        n_windows += len(batch["candles"])
        elapsed = time.perf_counter() - start
    return n_windows / elapsed


def load_windows(folder: Path, mapped: bool) -> tuple[WindowDataset, float]:
    """Return the train windows of the files in a folder, and the seconds for loading and splitting."""
    load.CACHE_FROM_BYTES = 0 if mapped else sys.maxsize  # treat all files as large, or as small
    config = DataConfig(data_path=folder, cache_dir=folder / "cache")
    start = time.perf_counter()
    candles, findings = load_candles(config, RepairsConfig())
    split = split_candles(candles, config)["train"]
    seconds = time.perf_counter() - start
    assert not findings and isinstance(candles.values, np.memmap) == mapped
    return WindowDataset(candles, split.starts, config, split.symbol_bounds), seconds


def compare_windows(n_candles: int, n_symbols: int, seconds: float, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folders = {n: Path(name) / str(n) for n in (1, n_symbols)}
        datasets: dict[str, tuple[Dataset, Callable | None]] = {}
        loading: dict[str, float] = {}
        for n, folder in folders.items():
            folder.mkdir()
            for i in range(n):
                write_candles(folder / f"{i:04}.csv", n_candles // n, seed=i)
            symbols = "1 symbol" if n == 1 else f"{n} symbols"
            for mapped in (False, True):
                windows, loaded_in = load_windows(folder, mapped)
                if n == 1 and not mapped:
                    config = DataConfig(data_path=folder)
                    start = time.perf_counter()
                    plain = PlainDataset(PlainCandles(folder / "0000.csv").frame, len(windows), config)
                    loading["plain, 1 symbol"] = time.perf_counter() - start
                    torch.testing.assert_close(plain[7]["candles"], windows[7]["candles"], rtol=1e-3, atol=2e-3)
                    datasets["plain, 1 symbol"] = plain, None
                way = f"ours, {symbols}{', mapped' if mapped else ''}"
                datasets[way], loading[way] = (windows, keep_batch), loaded_in
        print(f"\nwindows from {n_candles:,} candles")
        print(f"{'':<26} {'windows/s':>10} {'times as fast':>14} {'load seconds':>12}")
        rates = dict.fromkeys(datasets, 0.0)
        for _ in range(repeats):  # in turn, because other programs should slow all of them equally
            for way, (dataset, collate) in datasets.items():
                rates[way] = max(rates[way], measure_windows(dataset, seconds, collate))
        for way, rate in rates.items():
            print(f"{way:<26} {rate:10,.0f} {rate / rates['plain, 1 symbol']:14.1f} {loading[way]:12.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare loading candles and drawing windows with plain pandas code.")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000], help="candles per file"
    )
    parser.add_argument("--candles", type=int, default=500_000, help="candles to draw windows from")
    parser.add_argument("--symbols", type=int, default=500, help="number of symbols")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds of drawing windows per measurement")
    parser.add_argument("--repeats", type=int, default=3, help="repeats of each measurement; the best counts")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        way, folder, n_candles = options.worker[0], Path(options.worker[1]), int(options.worker[2])
        if way == "write":
            write_candles(folder / f"{n_candles}.csv", n_candles)
        print(json.dumps({} if way == "write" else measure_load(way, folder, n_candles)))
        return
    compare_loading(options.sizes, options.repeats)
    compare_windows(options.candles, options.symbols, options.seconds, options.repeats)


if __name__ == "__main__":
    main()
