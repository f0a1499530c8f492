"""How much of the future the normalisation of a lookback gives away, on pure random walks.

    python benchmarks/normalisation_leak.py [--whole-window]

A window is normalised by the mean and the standard deviation of its whole lookback. Inside the lookback this is a hint of what
is to come: at each position it is known that the levels of the lookback will average 0. A loss at these positions rewards a
model for a return to the mean, which is false at the origin, where forecasts begin.

A linear regression on four features of the past (the level, its mean so far, the first level, the move over five candles)
predicts the next step, which is what the loss sees, and the move 24 candles ahead. Its R² on other walks should be 0: nobody
can predict a random walk. It is 0 at the last candle of the lookback, and in the horizon. With --whole-window, the statistics are
those of lookback and horizon together, as in upstream's training: then the horizon leaks too.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from kronos.candles import Array

AHEAD = 24  # candles
WINDOWS = {(96, 24): 40_000, (512, 48): 8_000}  # walks by lookback and horizon


class Leak(NamedTuple):
    """R² of the next step and of the move AHEAD candles on (fewer near the end of the window), after a position."""

    position: int
    next_step: float
    ahead: float


def draw_normalised_walks(n: int, lookback: int, horizon: int, seed: int, whole_window: bool = False) -> Array:
    """Return n Gaussian random walks (n, lookback + horizon), normalised by the statistics of their lookbacks or of all."""
    walks = np.random.default_rng(seed).standard_normal((n, lookback + horizon)).cumsum(axis=1)
    known = walks if whole_window else walks[:, :lookback]
    normalised: Array = (walks - known.mean(axis=1, keepdims=True)) / known.std(axis=1, keepdims=True)
    return normalised


def measure_leak(walks: Array, position: int) -> Leak:
    """Return how well the future after a position of normalised walks (N, T) is predicted from their past."""
    ahead = min(AHEAD, walks.shape[1] - 1 - position)
    features = np.stack(
        [
            walks[:, position],
            walks[:, : position + 1].mean(axis=1),
            walks[:, 0],
            walks[:, position] - walks[:, max(position - 5, 0)],
            np.ones(len(walks)),
        ],
        axis=1,
    )
    moves = (walks[:, position + k] - walks[:, position] for k in (1, ahead))
    return Leak(position, *(compute_r2(features, move) for move in moves))


def compute_r2(features: Array, target: Array) -> float:
    """Fit on the first half of N cases (N, F), and return the R² on the second, against a forecast of 0."""
    half = len(target) // 2
    coefficients = np.linalg.lstsq(features[:half], target[:half], rcond=None)[0]
    errors = target[half:] - features[half:] @ coefficients
    return float(1 - np.square(errors).sum() / np.square(target[half:]).sum())


def list_positions(lookback: int, horizon: int) -> dict[str, int]:
    """Return some positions by their names, from 0; the last known candle is at lookback - 1."""
    return {
        "lookback / 8": lookback // 8,
        "lookback / 4": lookback // 4,
        "lookback / 2": lookback // 2,
        "3/4 of the lookback": 3 * lookback // 4,
        "8 candles before its end": lookback - 8,
        "end of the lookback (origin)": lookback - 1,
        "middle of the horizon": lookback + horizon // 2 - 1,
    }


def measure_all(seed: int, whole_window: bool) -> Iterator[tuple[int, str, Leak]]:
    for (lookback, horizon), n in WINDOWS.items():
        walks = draw_normalised_walks(n, lookback, horizon, seed, whole_window)
        for name, position in list_positions(lookback, horizon).items():
            yield lookback, name, measure_leak(walks, position)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the normalisation of the lookback gives away.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole-window", action="store_true", help="normalise by lookback and horizon together")
    options = parser.parse_args()
    print(f"| lookback | position | R² of the next step | R² of the move {AHEAD} candles ahead |")
    print("|---|---|---|---|")
    for lookback, name, leak in measure_all(options.seed, options.whole_window):
        next_step, ahead = (f"{max(0.0, round(r2, 3)):.3f}" for r2 in leak[1:])
        print(f"| {lookback} | {name} | {next_step} | {ahead} |")


if __name__ == "__main__":
    main()
