"""The baseline `majority`: the moves of the fitting data, whatever the lookback shows."""

import numpy as np

from kronos.candles import Array
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput, NotApplicable, PastCloses
from kronos.evaluation.forecasters.naive import NaiveForecaster, compute_levels, find_steps
from kronos.evaluation.forecasters.volatility import FEWEST_FITS, compute_trailing_variance, count_burn_in

MOST_MOVES = 100_000  # at each step of the horizon; of more, evenly spaced ones are used


def build_majority(past: PastCloses) -> Forecaster:
    """Fit the baseline `majority`.

    Its paths are evenly spaced quantiles of the moves after 1, …, H candles in the fitting data, of all symbols together, in
    units of the volatility of the lookback before each. At an origin they are scaled by the volatility of its lookback. The
    sign of its median is the more frequent direction at each step, and the share of its paths above the last close is the
    share of moves that went up. Moves of exactly 0 have no direction and are left out.

    Raises:
        NotApplicable: there are too few moves.
    """
    moves = measure_moves(past)

    def draw(known: ForecastInput, n_paths: int, rng: np.random.Generator) -> Array:
        levels, to_close = compute_levels(known.closes)
        width = np.sqrt(np.square(find_steps(levels)).mean())
        return to_close(levels[-1] + width * take_quantiles(moves, n_paths))

    return NaiveForecaster("majority", "majority", draw)


def measure_moves(past: PastCloses) -> list[Array]:
    """Return the moves other than 0 after 1, …, H candles, in units of the volatility before them, in ascending order.

    Raises:
        NotApplicable: there are too few at a step of the horizon.
    """
    stretches = list(past.levels())
    stride = max(sum(map(len, stretches)) // MOST_MOVES, 1)
    gathered: list[list[Array]] = [[] for _ in range(past.horizon)]
    for levels in stretches:
        steps = np.diff(levels)
        if not len(steps):
            continue
        burn_in = count_burn_in(len(steps), past.lookback - 1)
        width = np.sqrt(compute_trailing_variance(steps, 1.0, past.lookback - 1))
        for h, moves in enumerate(gathered, start=1):
            at = np.arange(burn_in, len(levels) - h, stride)
            at = at[(width[at - 1] > 0) & (levels[at + h] != levels[at])]
            moves.append((levels[at + h] - levels[at]) / width[at - 1])
    pooled = [np.sort(np.concatenate(moves)) if moves else np.empty(0) for moves in gathered]
    if (fewest := min(map(len, pooled))) < FEWEST_FITS:
        raise NotApplicable("few_for_fit", n=fewest, least=FEWEST_FITS)
    return pooled


def take_quantiles(moves: list[Array], n_paths: int) -> Array:
    """Return the quantiles (n_paths, H) at (i + ½) / n_paths of moves in ascending order at each of H steps."""
    levels = (np.arange(n_paths) + 0.5) / n_paths
    return np.stack([each[(levels * len(each)).astype(np.int64)] for each in moves], axis=1)
