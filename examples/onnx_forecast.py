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
from typing import Any

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
    try:
        forecast(options)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")


def read_candles(path: Path) -> tuple[Any, Any]:
    """Return candles (L, 6) and their times (L,)."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        if missing := [name for name in ("timestamps", *COLUMNS) if name not in (table.fieldnames or ())]:
            raise ValueError(
                f"{path}: no column {', '.join(missing)}. Name the columns timestamps, {', '.join(COLUMNS)}."
            )
        rows = list(table)
    if len(rows) < 2:
        raise ValueError(f"{path}: two or more candles are needed.")
    candles, times = np.empty((len(rows), len(COLUMNS))), np.empty(len(rows), "datetime64[us]")
    for n, row in enumerate(rows):
        try:
            candles[n] = [float(row[name] or "nan") for name in COLUMNS]
            times[n] = row["timestamps"].replace(" ", "T")
        except (ValueError, AttributeError) as error:  # the second: the row ends before its time
            raise ValueError(
                f"{path}, row {n + 1}: {error}. Write numbers, and times like 2024-06-18 11:15:00."
            ) from None
    return candles, times


def forecast(options: argparse.Namespace) -> None:
    """Print the forecast as CSV."""
    if not (options.model / "runner.py").is_file():
        raise ValueError(f"{options.model}: no exported model. Name the folder of kronos export --onnx.")
    sys.path.insert(0, str(options.model))
    from runner import OnnxForecaster

    candles, times = read_candles(options.candles)
    forecaster = OnnxForecaster(options.model, options.int8)
    lookback = forecaster.settings["lookback"]
    horizon = forecaster.settings["horizon"] if options.horizon is None else options.horizon
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
