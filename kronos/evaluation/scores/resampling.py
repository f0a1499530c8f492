"""Intervals by a circular block bootstrap over the instants of an evaluation (Politis & Romano 1992).

Blocks of terms are drawn with replacement N_BOOTSTRAP times, the same ones for all figures of the same series. The ends of an
interval are percentiles at Φ(t / sqrt(1 − block / T)), where t is a quantile of Student's t distribution. They lie further out
than plain percentiles, because the bootstrap covers only 1 − block / T of the variance and because the variance is estimated
(expanded percentile interval, Hesterberg 2015, doi 10.1080/00031305.2015.1089789).

Shapes: T terms, H steps of the horizon, R resamples.
"""

from functools import lru_cache

import numpy as np
from scipy import stats

from kronos.candles import Array
from kronos.evaluation.scores.uncertainty import (
    LossSeries,
    build_loss_series,
    choose_lags,
    count_degrees,
    count_disjoint,
    count_overlaps,
)

N_BOOTSTRAP = 2000
SEED = 0  # fixed: the same losses always give the same interval
FEWEST_FOR_OPTIMAL_BLOCK = 16  # terms; with fewer the rule needs more lags than there are
FEWEST_FOR_PERCENTILES = 10  # independent terms; resamples of fewer hardly leave the range of the terms
ENTRIES_AT_ONCE = 4_000_000  # counts of drawn terms: 8 MB


def bootstrap_skill(terms: LossSeries, lags: int, confidence: float) -> tuple[Array, Array]:
    """Return the lower and upper ends (1 + H,) of the skill's intervals: over the whole horizon, then at each step.

    The intervals at the steps are simultaneous: together they contain all H true values with the given confidence. All are
    the same number of standard deviations wide (sup-t band, Montiel Olea & Plagborg-Møller 2019, doi 10.1002/jae.2656).

    Returns:
        The ends; NaN for fewer than 2 terms, and where the skill of a resample is undefined.
    """
    n = len(terms)
    if n < 2:
        nothing = np.full(1 + terms.gains.shape[1], np.nan)
        return nothing, nothing
    block = choose_block(terms.deviations, lags)
    sums = _resample(np.concatenate([terms.gains, terms.scales], axis=1), block)
    gains, scales = np.split(sums, 2, axis=1)
    tail = find_tail(n, block, lags, confidence)
    overall = compute_skill(gains.sum(axis=1), scales.sum(axis=1))
    low, high = _find_ends(overall, compute_skill(terms.gains.sum(), terms.scales.sum()), tail, n / (lags + 1))
    by_step = compute_skill(gains, scales)
    estimate = compute_skill(terms.gains.sum(axis=0), terms.scales.sum(axis=0))
    reach = _find_reach(by_step - estimate, confidence) * stats.norm.isf(tail) / stats.norm.isf((1 - confidence) / 2)
    return np.append(low, estimate - reach), np.append(high, estimate + reach)


def bootstrap_ratio(
    numerator: Array, denominator: Array, starts: Array, ends: Array, confidence: float
) -> tuple[float, float]:
    """Return the interval of Σ numerator / Σ denominator, sums over origins and steps (N, H), such as a share of hits.

    Args:
        numerator, denominator: NaN in either where a case does not count.
        starts, ends: instants (N,), int64 µs, of the last known and the last forecast candle.
    """
    terms, lags = build_centred_series(numerator, denominator, starts, ends)
    if len(terms) < 2:
        return float("nan"), float("nan")
    block = choose_block(terms.deviations, lags)
    sums = _resample(np.column_stack([terms.gains.sum(axis=1), terms.scales.sum(axis=1)]), block)
    tail = find_tail(len(terms), block, lags, confidence)
    estimate = compute_skill(terms.gains.sum(), terms.scales.sum())
    return _find_ends(compute_skill(sums[:, 0], sums[:, 1]), estimate, tail, len(terms) / (lags + 1))


def bootstrap_share(hits: Array, starts: Array, ends: Array, confidence: float) -> tuple[float, float]:
    """Return the interval of the mean of hits (N, H), each from 0 to 1, or NaN where a case does not count.

    If all are 1 or all are 0, resamples show no uncertainty. The interval is then that of Clopper & Pearson (1934, doi
    10.1093/biomet/26.4.404) for as many cases as there are horizons without overlap.
    """
    known = np.isfinite(hits)
    share = hits[known].mean() if known.any() else np.nan
    if share not in (0, 1):
        low, high = bootstrap_ratio(hits, np.where(known, 1.0, np.nan), starts, ends, confidence)
        return max(low, 0.0), min(high, 1.0)
    used = known.any(axis=1)
    reach = 1 - ((1 - confidence) / 2) ** (1 / count_disjoint(starts[used], ends[used]))
    return (1 - reach, 1.0) if share else (0.0, reach)


