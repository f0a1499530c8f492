"""The certainty of a difference in forecasts: a test of equal accuracy, an interval of the skill, the effective sample size.

Origins are not independent draws: their horizons overlap, and symbols move together. Origins of one instant therefore become one
term of a time series, and the autocorrelation of the terms is taken into account, at least as far as horizons overlap.
Throughout, N origins, T terms, H steps of the horizon; a gain is the baseline's loss minus the run's.
"""

from dataclasses import dataclass

import numpy as np
from arch.bootstrap import CircularBlockBootstrap, optimal_block_length
from scipy import stats

from kronos.candles import Array

N_BOOTSTRAP = 2000
SEED = 0  # the same losses have the same interval
FEWEST_FOR_OPTIMAL_BLOCK = 16  # terms; with fewer the rule looks at more lags than there are
ENTRIES_AT_ONCE = 4_000_000  # of the bootstrap's weights: 32 MB
ROUNDING = 1e-12  # of the largest gain: a deviation below it is none


@dataclass(frozen=True, eq=False)
class LossSeries:
    """The time series of a comparison: what the origins of an instant sum to, for T instants in order.

    gains (T, H); scales (T, H), what the gains are a share of; counts (T, H), of how many origins; starts and ends (T,),
    int64 µs: of the last known candle and of the last one forecast. Only instants with something to compare are there.
    """

    gains: Array
    scales: Array
    counts: Array
    starts: Array
    ends: Array

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def deviations(self) -> Array:
        """What each term adds to the error of the mean gain (T,): (Σ gains − mean × counts) / mean count.

        The mean gain over all origins is a ratio of sums, of gains and of counts; this is its linearisation, which for
        equal counts is each term's mean gain less the mean of them all.
        """
        sums, counts = self.gains.sum(axis=1), self.counts.sum(axis=1)
        deviations = (sums - sums.sum() / counts.sum() * counts) / counts.mean()
        largest = np.abs(sums / counts).max()
        return np.where(np.abs(deviations) <= ROUNDING * largest, 0.0, deviations)

    @property
    def mean_gain(self) -> float:
        """Over all origins and times."""
        return float(self.gains.sum() / self.counts.sum())


def build_loss_series(gains: Array, scales: Array, starts: Array, ends: Array) -> LossSeries:
    """Sum gains and scales (N, H) over the origins of each instant.

    Args:
        gains, scales: NaN in either where there is nothing to compare.
        starts, ends: instants (N,), int64 µs, in any order.
    """
    valid = np.isfinite(gains) & np.isfinite(scales)
    used = np.flatnonzero(valid.any(axis=1))
    order = used[np.argsort(starts[used], kind="stable")]
    instants, firsts = np.unique(starts[order], return_index=True)
    if not len(order):
        nothing = np.zeros((0, gains.shape[1]))
        return LossSeries(nothing, nothing, nothing, starts[:0], ends[:0])
    gains, scales, counts = (
        np.add.reduceat(np.where(valid, each, 0.0)[order], firsts, axis=0)
        for each in (gains, scales, np.ones_like(gains))
    )
    return LossSeries(gains, scales, counts, instants, np.maximum.reduceat(ends[order], firsts))


def count_overlaps(starts: Array, ends: Array) -> int:
    """Count how many following terms begin before a term ends, at most.

    A horizon lies after its last known candle; the next may begin at the instant at which one ends. Times are true
    times: terms of symbols whose candles have other instants count too.

    Args:
        starts, ends: (T,), starts ascending and different.
    """
    following = np.searchsorted(starts, ends, side="left") - np.arange(1, len(starts) + 1)
    return int(following.max(initial=0))


def count_disjoint(starts: Array, ends: Array) -> int:
    """Count the horizons that can be chosen so that none overlaps another, at most (T,): always the one that ends first."""
    count, free_from = 0, None
    for i in np.argsort(ends, kind="stable"):
        if free_from is None or starts[i] >= free_from:
            count, free_from = count + 1, ends[i]
    return count


