"""Score forecasts of the direction of prices: P(up), its Brier score and reliability, F1 and AUC.

P(up) is the share of paths above the last known close; paths equal to it count half. Actual moves of exactly 0 have no direction
and are left out (NaN). Shapes: N origins, P paths, H steps of the horizon.
"""

import numpy as np
from scipy.stats import rankdata

from kronos.candles import Array
from kronos.evaluation.records import DirectionFigures, HitRate, HorizonFigures, UpProbabilityBin
from kronos.evaluation.scores.figures import average
from kronos.evaluation.scores.resampling import bootstrap_share

N_BINS = 5  # of P(up), with equal numbers of cases


def compute_up_probability(paths: Array) -> Array:
    """Return P(up) (N, H) of paths (N, P, H), moves from the last known close."""
    probability: Array = (paths > 0).mean(axis=1) + (paths == 0).mean(axis=1) / 2
    return probability


def compute_brier(probability: Array, actual: Array) -> Array:
    """Return (P(up) − 1{actual > 0})² (N, H) (Brier 1950, doi 10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2)."""
    score: Array = np.where(actual == 0, np.nan, np.square(probability - (actual > 0)))
    return score


def compute_direction_figures(probability: Array, hits: Array, actual: Array) -> dict[str, HorizonFigures]:
    """Return the figures of P(up) by name, each at every step and overall.

    - brier: mean of `compute_brier`.
    - auc: the probability that P(up) is higher for a move up than for a move down (area under the ROC curve, Hanley &
      McNeil 1982, doi 10.1148/radiology.143.1.7063747). The overall figure is the mean over the steps.
    - f1: the mean of the F1 scores of up and of down. Always forecasting the same direction gives about 1/3.

    Args:
        probability, hits, actual: (N, H); hits as from `compute_direction_hits`.
    """
    return {
        "brier": average(compute_brier(probability, actual)),
        "auc": average(np.array([[_compute_auc(p, y) for p, y in zip(probability.T, actual.T)]])),
        "f1": HorizonFigures(
            overall=_compute_f1(hits.ravel(), actual.ravel()),
            by_horizon=tuple(_compute_f1(hit, y) for hit, y in zip(hits.T, actual.T)),
        ),
    }


def describe_direction(
    probability: Array, hits: Array, actual: Array, starts: Array, ends: Array, confidence: float
) -> DirectionFigures | None:
    """Return the reliability of P(up) and hit rates by its certainty; None if no actual value moved.

    Args:
        probability, hits, actual: (N, H). starts, ends: instants (N,) of the last known and the last forecast candle.
    """
    moved = actual != 0
    if not moved.any():
        return None
    up, sureness = (actual > 0).astype(float), np.abs(probability - 0.5)
    share = float(up[moved].mean())

    def interval(values: Array, chosen: Array) -> tuple[float, float]:
        return bootstrap_share(np.where(chosen, values, np.nan), starts, ends, confidence)

    bins = []
    for chosen in _split(probability, moved, N_BINS):
        low, high = interval(up, chosen)
        values = {"forecast": probability[chosen].mean(), "actual": up[chosen].mean(), "low": low, "high": high}
        bins.append(UpProbabilityBin(**values, n_cases=int(chosen.sum())))
    thirds = []
    for chosen in _split(sureness, moved, 3):
        low, high = interval(hits, chosen)
        ends_of_third = {"least_sure": sureness[chosen].min(), "surest": sureness[chosen].max()}
        thirds.append(
            HitRate(share=hits[chosen].mean(), low=low, high=high, n_cases=int(chosen.sum()), **ends_of_third)
        )
    return DirectionFigures(up_share=share, base_rate_brier=share * (1 - share), bins=tuple(bins), thirds=tuple(thirds))


def _split(values: Array, moved: Array, n_parts: int) -> list[Array]:
    """Split the cases that moved into parts with equal numbers of cases, by value; equal values stay together."""
    edges = np.unique(np.quantile(values[moved], np.arange(1, n_parts) / n_parts, method="higher"))
    place = np.searchsorted(edges, values, side="right")
    parts = [moved & (place == i) for i in range(len(edges) + 1)]
    return [part for part in parts if part.any()]


def _compute_auc(probability: Array, actual: Array) -> float:
    """Return the area under the ROC curve over one step's cases (N,); NaN without moves in both directions."""
    up, down = actual > 0, actual < 0
    n_up, n_down = int(up.sum()), int(down.sum())
    if not (n_up and n_down):
        return float("nan")
    ranks = rankdata(probability[up | down])
    return float((ranks[up[up | down]].sum() - n_up * (n_up + 1) / 2) / (n_up * n_down))


def _compute_f1(hits: Array, actual: Array) -> float:
    """Return the mean F1 of up and down over cases (n,); a forecast of no move counts half for each direction."""
    scores = []
    for direction in (actual > 0, actual < 0):
        other = (actual != 0) & ~direction
        found, missed, wrong = hits[direction].sum(), (1 - hits[direction]).sum(), (1 - hits[other]).sum()
        if not direction.any():
            return float("nan")
        scores.append(2 * found / (2 * found + missed + wrong))
    return float(np.mean(scores))