def bootstrap_correlation(
    first: Array, second: Array, starts: Array, ends: Array, confidence: float
) -> tuple[float, float]:
    """Return the interval of the correlation of two arrays (N, H) over the origins, averaged over the steps.

    Steps at which a resample has no correlation are left out of its average.
    """
    first, second = (each - each.mean(axis=0) for each in (first, second))
    moments = np.stack([np.ones_like(first), first, second, first * first, second * second, first * second], axis=2)
    horizon = first.shape[1]
    terms, lags = build_centred_series(first * second, np.ones_like(first), starts, ends)
    if len(terms) < 2:
        return float("nan"), float("nan")
    instants, place = np.unique(starts, return_inverse=True)
    sums = np.zeros((len(instants), horizon, moments.shape[2]))
    np.add.at(sums, place, moments)
    block = choose_block(terms.deviations, lags)
    drawn = _resample(sums.reshape(len(instants), -1), block).reshape(-1, horizon, moments.shape[2])
    count, x, y, xx, yy, xy = np.moveaxis(drawn, 2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = (xy - x * y / count) / np.sqrt((xx - x * x / count) * (yy - y * y / count))
    known = np.isfinite(correlations)
    means = np.where(known, correlations, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    tail = find_tail(len(terms), block, lags, confidence)
    low, high = np.quantile(np.clip(means, -1, 1), [tail, 1 - tail])
    return float(low), float(high)


def measure_design_effect(shares: Array, starts: Array, ends: Array) -> float:
    """Return by how much the dependence of origins and steps raises the variance of shares over that of independent cases.

    Args:
        shares: (N, B), how many of an origin's H cases are in each of B classes; each row sums to H.

    Returns:
        The largest one of the classes: the outer ones depend most. At least 1, NaN for fewer than 2 instants.
    """
    n_cases = shares.sum()
    terms, lags = build_centred_series(shares, np.ones_like(shares), starts, ends)
    if len(terms) < 2:
        return float("nan")
    sums = _resample(terms.gains, choose_block(terms.deviations, lags))
    drawn = sums / sums.sum(axis=1, keepdims=True)
    share = shares.sum(axis=0) / n_cases
    binomial = share * (1 - share) / n_cases
    used = binomial > 0
    return max(float((drawn.var(axis=0)[used] / binomial[used]).max()), 1.0) if used.any() else float("nan")


def build_centred_series(numerator: Array, denominator: Array, starts: Array, ends: Array) -> tuple[LossSeries, int]:
    """Return the time series of a ratio of sums, and the lag up to which its terms are correlated."""
    terms = build_loss_series(numerator, denominator, starts, ends)
    overlaps = count_overlaps(terms.starts, terms.ends)
    return terms, choose_lags(terms.deviations, overlaps) if len(terms) > 1 else 0


def compute_skill(gains: Array, scales: Array) -> Array:
    """Return gains / scales, sums of any shape; NaN where the scale is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scales > 0, gains / scales, np.nan)


def find_tail(n_terms: int, block: int, lags: int, confidence: float) -> float:
    """Return the probability of each tail of the percentile interval; see the module's text."""
    degrees = min(count_degrees(n_terms, lags), max(1.5 * n_terms / block - 1, 1.0))
    tail = stats.norm.sf(stats.t.isf((1 - confidence) / 2, degrees) / np.sqrt(1 - block / n_terms))
    return max(float(tail), float(np.finfo(float).tiny))


def choose_block(deviations: Array, lags: int) -> int:
    """Choose the block length: 3 lags + 1, or the optimum of Politis & White (2004) if longer; at most T / 3.

    Blocks of length lags + 1 cut through so many overlaps that a third of the variance is lost. With three times that
    length a ninth is lost, and the degrees of freedom are about those of `count_degrees`.
    """
    n, block = len(deviations), 3 * lags + 1
    if n >= FEWEST_FOR_OPTIMAL_BLOCK and deviations.any():
        from arch.bootstrap import optimal_block_length  # slow to import

        optimal = optimal_block_length(deviations)["circular"].iloc[0]
        block = max(block, int(np.ceil(optimal)) if np.isfinite(optimal) else 1)
    return max(min(block, n // 3), 1)


def _find_ends(drawn: Array, estimate: Array, tail: float, n_independent: float) -> tuple[float, float]:
    """Return the percentiles of resampled figures (R,); of few terms at least as far from the estimate as by Student's t."""
    low, high = np.quantile(drawn, [tail, 1 - tail])
    if n_independent < FEWEST_FOR_PERCENTILES:
        half = stats.norm.isf(tail) * drawn.std()
        low, high = np.minimum(low, estimate - half), np.maximum(high, estimate + half)
    return float(low), float(high)


def _find_reach(deviations: Array, confidence: float) -> Array:
    """Return the half width (H,) of the band that encloses a share of the resamples' deviations (R, H) at all steps."""
    spread = deviations.std(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        largest = np.nanmax(np.append(np.abs(deviations) / spread, np.zeros((len(deviations), 1)), axis=1), axis=1)
    reach: Array = np.quantile(largest, confidence) * spread
    return reach


def _resample(sums: Array, block: int) -> Array:
    """Return the totals (R, K) of the rows of sums (T, K) over resampled terms."""
    n = len(sums)
    at_once = max(ENTRIES_AT_ONCE // n, 1)
    if at_once >= N_BOOTSTRAP:
        return _draw_all(n, block, N_BOOTSTRAP).astype(np.float64) @ sums
    generator = np.random.default_rng(SEED)
    parts = [min(at_once, N_BOOTSTRAP - done) for done in range(0, N_BOOTSTRAP, at_once)]
    return np.concatenate([_draw(generator, n, block, part).astype(np.float64) @ sums for part in parts])


@lru_cache(maxsize=32)
def _draw_all(n: int, block: int, n_resamples: int) -> Array:
    """Return how often each of n terms is drawn in each resample (R, n); drawn once for all figures of a series."""
    return _draw(np.random.default_rng(SEED), n, block, n_resamples)


def _draw(generator: np.random.Generator, n: int, block: int, n_resamples: int) -> Array:
    """Draw as `arch.bootstrap.CircularBlockBootstrap` does, all resamples at once."""
    firsts = generator.integers(n, size=(n_resamples, -(-n // block)))
    terms = (firsts[..., np.newaxis] + np.arange(block)).reshape(n_resamples, -1)[:, :n] % n
    terms += n * np.arange(n_resamples)[:, np.newaxis]
    return np.bincount(terms.ravel(), minlength=n * n_resamples).reshape(n_resamples, n).astype(np.uint16)