def choose_lags(deviations: Array, overlaps: int) -> int:
    """Choose up to which lag terms (T,) are taken to be correlated: as far as they overlap, or their autocorrelation shows.

    The lag is the first, from `overlaps` on, after which max(5, log10 T) autocorrelations lie within ±2 sqrt(log10(T) / T)
    (Politis & White 2004, doi 10.1081/ETC-120028836), widened by Bartlett's formula for what the lags before
    add; at most T / 4, if they do not overlap further.
    """
    n = len(deviations)
    longest = min(max(overlaps, n // 4), n - 2)
    covariances = compute_autocovariances(deviations, n - 1)
    if longest <= 0 or covariances[0] == 0:
        return max(min(overlaps, n - 2), 0)
    correlations = covariances / covariances[0]
    n_quiet, lags = max(5, int(np.log10(n))), min(overlaps, longest)
    while lags < longest:
        band = 2 * np.sqrt(np.log10(n) / n * (1 + 2 * np.square(correlations[1 : lags + 1]).sum()))
        loud = np.flatnonzero(np.abs(correlations[lags + 1 : lags + 1 + n_quiet]) > band)
        if not loud.size:
            break
        lags = min(lags + 1 + int(loud[-1]), longest)
    return lags


def compute_autocovariances(deviations: Array, lags: int) -> Array:
    """Return the autocovariances (lags + 1,) of deviations (T,) from a known mean, each the sum of products over T."""
    n = len(deviations)
    spectrum = np.abs(np.fft.rfft(deviations, 2 * n)) ** 2
    covariances: Array = np.fft.irfft(spectrum, 2 * n)[: lags + 1] / n
    return covariances


def compute_long_run_variance(deviations: Array, lags: int) -> float:
    """Return T times the variance of the mean of terms (T,) that are correlated up to some lag; 0 if they are all the same.

    The sum of autocovariances with equal weights (Diebold & Mariano 1995, doi 10.1080/07350015.1995.10524599)
    over the correction of Harvey, Leybourne & Newbold (1997, doi 10.1016/S0169-2070(96)00719-4) for the
    mean being estimated; where that sum is not positive, with Bartlett's weights 1 − lag / (lags + 1) (Newey & West
    1987), with which it always is.
    """
    n, steps = len(deviations), lags + 1
    covariances = compute_autocovariances(deviations, lags)
    if covariances[0] == 0:
        return 0.0
    variance = covariances[0] + 2 * covariances[1:].sum()
    if variance <= 0:
        variance = covariances[0] + 2 * ((1 - np.arange(1, steps) / steps) * covariances[1:]).sum()
    return float(variance / ((n + 1 - 2 * steps + steps * (steps - 1) / n) / n))


def count_degrees(n_terms: int, lags: int) -> float:
    """Return the degrees of freedom of the long-run variance, T / (2 lags + 1) − 1, at least 1.

    They are those of a spectral estimate with equal weights up to a lag (Priestley 1981, chapter 6), and T − 1, those of
    Harvey, Leybourne & Newbold, without lags. With T − 1 throughout, as is usual, ten
    horizons' worth of origins at stride 1 find a difference between equals 9 times in 100 instead of 5.
    """
    return max(n_terms / (2 * lags + 1) - 1, 1.0)


def compute_p_value(terms: LossSeries, lags: int) -> float:
    """Return the two-sided p-value of equal accuracy, by Diebold and Mariano's test; NaN for fewer than 2 terms.

    The statistic is mean / sqrt(long-run variance / T) with Harvey, Leybourne and Newbold's correction, of Student's
    distribution with `count_degrees`. 1 if nothing differs, 0 if everything differs by the same.
    """
    if not terms.gains.any():
        return 1.0 if len(terms) else float("nan")
    if len(terms) < 2:
        return float("nan")
    variance = compute_long_run_variance(terms.deviations, lags)
    if variance == 0:
        return 0.0
    statistic = terms.mean_gain / np.sqrt(variance / len(terms))
    return float(2 * stats.t.sf(abs(statistic), count_degrees(len(terms), lags)))


def count_independent(terms: LossSeries, lags: int) -> float:
    """Return how many independent terms would tell the mean as precisely: T × variance / long-run variance.

    At least 1 and at most as many as there are horizons that do not overlap; symbols at one instant are one term, however
    many. It is T where nothing overlaps and no autocorrelation is significant (`choose_lags`).
    """
    n_disjoint = count_disjoint(terms.starts, terms.ends)
    if len(terms) < 2:
        return float(n_disjoint)
    long_run = compute_long_run_variance(terms.deviations, lags)
    if lags == 0 or long_run == 0:
        return float(n_disjoint)
    share = compute_long_run_variance(terms.deviations, 0) / long_run
    return float(np.clip(len(terms) * share, 1, n_disjoint))


def compute_skill(gains: Array, scales: Array) -> Array:
    """Return gains as a share of scales, of sums of any shape; NaN where the scale is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scales > 0, gains / scales, np.nan)


def bootstrap_skill(terms: LossSeries, lags: int, confidence: float) -> tuple[Array, Array]:
    """Return the lower and upper ends (1 + H,) of the skill's interval: over the whole horizon, then at each time of it.

    Blocks of terms are drawn with replacement (circular block bootstrap, Politis & Romano 1992), run and baseline together,
    N_BOOTSTRAP times. The interval is between percentiles, which are moved outward for what the bootstrap misses of
    the variance, 1 − block / T, and for its being estimated (the expanded percentile interval of Hesterberg 2015, doi
    10.1080/00031305.2015.1089789): Φ(t / sqrt(1 − block / T)) of Student's t.

    Returns:
        NaN for fewer than 2 terms, and where the skill of a resample is not defined.
    """
    n = len(terms)
    if n < 2:
        nothing = np.full(1 + terms.gains.shape[1], np.nan)
        return nothing, nothing
    block = choose_block(terms.deviations, lags)
    degrees = min(count_degrees(n, lags), max(1.5 * n / block - 1, 1.0))
    tail = stats.norm.sf(stats.t.isf((1 - confidence) / 2, degrees) / np.sqrt(1 - block / n))
    gains, scales = (_with_total(sums) for sums in np.split(_resample(terms, block), 2, axis=1))
    low, high = np.quantile(compute_skill(gains, scales), [tail, 1 - tail], axis=0)
    return low, high


def choose_block(deviations: Array, lags: int) -> int:
    """Choose the block length: 3 lags + 1, or what Politis & White (2004) find optimal if longer; at most T / 3.

    Blocks of but the overlap, lags + 1, cut through so many overlaps that a third of the variance is lost; of thrice that
    length, a ninth, at about the same degrees of freedom as `count_degrees`.
    """
    n, block = len(deviations), 3 * lags + 1
    if n >= FEWEST_FOR_OPTIMAL_BLOCK and deviations.any():
        optimal = optimal_block_length(deviations)["circular"].iloc[0]
        block = max(block, int(np.ceil(optimal)) if np.isfinite(optimal) else 1)
    return max(min(block, n // 3), 1)


def _resample(terms: LossSeries, block: int) -> Array:
    """Return the sums (N_BOOTSTRAP, 2 H) of gains and scales over resampled terms."""
    n, sums = len(terms), np.concatenate([terms.gains, terms.scales], axis=1)
    bootstrap = CircularBlockBootstrap(block, np.arange(n), seed=SEED)
    at_once = max(ENTRIES_AT_ONCE // n, 1)
    parts = [min(at_once, N_BOOTSTRAP - done) for done in range(0, N_BOOTSTRAP, at_once)]
    # How often each term is drawn, instead of the terms themselves: one product of matrices.
    return np.concatenate(
        [bootstrap.apply(lambda drawn: np.bincount(drawn, minlength=n), part) @ sums for part in parts]
    )


def _with_total(sums: Array) -> Array:
    """Put the sum over the horizon before sums (…, H)."""
    return np.concatenate([sums.sum(axis=-1, keepdims=True), sums], axis=-1)
