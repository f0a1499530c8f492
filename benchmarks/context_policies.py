"""Accuracy and speed of the three context policies on held-out candles.

    python train_sequential.py --config configs/demo.yaml data.data_path=my.csv data.lookback_window=72 \\
        data.max_context=96 data.test_ratio=0.2 data.train_ratio=0.7 training.tokenizer_epochs=8 training.basemodel_epochs=4 \\
        model_paths.exp_name=policies
    python benchmarks/context_policies.py --run finetuned/policies --stride 1

The policies differ only if lookback and horizon together exceed max_context. Every forecast here therefore uses as many
candles as the context holds. The score is the mean CRPS of the close over the horizon, in basis points of the last known
close; lower is better. Every policy uses the same random numbers. Differences are paired, origin by origin.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from kronos.data import load_candles, split_candles
from kronos.forecast import Forecast, KronosPredictor
from kronos.saved_run import load_saved_run

POLICIES = ("recompute", "slide", "grow")


def compute_crps(samples: np.ndarray, actual: np.ndarray) -> np.ndarray:
    """Return the CRPS of samples (P, T) against actual values (T,): E|X - y| - E|X - X'| / 2 (Gneiting and Raftery 2007, eq. 21)."""
    spread = np.abs(samples[:, None] - samples[None]).mean(axis=(0, 1))
    return np.abs(samples - actual).mean(axis=0) - spread / 2


def score(forecast: Forecast, actual: pd.DataFrame) -> float:
    """Return the mean CRPS of the close in basis points."""
    close = compute_crps(forecast.paths[..., 3], actual["close"].to_numpy())
    return 1e4 * close.mean() / forecast.last_close


def main() -> None:
    parser = argparse.ArgumentParser(description="Score and time the context policies on a run's test split.")
    parser.add_argument("--run", type=Path, required=True, help="the run's folder, {base_path}/{exp_name}")
    parser.add_argument("--paths", type=int, default=30, help="paths per forecast")
    parser.add_argument("--stride", type=int, default=6, help="candles between origins")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    options = parser.parse_args()

    config, tokenizer, model = load_saved_run(options.run)
    horizon, context = config.data.predict_window, config.data.max_context
    candles, _ = load_candles(config.data, config.repairs)
    starts = split_candles(candles, config.data)["test"].starts
    origins = [start + config.data.lookback_window for start in starts.take(np.arange(0, len(starts), options.stride))]
    origins = [origin for origin in origins if origin - candles.symbol_at(origin).start >= context]
    histories = [candles.frame(origin - context, origin) for origin in origins]
    actuals = [candles.frame(origin, origin + horizon) for origin in origins]
    print(f"{candles.source}: {len(origins)} origins, lookback {context} = max_context, horizon {horizon}")
    scores, seconds = {}, {}
    for policy in POLICIES:
        predictor = KronosPredictor(model, tokenizer, max_context=context, clip=config.data.clip, context_policy=policy)
        start = time.perf_counter()
        runs = []
        for seed in range(options.seeds):
            forecasts = predictor.forecast_batch(
                histories, y_timestamp_list=[actual.index for actual in actuals], n_paths=options.paths, seed=seed
            )
            runs.append([score(forecast, actual) for forecast, actual in zip(forecasts, actuals)])
        seconds[policy] = time.perf_counter() - start
        scores[policy] = np.mean(runs, axis=0)
    print(f"{'policy':<10} {'CRPS (bp)':>10} {'vs recompute':>15} {'standard error':>15} {'times as fast':>14}")
    for policy in POLICIES:
        difference = scores[policy] - scores["recompute"]
        # Origins closer than a horizon overlap. The standard error counts one origin per horizon as independent.
        n_independent = max(len(origins) * options.stride / horizon, 2)
        error = difference.std(ddof=1) / np.sqrt(n_independent)
        speed = seconds["recompute"] / seconds[policy]
        print(f"{policy:<10} {scores[policy].mean():10.2f} {difference.mean():15.2f} {error:15.2f} {speed:14.1f}")


if __name__ == "__main__":
    main()
