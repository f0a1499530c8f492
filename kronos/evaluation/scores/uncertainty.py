"""Measure the certainty of a difference between forecasts: a test, an interval of the skill, the effective sample size.

Origins are not independent: their horizons overlap, and symbols move together. Therefore the origins of one instant are summed
into one term of a time series. The methods account for the autocorrelation of the terms, at least as far as horizons overlap.

Shapes: N origins, T terms, H steps of the horizon. A gain is the baseline's loss minus the run's.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.fft import dct

from kronos.candles import Array

MIN_SKEWNESS = 0.5  # of the gains, against the verdict: from here on Student's t finds too many differences
ROUNDING = 1e-12  # relative to the largest gain: a smaller deviation counts as 0


@dataclass(frozen=True, eq=False)
class LossSeries:
    """The time series of a comparison: sums over the origins of each of T instants, in order of time.

    gains: (T, H). scales: (T, H), the denominators of the skill. counts: (T, H), numbers of origins. starts, ends: (T,),
    int64 µs, of the last known candle and of the last forecast one. volatility: (T,), the mean of the lookbacks', for
    `depends_on_volatility`. Instants without comparable losses are left out.
    """

    gains: Array
    scales: Array
    counts: Array
    starts: Array
    ends: Array
    volatility: Array

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


def build_loss_series(
    gains: Array, scales: Array, starts: Array, ends: Array, volatility: Array | None = None
) -> LossSeries:
    """Sum gains and scales (N, H) over the origins of each instant.

    Args:
        gains, scales: NaN in either where the losses cannot be compared.
        starts, ends: instants (N,), int64 µs, in any order.
        volatility: (N,), of the lookbacks; None: the same for all.
    """
    valid = np.isfinite(gains) & np.isfinite(scales)
    used = np.flatnonzero(valid.any(axis=1))
    order = used[np.argsort(starts[used], kind="stable")]
    instants, firsts, sizes = np.unique(starts[order], return_index=True, return_counts=True)
    volatility = np.ones(len(starts)) if volatility is None else volatility
    if not len(order):
        nothing = np.zeros((0, gains.shape[1]))
        return LossSeries(nothing, nothing, nothing, starts[:0], ends[:0], volatility[:0])
    gains, scales, counts = (
        np.add.reduceat(np.where(valid, each, 0.0)[order], firsts, axis=0)
        for each in (gains, scales, np.ones_like(gains))
    )
    mean_volatility = np.add.reduceat(volatility[order], firsts) / sizes
    return LossSeries(gains, scales, counts, instants, np.maximum.reduceat(ends[order], firsts), mean_volatility)


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


def compute_cosine_p_value(terms: LossSeries) -> float:
    """Return the two-sided p-value of the equal-weighted cosine test of equal accuracy; NaN for fewer than 2 terms.

    The long-run variance is the mean of the squares of the first ν cosine transforms of the terms, ν = 0.4 T^(2/3), and
    the statistic is compared with Student's t with ν degrees of freedom (Lazarus, Lewis, Stock & Watson 2018, doi
    10.1080/07350015.2018.1506926, eqs. 4 and 5). It keeps its level where gains persist, at a price in power.
    """
    n = len(terms)
    if n < 2 or not terms.gains.any():
        return compute_p_value(terms, 0)
    degrees = max(int(0.4 * n ** (2 / 3)), 1)
    transforms = dct(terms.deviations, type=2)[1 : degrees + 1] / np.sqrt(2 * n)
    variance = np.square(transforms).mean()
    if variance == 0:
        return 0.0
    return float(2 * stats.t.sf(abs(terms.mean_gain) / np.sqrt(variance / n), degrees))


def is_skewed_against(terms: LossSeries, lags: int) -> bool:
    """Whether rare large gains or losses are opposite to the mean gain: then a short series may lack them by chance.

    The skewness is that of the sums of lags + 1 neighbouring terms.
    """
    sums = np.convolve(terms.deviations, np.ones(lags + 1), "valid")
    return bool(np.sign(terms.mean_gain) * stats.skew(sums) < -MIN_SKEWNESS)


def depends_on_volatility(terms: LossSeries) -> bool:
    """Whether the gains go with the lookbacks' volatility (rank correlation, p < 0.05), which persists over many terms."""
    if len(terms) < 4 or np.ptp(terms.volatility) == 0 or np.ptp(terms.deviations) == 0:
        return False
    return bool(stats.spearmanr(terms.deviations, terms.volatility).pvalue < 0.05)


def compute_safe_p_value(terms: LossSeries, lags: int) -> float:
    """Return the p-value that a verdict rests on: that of Diebold and Mariano's test.

    Where that test rejects too often, it is the larger one of this and the cosine test's: where the gains are skewed against
    the verdict, as for a too narrow forecast against a too wide one, and where they depend on volatility.
    `benchmarks/verdict.py` measures both.
    """
    p_value = compute_p_value(terms, lags)
    if len(terms) > 2 and (is_skewed_against(terms, lags) or depends_on_volatility(terms)):
        return max(p_value, compute_cosine_p_value(terms))
    return p_value


def compute_standard_error(terms: LossSeries, lags: int) -> float:
    """Return the standard error of the skill over the whole horizon; NaN for fewer than 2 terms or without a scale."""
    scale = terms.scales.sum() / terms.counts.sum() if len(terms) > 1 else 0.0
    if not scale > 0:
        return float("nan")
    return float(np.sqrt(compute_long_run_variance(terms.deviations, lags) / len(terms)) / scale)


def compute_smallest_gain(terms: LossSeries, lags: int, confidence: float, power: float) -> float:
    """Return the smallest true skill that the test finds with a probability of `power`, at this standard error.

    It is (t_{(1 + confidence) / 2} + t_power) standard errors, with quantiles of Student's t (Bloom 1995, doi
    10.1177/0193841X9501900504).
    """
    degrees = count_degrees(len(terms), lags) if len(terms) else 1.0
    quantiles = stats.t.ppf((1 + confidence) / 2, degrees) + stats.t.ppf(power, degrees)
    return float(quantiles * compute_standard_error(terms, lags))


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
