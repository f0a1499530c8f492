"""Forecast with an exported model: onnxruntime and NumPy, without PyTorch and without this package.

    kronos export --run finetuned/demo --onnx exported
    python examples/onnx_forecast.py exported data/synthetic_5min.csv [--horizon 12] [--paths 30] [--seed 0] [--greedy]

The file has the columns timestamps, open, high, low, close, volume, amount. The future times follow at the interval of the
last two candles; give the runner your market's own times instead.
"""

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

COLUMNS = ("open", "high", "low", "close", "volume", "amount")


def main() -> None:
    parser = argparse.ArgumentParser(description="Forecast with an exported model.")
    parser.add_argument("model", type=Path, help="the folder that kronos export --onnx wrote")
    parser.add_argument("candles", type=Path, help="a CSV file")
    parser.add_argument("--horizon", type=int)
    parser.add_argument("--paths", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--greedy", action="store_true", help="the most probable future only")
    parser.add_argument("--int8", action="store_true")
    options = parser.parse_args()
    sys.path.insert(0, str(options.model))
    from runner import OnnxForecaster

    with options.candles.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    candles = np.array([[float(row[name]) for name in COLUMNS] for row in rows])
    times = np.array([row["timestamps"].replace(" ", "T") for row in rows], "datetime64[us]")
    forecaster = OnnxForecaster(options.model, options.int8)
    lookback, horizon = forecaster.settings["lookback"], options.horizon or forecaster.settings["horizon"]
    future = times[-1] + (times[-1] - times[-2]) * np.arange(1, horizon + 1)
    sampled = {"temperature": 0.0, "n_paths": 1} if options.greedy else {"n_paths": options.paths}
    paths = forecaster.forecast(candles[-lookback:], times[-lookback:], future, seed=options.seed, **sampled)
    close = paths[..., COLUMNS.index("close")]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["timestamps", "close_mean", "close_q0.05", "close_q0.95"])
    bands = close.mean(axis=0), np.quantile(close, 0.05, axis=0), np.quantile(close, 0.95, axis=0)
    for time, *values in zip(future, *bands):
        writer.writerow([time, *(f"{value:.7g}" for value in values)])


if __name__ == "__main__":
    main()
