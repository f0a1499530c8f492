"""How much the baselines that know volatility gain over a random walk, on real candles.

    python benchmarks/baselines.py [--candles my.csv] [--horizons 6 12 48]

The gain is that of the CRPS in units of volatility. Lookback 512, origins one horizon apart; the baselines are fitted on the
first half of the candles and measured on the second. Without --candles: the daily S&P 500 of the package arch.
"""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from arch.data import sp500
from rich.console import Console
from rich.table import Table

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data.windows.load import load_candles
from kronos.evaluation.baselines import FITTED_BASELINES
from kronos.evaluation.forecasters.base import NotApplicable
from kronos.evaluation.forecasters.naive import NAIVE_FORECASTERS
from kronos.evaluation.origins.past import collect_past
from kronos.evaluation.origins.walk_forward import Origins, WalkForward
from kronos.evaluation.scoring import score

LOOKBACK = 512
SHOWN = ("last_close", "ewma", "garch", "time_of_day", "majority")


def measure(path: Path, horizon: int) -> tuple[int, dict[str, float]]:
    """Return the number of origins, and the mean scaled CRPS by baseline."""
    config = DataConfig(data_path=(path,), lookback_window=LOOKBACK, predict_window=horizon)
    candles = load_candles(config, RepairsConfig()).candles
    rows = np.arange(max(len(candles) // 2, LOOKBACK), len(candles) - horizon, horizon)
    origins = Origins(candles, rows, LOOKBACK, horizon)
    past = collect_past(config, origins, None, {})
    walk, figures = WalkForward(Path(), 50, seed=0), {}
    for name in ("volatility", *SHOWN):
        try:
            forecaster = NAIVE_FORECASTERS[name] if name in NAIVE_FORECASTERS else FITTED_BASELINES[name](past)
        except NotApplicable:
            continue
        scored = score(forecaster, walk.forecast(forecaster, origins), origins)
        figures[name] = scored.figures.log_return["scaled_crps"].overall
    return len(rows), figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--candles", type=Path)
    parser.add_argument("--horizons", type=int, nargs="+", default=[1, 5, 20])
    arguments = parser.parse_args()
    table = Table("horizon", "origins", *SHOWN, title="gain in scaled CRPS over volatility", title_justify="left")
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.candles or Path(folder) / "sp500.csv"
        if not arguments.candles:
            daily = sp500.load()
            prices = daily[["Open", "High", "Low", "Close"]].mul(daily["Adj Close"] / daily["Close"], axis=0)
            prices.assign(Volume=daily["Volume"]).to_csv(path, index_label="Date")
        for horizon in arguments.horizons:
            n, figures = measure(path, horizon)
            gains = [
                f"{100 * (1 - figures[name] / figures['volatility']):.1f}%" if name in figures else "–"
                for name in SHOWN
            ]
            table.add_row(str(horizon), f"{n:,}", *gains)
    Console().print(table)


if __name__ == "__main__":
    main()
