"""Measure the certainty of a difference between forecasts: a test, an interval of the skill, the effective sample size.

Origins are not independent: their horizons overlap, and symbols move together. Therefore the origins of one instant are summed
into one term of a time series. The methods account for the autocorrelation of the terms, at least as far as horizons overlap.

Shapes: N origins, T terms, H steps of the horizon. A gain is the baseline's loss minus the run's.
"""

from dataclasses import dataclass

import numpy as np
from arch.bootstrap import CircularBlockBootstrap, optimal_block_length
from scipy import stats

from kronos.candles import Array

N_BOOTSTRAP = 2000
SEED = 0  # fixed: the same losses always give the same interval
FEWEST_FOR_OPTIMAL_BLOCK = 16  # terms; with fewer the rule needs more lags than there are
ENTRIES_AT_ONCE = 4_000_000  # entries of the bootstrap's weights: 32 MB
ROUNDING = 1e-12  # relative to the largest gain: a smaller deviation counts as 0


@dataclass(frozen=True, eq=False)
class LossSeries:
    """The time series of a comparison: sums over the origins of each of T instants, in order of time.

    gains: (T, H). scales: (T, H), the denominators of the skill. counts: (T, H), numbers of origins. starts, ends: (T,),
    int64 µs, of the last known candle and of the last forecast one. Instants without comparable losses are left out.
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
        """The contribution (T,) of each term to the error of the mean gain: (Σ gains − mean × counts) / mean count.

        The mean gain over all origins is a ratio of two sums, gains and counts. This is its linearisation. If all counts
        are equal, it is the term's mean gain minus the overall mean.
        """
        sums, counts = self.gains.sum(axis=1), self.counts.sum(axis=1)
        deviations = (sums - sums.sum() / counts.sum() * counts) / counts.mean()
        largest = np.abs(sums / counts).max()
        return np.where(np.abs(deviations) <= ROUNDING * largest, 0.0, deviations)

    @property
    def mean_gain(self) -> float:
        """The mean gain over all origins and steps."""
        return float(self.gains.sum() / self.counts.sum())


def build_loss_series(gains: Array, scales: Array, starts: Array, ends: Array) -> LossSeries:
    """Sum gains and scales (N, H) over the origins of each instant.

    Args:
        gains, scales: NaN in either where the losses cannot be compared.
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
    """Return the largest number of following terms that begin before a term ends.

    A horizon begins after its last known candle. Therefore a term that starts at the instant at which another ends does
    not overlap it. Terms are compared by instant, also between symbols with different timestamps.

    Args:
        starts, ends: (T,); starts must be strictly ascending.
    """
    following = np.searchsorted(starts, ends, side="left") - np.arange(1, len(starts) + 1)
    return int(following.max(initial=0))


def count_disjoint(starts: Array, ends: Array) -> int:
    """Return the largest number of horizons without overlap, chosen greedily by earliest end; starts, ends: (T,)."""
    count, free_from = 0, None
    for i in np.argsort(ends, kind="stable"):
        if free_from is None or starts[i] >= free_from:
            count, free_from = count + 1, ends[i]
    return count


def choose_lags(deviations: Array, overlaps: int) -> int:
    """Choose the largest lag at which deviations (T,) count as correlated, at least the overlap.

    It is the first lag, from `overlaps` on, after which max(5, log10 T) autocorrelations lie within ±2 sqrt(log10(T) / T)
    (Politis & White 2004, doi 10.1081/ETC-120028836). Bartlett's formula widens this band for the correlations at smaller
    lags. The lag is at most T / 4, or the overlap if that is longer.
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
    """Return the autocovariances (lags + 1,) of deviations (T,) from a known mean: each sum of products divided by T."""
    n = len(deviations)
    spectrum = np.abs(np.fft.rfft(deviations, 2 * n)) ** 2
    covariances: Array = np.fft.irfft(spectrum, 2 * n)[: lags + 1] / n
    return covariances


def compute_long_run_variance(deviations: Array, lags: int) -> float:
    """Return T times the variance of the mean of terms (T,) that are correlated up to a lag; 0 if all terms are equal.

    It is the sum of autocovariances with equal weights (Diebold & Mariano 1995, doi 10.1080/07350015.1995.10524599),
    divided by the correction of Harvey, Leybourne & Newbold (1997, doi 10.1016/S0169-2070(96)00719-4) for an estimated
    mean. If the sum is not positive, Bartlett's weights 1 − lag / (lags + 1) are used (Newey & West 1987), which always
    give a positive sum.
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

    They are those of a spectral estimate with equal weights up to a lag (Priestley 1981, chapter 6). Without lags they are
    the T − 1 of Harvey, Leybourne & Newbold. The usual choice, T − 1 for any lag, rejects too often: for origins at
    stride 1 over ten horizons, it reports a difference between equal forecasts in 9% of cases instead of 5%.
    """
    return max(n_terms / (2 * lags + 1) - 1, 1.0)


def compute_p_value(terms: LossSeries, lags: int) -> float:
    """Return the two-sided p-value of Diebold and Mariano's test of equal accuracy; NaN for fewer than 2 terms.

    The statistic is mean / sqrt(long-run variance / T) with Harvey, Leybourne and Newbold's correction. It is compared with
    Student's t distribution with `count_degrees` degrees of freedom. The result is 1 if all gains are 0, and 0 if they are
    all equal and not 0.
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
    """Return the number of independent terms that would give the same precision: T × variance / long-run variance.

    It is at least 1, and at most the number of horizons without overlap. All symbols at one instant count as one term. It
    is T if no horizons overlap and no autocorrelation is significant (`choose_lags`).
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
    """Return gains / scales, sums of any shape; NaN where the scale is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(scales > 0, gains / scales, np.nan)


def bootstrap_skill(terms: LossSeries, lags: int, confidence: float) -> tuple[Array, Array]:
    """Return the lower and upper ends (1 + H,) of the skill's interval: over the whole horizon, then at each step.

    Blocks of terms are drawn with replacement N_BOOTSTRAP times, the same ones for run and baseline (circular block
    bootstrap, Politis & Romano 1992). The ends are percentiles at Φ(t / sqrt(1 − block / T)), where t is a quantile of
    Student's t distribution. They lie further out than plain percentiles, because the bootstrap covers only 1 − block / T
    of the variance and because the variance is estimated (expanded percentile interval, Hesterberg 2015, doi
    10.1080/00031305.2015.1089789).

    Returns:
        The ends; NaN for fewer than 2 terms, and where the skill of a resample is undefined.
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
    """Choose the block length: 3 lags + 1, or the optimum of Politis & White (2004) if longer; at most T / 3.

    Blocks of length lags + 1 cut through so many overlaps that a third of the variance is lost. With three times that
    length a ninth is lost, and the degrees of freedom are about those of `count_degrees`.
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
    # Count how often each term is drawn: the sums are then one matrix product.
    return np.concatenate(
        [bootstrap.apply(lambda drawn: np.bincount(drawn, minlength=n), part) @ sums for part in parts]
    )


def _with_total(sums: Array) -> Array:
    """Put the sum over the horizon before sums (…, H)."""
    return np.concatenate([sums.sum(axis=-1, keepdims=True), sums], axis=-1)
