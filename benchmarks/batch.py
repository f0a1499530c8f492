"""Throughput of `kronos batch` as a share of the model's alone, and its memory.

    python benchmarks/batch.py [--run RUN] [--symbols 64] [--rows 500] [--horizon 24] [--paths 30] [--partition-size 16] [--workers 4]

The candles are random walks; without a run, the models are those of the package (nano). *alone* is what the model forecasts
from candles that are read and checked already, in one process with one thread. *batch* reads Parquet, checks, forecasts and
writes Parquet, in one process with one thread too. With --workers its share may exceed 100%; starting each takes seconds. Each measurement is a process of its
own. The third line is a batch of four times as many symbols: the memory does not grow with them. Compare the ratios.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from kronos.batch.batch import run_batch
from kronos.batch.forecaster import Forecaster
from kronos.forecast import KronosPredictor
from kronos.model.pretrained import NANO_FOLDER

MEBIBYTE = 2**20
CONFIG = """
data: {data_path: none.csv, lookback_window: 96, predict_window: 24, max_context: 144}
model_paths: {pretrained_tokenizer: nano, pretrained_predictor: nano, exp_name: run}
"""


def make_run(folder: Path) -> Path:
    """Write a run with the models of the package."""
    for part in ("tokenizer", "basemodel"):
        shutil.copytree(NANO_FOLDER / part, folder / part / "best_model")
    (folder / "config.yaml").write_text(CONFIG)
    return folder


def make_walk(rng: np.random.Generator, n_rows: int) -> pd.DataFrame:
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n_rows)))
    opens = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(opens, close) * 1.002, np.minimum(opens, close) * 0.998
    volume = rng.lognormal(10, 0.5, n_rows)
    columns = {"open": opens, "high": high, "low": low, "close": close, "volume": volume, "amount": volume * close}
    return pd.DataFrame({"timestamps": pd.bdate_range("2020-01-01", periods=n_rows), **columns})


def write_candles(folder: Path, n_symbols: int, n_rows: int) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for first in range(0, n_symbols, 64):
        names = [f"S{n:06}" for n in range(first, min(first + 64, n_symbols))]
        walks = [make_walk(rng, n_rows).assign(symbol=name) for name in names]
        pd.concat(walks).to_parquet(folder / f"{first:06}.parquet", index=False)
    return folder


def measure(way: str, options: argparse.Namespace) -> dict[str, float]:
    """Return the symbols in a second and the peak memory of one way."""
    torch.set_num_threads(1)
    data = Path(options.folder) / ("large" if way == "large" else "small")
    n_symbols = options.symbols * (4 if way == "large" else 1)
    how = {"horizon": options.horizon, "n_paths": options.paths}
    if way == "alone":
        predictor = KronosPredictor.from_run(options.run, device="cpu")
        frame = pd.read_parquet(data)
        histories = [rows.set_index("timestamps").drop(columns="symbol")[-96:] for _, rows in frame.groupby("symbol")]
        predictor.forecast_batch(histories[:2], seed=0, verbose=False, **how)
        start = time.perf_counter()
        for first in range(0, len(histories), 16):
            predictor.forecast_batch(histories[first : first + 16], seed=0, verbose=False, **how)
    else:
        forecaster = Forecaster(options.run, **how)
        forecaster.describe()  # loads the models
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            workers = options.workers if way == "workers" else 1
            run_batch(forecaster, str(data), Path(out), workers, partition_size=options.partition_size)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MEBIBYTE
    return {"speed": n_symbols / seconds, "mebibytes": peak}


def run_apart(way: str, folder: Path, run: Path) -> dict[str, float]:
    """Measure in a process of its own, with the options of this one."""
    own = ["--worker", way, "--folder", str(folder), "--run", str(run)]
    command = [sys.executable, __file__, *sys.argv[1:], *own]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the throughput of kronos batch with the model's alone.")
    parser.add_argument("--run", help="the folder of a run; by default nano")
    parser.add_argument("--symbols", type=int, default=64)
    parser.add_argument("--rows", type=int, default=500, help="candles of each symbol")
    parser.add_argument("--horizon", type=int, default=24)
    parser.add_argument("--paths", type=int, default=30)
    parser.add_argument("--partition-size", type=int, default=16)
    parser.add_argument("--workers", type=int, help="also measure so many processes")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(measure(options.worker, options)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = Path(options.run) if options.run else make_run(folder / "run")
        write_candles(folder / "small", options.symbols, options.rows)
        write_candles(folder / "large", 4 * options.symbols, options.rows)
        print(f"{options.symbols} symbols, {options.rows} rows, horizon {options.horizon}, {options.paths} paths")
        print(f"{'way':<28} {'symbols/s':>9} {'share of alone':>15} {'peak MiB':>9}")
        alone = None
        names = {"alone": "model alone", "batch": "batch, 1 worker", "large": "batch, 1 worker, 4 × as many"}
        if options.workers:
            names["workers"] = f"batch, {options.workers} workers"
        for way, name in names.items():
            result = run_apart(way, folder, run)
            alone = alone or result
            share, peak = result["speed"] / alone["speed"], result["mebibytes"]
            print(f"{name:<28} {result['speed']:9.2f} {share:15.0%} {peak:9.0f}", flush=True)


if __name__ == "__main__":
    main()
