"""Write data/synthetic_5min.csv: SYNTHETIC 5-minute candles, for demonstrations and tests. No market ever traded them.

They look like the candles of an A-share: two sessions a day with a lunch break, no weekends, overnight gaps, clustered
volatility (GARCH(1,1)) and U-shaped volume. The price is a random walk: only volatility and volume can be predicted.

    python examples/make_synthetic_candles.py [--days 70] [--seed 7] [--out data/synthetic_5min.csv]
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

CANDLES_A_SESSION = 24
TICKS_A_CANDLE = 40


def make_timestamps(n_days: int) -> pd.DatetimeIndex:
    """Return the closing times of candles on weekdays: 09:35–11:30 and 13:05–15:00."""
    days = pd.bdate_range("2024-01-02", periods=n_days)
    minutes = np.concatenate([start * 60 + 35 + 5 * np.arange(CANDLES_A_SESSION) for start in (9, 12.5)])
    return pd.DatetimeIndex((days.to_numpy()[:, None] + minutes.astype("timedelta64[m]")).ravel())


def make_volatility(generator: np.random.Generator, n_days: int) -> np.ndarray:
    """Return the standard deviation of each candle's log return: GARCH(1,1) times a U shape over the day."""
    n_candles = 2 * CANDLES_A_SESSION
    variance, level = 1.0, np.empty(n_days * n_candles)
    for i, shock in enumerate(generator.standard_normal(level.size)):
        level[i] = variance**0.5
        variance = 0.03 + variance * (0.12 * shock**2 + 0.85)
    position = np.linspace(-1, 1, n_candles)
    return 0.0012 * level * np.tile(0.75 + 0.75 * position**2, n_days)


def make_candles(n_days: int, seed: int) -> pd.DataFrame:
    """Return candles aggregated from one path of ticks, which makes open, high, low and close consistent."""
    generator = np.random.default_rng(seed)
    timestamps = make_timestamps(n_days)
    volatility = make_volatility(generator, n_days)
    ticks = generator.standard_normal((len(timestamps), TICKS_A_CANDLE)) * volatility[:, None] / TICKS_A_CANDLE**0.5
    ticks[:: 2 * CANDLES_A_SESSION, 0] += 0.006 * generator.standard_normal(n_days)  # overnight gaps
    prices = 20 * np.exp(np.cumsum(ticks).reshape(ticks.shape))
    noise = np.exp(0.35 * generator.standard_normal(len(timestamps)))
    volume = np.round(4000 * (volatility / volatility.mean()) ** 1.3 * noise)
    columns = {
        "open": prices[:, 0],
        "high": prices.max(axis=1),
        "low": prices.min(axis=1),
        "close": prices[:, -1],
    }
    candles = pd.DataFrame(columns).round(2).assign(volume=volume, amount=np.round(volume * prices.mean(axis=1), 2))
    candles.insert(0, "timestamps", timestamps)
    return candles


def main() -> None:
    parser = argparse.ArgumentParser(description="Write synthetic 5-minute candles.")
    parser.add_argument("--days", type=int, default=70, help="trading days")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "data" / "synthetic_5min.csv")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    candles = make_candles(options.days, options.seed)
    candles.to_csv(options.out, index=False)
    print(f"{len(candles):,} synthetic candles written to {options.out}")


if __name__ == "__main__":
    main()
