"""Windows per second through the data path, beside a plain pandas dataset that slices, converts and normalises row ranges.

    python benchmarks/windows.py [--rows 20000] [--batches 40]

Both go through torch's DataLoader in this process, shuffled, lookback 512, horizon 48, batches of 32. The ratio is the
result; absolute figures depend on the machine.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).parents[1]))

from kronos.candles import CANDLE_COLUMNS, compute_calendar
from kronos.config.data import DataConfig
from kronos.data import Candles, WindowDataset
from kronos.data.windows import keep_batch

CALENDAR = ["minute", "hour", "day_of_week", "day", "month"]
BATCH_SIZE = 32


class PlainDataset(Dataset):
    """What one writes first: the frame as read, with its calendar columns, sliced for each window."""

    def __init__(self, frame: pd.DataFrame, config: DataConfig) -> None:
        self.frame, self.config = frame, config

    def __len__(self) -> int:
        return len(self.frame) - self.config.window + 1

    def __getitem__(self, start: int) -> dict[str, torch.Tensor]:
        window = self.frame.iloc[start : start + self.config.window]
        candles = window[list(CANDLE_COLUMNS)].values.astype(np.float32)
        lookback = candles[: self.config.lookback_window]
        candles = (candles - lookback.mean(axis=0)) / (lookback.std(axis=0) + 1e-5)
        candles = np.clip(candles, -self.config.clip, self.config.clip)
        stamp = window[CALENDAR].values.astype(np.float32)
        return {"candles": torch.from_numpy(candles), "stamp": torch.from_numpy(stamp)}


def measure(loader: Iterable[dict[str, torch.Tensor]], n_batches: int) -> float:
    """Windows per second over n_batches, after one to warm up."""
    batches = iter(loader)
    next(batches)
    start = time.perf_counter()
    for _ in range(n_batches):
        next(batches)
    return n_batches * BATCH_SIZE / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description="Windows per second, ours and plain pandas.")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batches", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    generator = np.random.default_rng(0)
    values = np.exp(0.001 * generator.standard_normal((options.rows, 6)).cumsum(0))
    timestamps = pd.date_range("2024-01-02 09:35", periods=options.rows, freq="5min")
    candles = Candles(np.asfortranarray(values, np.float32), compute_calendar(timestamps), timestamps, "made")
    config = DataConfig(data_path=Path("made.csv"))
    calendar = {name: getattr(timestamps, name) for name in ("minute", "hour", "day_of_week", "day", "month")}
    frame = pd.DataFrame(values, columns=list(CANDLE_COLUMNS)).assign(timestamps=timestamps, **calendar)
    plain = PlainDataset(frame, config)
    ours = WindowDataset(candles, range(len(plain)), config)
    torch.testing.assert_close(plain[7]["candles"], ours[7]["candles"], rtol=1e-3, atol=1e-3)

    def best(dataset: Dataset, collate=None) -> float:
        loader = DataLoader(dataset, BATCH_SIZE, shuffle=True, collate_fn=collate)
        return max(measure(loader, options.batches) for _ in range(options.repeats))

    plain_rate, our_rate = best(plain), best(ours, keep_batch)
    print(f"plain pandas  {plain_rate:10,.0f} windows/s")
    print(f"ours          {our_rate:10,.0f} windows/s")
    print(f"ratio         {our_rate / plain_rate:10.1f}")


if __name__ == "__main__":
    main()
