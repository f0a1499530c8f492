"""Compare a model's paths on random walks with the truth, which is known.

Shapes: N walks in pairs, P paths, H steps of the horizon. Returns are log returns since the last known close, divided by the
volatility of the lookback, which gives all walks the same weight.

The truth at step h: no drift, and the variance is the sum of the squared moves up to h, because the signs of the moves are
independent.

The mean paths m of a walk and m' of its mirror image have two parts. (m − m') / 2 depends on the path of the prices: this is
invented drift. (m + m') / 2 is the same for both. It depends on what they share, such as the times of day and the volume, or
on nothing: it may be a season that the market has. The mean of P paths scatters around the model's own mean: with the variance
v of the paths divided by P. In both parts this has the variance (v + v') / (4 P), which is subtracted from their squares.

What a drift costs: the CRPS of the forecast N(m, 1) rises by m² / (2 √π) to second order if the truth is N(0, 1). It is
1 / √π for m = 0, and E|N(m, 2)| − E|N(0, 2)| / 2 in general (Gneiting & Raftery 2007, doi 10.1198/016214506000001437, eq. 21).
A drift with a root mean square of d standard deviations therefore costs d² / 2 of the CRPS.
"""

import numpy as np
from scipy import stats

from kronos.candles import Array
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.records import HorizonFigures
from kronos.evaluation.results import DriftOutcome, InventedDrift
from kronos.evaluation.scores.calibration import measure_volatility
from kronos.evaluation.scores.figures import compute_bands
from kronos.evaluation.scores.metrics import compute_crps
from kronos.evaluation.scores.resampling import bootstrap_ratio, compute_skill

N_FUTURES = 32  # of each walk: the same moves with other signs
FEWEST_WALKS = 10
LEVEL = 90


def score_walks(
    name: str, closes: Array, walks: Origins, confidence: float = 0.95, margin: float = 0.02, seed: int = 0
) -> InventedDrift:
    """Return the figures of a forecaster.

    Args:
        closes: its sampled closes (N, P, H) on the walks.
        margin: the largest cost, as a share of the CRPS, that does not matter.
    """
    unit = measure_volatility(walks.closes)[:, np.newaxis]  # (N, 1)
    last = walks.closes[:, -1:]
    paths = np.log(closes / last[..., np.newaxis]) / unit[..., np.newaxis]
    moves = np.diff(np.log(np.concatenate([last, walks.actual], axis=1)), axis=1) / unit
    drift, shared, width = measure_moments(paths, moves, confidence)
    coverage, cost = _score_futures(paths, moves, confidence, seed)
    return InventedDrift(
        name=name,
        n_walks=len(paths),
        n_paths=paths.shape[1],
        drift=drift,
        shared_drift=shared,
        largest_drift=find_largest_drift(margin),
        outcome=decide_outcome(drift, len(paths), find_largest_drift(margin)),
        width=width,
        coverage=coverage,
        cost=cost,
    )


def find_largest_drift(margin: float) -> float:
    """Return the drift that costs as much as the margin: d² / 2 = margin."""
    return float(np.sqrt(2 * margin))


def decide_outcome(drift: HorizonFigures, n_walks: int, largest: float) -> DriftOutcome:
    """Return "none" if the interval lies below the largest drift that does not matter, "drift" if it lies above it."""
    if n_walks < FEWEST_WALKS:
        return "too few walks"
    if drift.high <= largest:
        return "none"
    return "drift" if drift.low > largest else "unclear"


def measure_moments(
    paths: Array, moves: Array, confidence: float
) -> tuple[HorizonFigures, HorizonFigures, HorizonFigures]:
    """Return the invented drift, the drift that mirror images share and the width of paths (N, P, H).

    All are shares of the truth's spread. Walks 2i and 2i + 1 are mirror images.
    """
    means, within = paths.mean(axis=1), paths.var(axis=1, ddof=1)  # (N, H)
    noise = (within + _swap(within)) / (4 * paths.shape[1])
    invented = np.square((means - _swap(means)) / 2) - noise  # the same for both walks of a pair
    shared = np.square((means + _swap(means)) / 2) - noise
    truth = np.square(moves).cumsum(axis=1)
    drift, both, width = (_take_root(each, truth, confidence) for each in (invented, shared, within))
    return drift, both, width


def _swap(figures: Array) -> Array:
    """Return the figures (N, H) of the mirror images of the walks."""
    return figures.reshape(-1, 2, figures.shape[1])[:, ::-1].reshape(figures.shape)


def _take_root(squared: Array, truth: Array, confidence: float) -> HorizonFigures:
    """Return the root of Σ squared / Σ truth over the walks (N, H), at each step; overall is the end of the horizon."""
    by_step = _root(compute_skill(squared.sum(axis=0), truth.sum(axis=0)))
    low, high = _find_interval(squared[:, -1:], truth[:, -1:], confidence)
    return HorizonFigures(
        overall=float(by_step[-1]), by_horizon=tuple(by_step.tolist()), low=float(_root(low)), high=float(_root(high))
    )


def _root(share: Array | float) -> Array:
    return np.sqrt(np.maximum(share, 0.0))


def _find_interval(numerator: Array, denominator: Array, confidence: float) -> tuple[float, float]:
    """Return the interval of Σ numerator / Σ denominator. Each pair is a term: its coins were tossed for it alone."""
    starts = np.arange(len(numerator)) // 2
    return bootstrap_ratio(numerator, denominator, starts, starts + 1, confidence)


def _score_futures(paths: Array, moves: Array, confidence: float, seed: int) -> tuple[HorizonFigures, HorizonFigures]:
    """Return the coverage of the band, and the excess of the CRPS over that of a random walk as wide as the lookback.

    Both are means over N_FUTURES futures of each walk, which have the same moves with other signs.
    """
    signs = np.random.default_rng([seed, 2]).choice([-1.0, 1.0], (N_FUTURES, *moves.shape))
    spread = np.sqrt(1 + np.arange(moves.shape[1]))  # of a random walk with steps of the lookback's width
    low, high = compute_bands(paths)[LEVEL]
    inside, own, baseline = (np.zeros(moves.shape) for _ in range(3))  # (N, H)
    for sign in signs:
        future = (sign * moves).cumsum(axis=1)
        inside += (low <= future) & (future <= high)
        own += compute_crps(paths, future) / spread
        baseline += compute_normal_crps(future / spread)
    inside /= N_FUTURES
    held = _find_interval(inside, np.ones_like(inside), confidence)
    ends = _find_interval(own - baseline, baseline, confidence)
    return _average(inside, np.ones_like(inside), *held), _average(own - baseline, baseline, *ends)


def _average(numerator: Array, denominator: Array, low: float, high: float) -> HorizonFigures:
    by_step = compute_skill(numerator.sum(axis=0), denominator.sum(axis=0))
    overall = float(compute_skill(numerator.sum(), denominator.sum()))
    return HorizonFigures(overall=overall, by_horizon=tuple(by_step.tolist()), low=low, high=high)


def compute_normal_crps(actual: Array) -> Array:
    """Return the CRPS of the standard normal distribution at actual values (Gneiting & Raftery 2007, eq. 5 of section 4.2)."""
    crps: Array = actual * (2 * stats.norm.cdf(actual) - 1) + 2 * stats.norm.pdf(actual) - 1 / np.sqrt(np.pi)
    return crps
