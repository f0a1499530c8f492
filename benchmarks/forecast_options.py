"""Time of a forecast in float32, in bfloat16 and with torch.compile.

    python benchmarks/forecast_options.py [--preset small] [--device cuda]

Random weights, lookback 512, horizon 48. The best of three forecasts counts, after a first one as warm-up.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from kronos.candles import CANDLE_COLUMNS
from kronos.forecast import KronosPredictor
from kronos.model import PRESETS, Kronos, KronosTokenizer

LOOKBACK, HORIZON = 512, 48
OPTIONS = {"float32": {}, "bfloat16": {"dtype": "bfloat16"}, "compiled": {"compile": True}}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time forecasts in float32, in bfloat16 and with torch.compile.")
    parser.add_argument("--preset", default="small", choices=PRESETS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--paths", type=int, nargs="+", default=[1, 30], help="paths per forecast")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    tokenizer = KronosTokenizer(**PRESETS[arguments.preset].tokenizer)
    model = Kronos(**PRESETS[arguments.preset].base_model)
    walk = np.exp(0.001 * np.random.default_rng(0).standard_normal((LOOKBACK, len(CANDLE_COLUMNS))).cumsum(0))
    times = pd.date_range("2024-01-02", periods=LOOKBACK, freq="5min")
    candles = pd.DataFrame(walk, columns=list(CANDLE_COLUMNS), index=times)

    print(
        f"{arguments.preset} on {arguments.device}, {torch.get_num_threads()} threads; seconds, and times as fast as float32"
    )
    print(f"{'':<9}{'first':>8}" + "".join(f"{f'{n} paths':>16}" for n in arguments.paths))
    plain: list[float] = []
    for name, options in OPTIONS.items():
        predictor = KronosPredictor(model, tokenizer, device=arguments.device, **options)

        def measure(n_paths: int, predictor: KronosPredictor = predictor) -> float:
            start = time.perf_counter()
            predictor.forecast(candles, horizon=HORIZON, n_paths=n_paths, seed=0, verbose=False)
            return time.perf_counter() - start

        first = measure(arguments.paths[0])
        best = [min(measure(n_paths) for _ in range(3)) for n_paths in arguments.paths]
        plain = plain or best
        columns = "".join(f"{seconds:10.2f}{reference / seconds:6.2f}" for seconds, reference in zip(best, plain))
        print(f"{name:<9}{first:8.1f}{columns}", flush=True)


if __name__ == "__main__":
    main()
