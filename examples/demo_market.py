"""Write data/season_5min.csv, the SYNTHETIC candles of the demo, or compare a run on them with a forecaster that knows the truth.

The candles have a planted season: at each time of day the expected return is the same every day, with a root mean square of
0.45 standard deviations of a candle's return. Everything else is a random walk with volatility that clusters.

    python examples/demo_market.py                        # writes data/season_5min.csv
    python examples/demo_market.py --run finetuned/demo   # what knowing the market's law would have gained on the run's test candles
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from synthetic_markets import Market, Simulation, oracle, simulate

from kronos.evaluation.scores.calibration import measure_volatility
from kronos.evaluation.scores.metrics import compute_crps
from kronos.run_folder import RunFolder

MARKET = Market("season", 0.45, phases=(0.6, 2.0), weights=(1.0, 0.5))
N_CANDLES = 48 * 120  # 48 a day
SEED = 1
N_PATHS = 200
LOOKBACK = 96  # candles, as in configs/demo.yaml
FILE = Path(__file__).parents[1] / "data" / "season_5min.csv"


def simulate_demo(seed: int) -> Simulation:
    return simulate([MARKET], N_CANDLES, [seed])[0]


def compare(run: Path, seed: int) -> str:
    """Describe the CRPS of the fine-tuned model, the LSTM and the oracle on the origins of a run's verdict, against the pretrained model."""
    losses = pd.read_csv(RunFolder(run).report.losses, parse_dates=["origin"])
    crps = losses.pivot(index=["origin", "step"], columns="forecaster", values="crps").unstack("step")
    actual = losses[losses["forecaster"] == "finetuned"].pivot(index="origin", columns="step", values="actual")
    simulation = simulate_demo(seed)
    rows = pd.DatetimeIndex(simulation.candles["timestamps"]).get_indexer(actual.index)
    futures = oracle(MARKET, simulation.state[rows], simulation.slot[rows], actual.shape[1], N_PATHS, seed)
    closes = simulation.candles["close"].to_numpy()[rows[:, np.newaxis] + np.arange(1 - LOOKBACK, 1)]
    # All times and steps count alike, as in the verdict: losses are divided by the standard deviation of a random walk.
    unit = measure_volatility(closes)[:, np.newaxis] * np.sqrt(np.arange(1, actual.shape[1] + 1))
    means = {
        title: (crps[name].to_numpy() / unit).mean()
        for name, title in (("pretrained", "pretrained"), ("finetuned", "fine-tuned"), ("lstm", "the LSTM"))
        if name in crps
    }
    means["a forecaster that knows the market's law"] = (compute_crps(futures, actual.to_numpy()) / unit).mean()
    pretrained = means.pop("pretrained")
    parts = [f"{title} {figure / pretrained - 1:+.0%}" for title, figure in means.items()]
    return f"CRPS against the pretrained model, {len(rows)} origins: " + ", ".join(parts) + "."


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Write the synthetic candles of the demo, or compare a run with the truth."
    )
    parser.add_argument("--run", type=Path, help="the folder of a run on these candles, with its verdict")
    parser.add_argument("--seed", type=int, default=SEED, help="of the candles")
    parser.add_argument("--out", type=Path, default=FILE)
    options = parser.parse_args()
    if options.run:
        print(compare(options.run, options.seed))
        return
    candles = simulate_demo(options.seed).candles
    candles.to_csv(options.out, index=False)
    print(f"{len(candles):,} synthetic candles written to {options.out}")


if __name__ == "__main__":
    main()
