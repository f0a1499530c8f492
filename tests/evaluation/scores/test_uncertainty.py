"""How sure a difference is, against statsmodels, slow loops and series whose mean is known."""

import numpy as np
import pytest
import statsmodels.api as sm
from arch.bootstrap import CircularBlockBootstrap
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.signal import lfilter

from kronos.evaluation.scores import resampling
from kronos.evaluation.scores.resampling import bootstrap_skill, choose_block
from kronos.evaluation.scores.uncertainty import (
    LossSeries,
    build_loss_series,
    choose_lags,
    compute_cosine_p_value,
    compute_long_run_variance,
    compute_p_value,
    compute_safe_p_value,
    compute_smallest_gain,
    count_degrees,
    count_disjoint,
    count_independent,
    count_overlaps,
    depends_on_volatility,
    is_skewed_against,
)

Array = np.ndarray


def make_terms(series: Array, overlaps: int = 0) -> LossSeries:
    """One origin an instant and one time of the horizon; the skill is the mean of the series."""
    starts = np.arange(len(series))
    gains = series[:, np.newaxis]
    return build_loss_series(gains, np.ones_like(gains), starts, starts + 1 + overlaps)


def make_moving_sums(n: int, q: int, generator: np.random.Generator) -> Array:
    """What overlapping horizons give: fat-tailed steps, each counted by q + 1 terms."""
    return np.convolve(generator.standard_t(4, n + q), np.ones(q + 1), "valid")


def correct_small_sample(n: int, lags: int) -> float:
    """As printed in Harvey, Leybourne & Newbold (1997), h = lags + 1."""
    h = lags + 1
    return ((n + 1 - 2 * h + h * (h - 1) / n) / n) ** 0.5


@pytest.mark.parametrize("lags", [0, 1, 5])
@pytest.mark.parametrize("kernel", ["uniform", "bartlett"])
def test_the_statistic_is_that_of_a_regression_on_a_constant(lags: int, kernel: str) -> None:
    """Equal weights make the variance of a series that swings to and fro negative, if the last lag is odd."""
    series = 0.3 + make_moving_sums(80, lags, np.random.default_rng(3))
    if kernel == "bartlett" and lags:
        series = np.tile([1.0, -0.9], 40) + np.linspace(0, 0.1, 80)
    terms = make_terms(series)
    covariances = [terms.deviations[k:] @ terms.deviations[: 80 - k] for k in range(lags + 1)]
    assert (covariances[0] + 2 * sum(covariances[1:]) <= 0) == (kernel == "bartlett" and lags > 0)
    weights = {"maxlags": lags, "kernel": kernel, "use_correction": False}
    fit = sm.OLS(series, np.ones(80)).fit(cov_type="HAC", cov_kwds=weights)
    statistic = fit.tvalues[0] * correct_small_sample(80, lags)
    variance = compute_long_run_variance(terms.deviations, lags)
    assert terms.mean_gain / np.sqrt(variance / 80) == pytest.approx(statistic)
    expected = 2 * stats.t.sf(abs(statistic), 80 / (2 * lags + 1) - 1)
    assert compute_p_value(terms, lags) == pytest.approx(expected)


def test_without_overlap_it_is_student_s_test() -> None:
    series = np.random.default_rng(0).standard_t(4, 30) + 0.4
    assert compute_p_value(make_terms(series), 0) == pytest.approx(stats.ttest_1samp(series, 0).pvalue)


def test_the_cosine_test_is_that_of_its_definition() -> None:
    series = np.random.default_rng(0).standard_t(4, 90) + 0.2
    degrees = int(0.4 * 90 ** (2 / 3))
    t = (np.arange(90) + 0.5) / 90
    transforms = [np.sqrt(2 / 90) * (series * np.cos(np.pi * j * t)).sum() for j in range(1, degrees + 1)]
    statistic = series.mean() / np.sqrt(np.mean(np.square(transforms)) / 90)
    expected = 2 * stats.t.sf(abs(statistic), degrees)
    assert compute_cosine_p_value(make_terms(series)) == pytest.approx(expected)


def test_where_student_s_test_rejects_too_often_the_cosine_test_must_agree() -> None:
    generator = np.random.default_rng(0)
    skewed = 0.2 - generator.exponential(size=80) ** 2 / 4 + 0.5  # mostly small gains, rarely a large loss
    terms = make_terms(skewed)
    assert is_skewed_against(terms, 0) == (skewed.mean() > 0)
    assert not is_skewed_against(make_terms(-skewed + 2), 0)  # skewed towards the verdict
    both = max(compute_p_value(terms, 0), compute_cosine_p_value(terms))
    assert compute_safe_p_value(terms, 0) == both
    even = make_terms(generator.normal(size=80) + 0.3)
    assert compute_safe_p_value(even, 0) == compute_p_value(even, 0)


def test_gains_that_go_with_volatility_are_noticed() -> None:
    generator = np.random.default_rng(0)
    volatility, starts = generator.random(80) + 0.5, np.arange(80)
    gains = (generator.normal(size=80) + 3 * volatility)[:, np.newaxis]
    terms = build_loss_series(gains, np.ones_like(gains), starts, starts + 1, volatility)
    assert depends_on_volatility(terms)
    shuffled = generator.permutation(80)
    assert not depends_on_volatility(
        build_loss_series(gains, np.ones_like(gains), starts, starts + 1, volatility[shuffled])
    )
    assert not depends_on_volatility(make_terms(gains[:, 0]))  # one volatility for all


def test_the_smallest_gain_is_found_in_four_of_five_cases() -> None:
    found, smallest = [], []
    for seed in range(400):
        noise = np.random.default_rng(seed).normal(size=60)
        smallest.append(compute_smallest_gain(make_terms(noise), 0, 0.95, 0.8))
        found.append(compute_p_value(make_terms(noise + 0.3678), 0) < 0.05)
    assert np.mean(smallest) == pytest.approx(0.3678, rel=0.02)  # of 60 terms of unit variance: (2.001 + 0.848) / √60
    assert np.mean(found) == pytest.approx(0.8, abs=0.06)


def test_origins_of_an_instant_are_one_term_and_the_mean_is_kept() -> None:
    generator = np.random.default_rng(1)
    gains, scales = generator.normal(size=(40, 3)), generator.random((40, 3)) + 1
    gains[generator.random((40, 3)) < 0.2] = np.nan
    scales[7] = np.nan
    starts = generator.integers(0, 12, 40)
    ends = starts + 5 + generator.integers(0, 2, 40)
    terms = build_loss_series(gains, scales, starts, ends)
    used = np.isfinite(gains) & np.isfinite(scales)
    assert terms.mean_gain == pytest.approx(gains[used].mean()) and terms.counts.sum() == used.sum()
    for i, start in enumerate(terms.starts):
        of_instant = (starts == start) & used.any(axis=1)
        assert terms.gains[i] == pytest.approx(np.where(used, gains, 0)[of_instant].sum(axis=0))
        assert terms.ends[i] == ends[of_instant].max()
    sums, counts = terms.gains.sum(axis=1), terms.counts.sum(axis=1)
    expected = [(s - terms.mean_gain * c) / (counts.sum() / len(counts)) for s, c in zip(sums, counts)]
    assert terms.deviations == pytest.approx(expected) and abs(terms.deviations.sum()) < 1e-9


horizons = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), min_size=1, max_size=9, unique_by=lambda t: t[0])


@given(horizons)
def test_overlaps_are_counted_in_real_time(drawn: list[tuple[int, int]]) -> None:
    starts, lengths = np.array(sorted(drawn)).T
    ends = starts + lengths
    slow = [sum(starts[j] < ends[i] for j in range(i + 1, len(starts))) for i in range(len(starts))]
    assert count_overlaps(starts, ends) == max(slow)

    def most_disjoint(i: int, free_from: int) -> int:
        if i == len(starts):
            return 0
        without = most_disjoint(i + 1, free_from)
        return max(without, 1 + most_disjoint(i + 1, ends[i])) if starts[i] >= free_from else without

    assert count_disjoint(starts, ends) == most_disjoint(0, 0)


def test_lags_are_the_overlap_and_what_autocorrelation_shows() -> None:
    generator = np.random.default_rng(0)
    white = generator.standard_t(4, 300)
    assert choose_lags(white - white.mean(), 0) == 0
    assert choose_lags(white - white.mean(), 7) == 7
    slow = lfilter([1], [1, -0.7], white)
    assert 2 <= choose_lags(slow - slow.mean(), 0) <= 75
    for n in range(1, 12):
        assert 0 <= choose_lags(white[:n], 100) <= max(n - 2, 0)
        assert choose_lags(np.zeros(n), 3) <= 3


def test_independent_origins_are_all_of_them_where_nothing_overlaps() -> None:
    white = make_terms(np.random.default_rng(0).standard_t(4, 250))
    assert count_independent(white, choose_lags(white.deviations, 0)) == 250


def test_overlapping_origins_are_worth_fewer() -> None:
    found = [
        count_independent(make_terms(make_moving_sums(600, 11, np.random.default_rng(seed)), 11), 11)
        for seed in range(20)
    ]
    assert max(found) <= 50  # 600 origins hold 50 horizons
    assert np.median(found) > 40  # and moving sums tell as much as those


def test_slow_series_are_worth_fewer_though_nothing_overlaps() -> None:
    """AR(1) with ρ = 0.5: variance / long-run variance is (1 − ρ) / (1 + ρ), a third."""
    found = []
    for seed in range(20):
        terms = make_terms(lfilter([1], [1, -0.5], np.random.default_rng(seed).normal(size=900)))
        found.append(count_independent(terms, choose_lags(terms.deviations, 0)))
    assert np.mean(found) == pytest.approx(300, rel=0.15)


def test_the_interval_is_that_of_resampled_rows() -> None:
    generator = np.random.default_rng(0)
    baseline = generator.random((60, 3)) + 0.5
    gains = 0.1 * baseline + generator.normal(size=(60, 3)) * 0.1
    starts = np.arange(60)
    terms = build_loss_series(gains, baseline, starts, starts + 4)
    low, high = bootstrap_skill(terms, 3, 0.9)
    block = choose_block(terms.deviations, 3)
    assert block >= 10
    drawn = CircularBlockBootstrap(block, gains, baseline, seed=resampling.SEED)
    skills = np.array(
        [[1 - (r - g).mean() / r.mean(), *(1 - (r - g).mean(0) / r.mean(0))] for (g, r), _ in drawn.bootstrap(2000)]
    )
    degrees = min(count_degrees(60, 3), 1.5 * 60 / block - 1)
    tail = stats.norm.cdf(-stats.t.ppf(0.95, degrees) / np.sqrt(1 - block / 60))
    assert low[0] == pytest.approx(np.quantile(skills[:, 0], tail))
    assert high[0] == pytest.approx(np.quantile(skills[:, 0], 1 - tail))
    estimate, spread = gains.sum(axis=0) / baseline.sum(axis=0), skills[:, 1:].std(axis=0)
    largest = np.quantile(np.abs((skills[:, 1:] - estimate) / spread).max(axis=1), 0.9)
    reach = largest * spread * stats.norm.ppf(tail) / stats.norm.ppf(0.05)
    assert low[1:] == pytest.approx(estimate - reach) and high[1:] == pytest.approx(estimate + reach)


def test_the_interval_does_not_depend_on_how_much_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    terms = make_terms(np.random.default_rng(0).normal(size=50))
    at_once = bootstrap_skill(terms, 0, 0.95)
    monkeypatch.setattr(resampling, "ENTRIES_AT_ONCE", 50 * 700)
    np.testing.assert_array_equal(at_once, bootstrap_skill(terms, 0, 0.95))


def measure_coverage(kind: str, n_seeds: int) -> float:
    """How often the interval of 95 % holds the mean, 1."""
    held = 0
    for seed in range(n_seeds):
        generator = np.random.default_rng(seed)
        if kind == "autoregressive":
            terms = make_terms(1 + lfilter([1], [1, -0.4], generator.standard_t(4, 400))[100:])
        else:
            terms = make_terms(1 + make_moving_sums(300, 11, generator), 11)
        low, high = bootstrap_skill(
            terms, choose_lags(terms.deviations, count_overlaps(terms.starts, terms.ends)), 0.95
        )
        held += low[0] <= 1 <= high[0]
    return held / n_seeds


@pytest.mark.parametrize("kind", ["autoregressive", "moving sums"])
def test_the_interval_holds_the_mean_about_as_often_as_it_says(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "N_BOOTSTRAP", 300)
    assert 0.86 <= measure_coverage(kind, 100) <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["autoregressive", "moving sums"])
def test_the_interval_holds_the_mean_as_often_as_it_says(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "N_BOOTSTRAP", 1000)
    assert 0.92 <= measure_coverage(kind, 1000) <= 0.97


def test_symbols_that_move_as_one_tell_no_more_than_one() -> None:
    generator = np.random.default_rng(0)
    baseline = generator.random((80, 4)) + 0.5
    gains = generator.normal(size=(80, 4))
    starts = np.arange(80) * 2
    one = build_loss_series(gains, baseline, starts, starts + 8)
    many = build_loss_series(
        np.tile(gains, (10, 1)), np.tile(baseline, (10, 1)), np.tile(starts, 10), np.tile(starts + 8, 10)
    )
    lags = choose_lags(one.deviations, count_overlaps(one.starts, one.ends))
    assert lags == choose_lags(many.deviations, count_overlaps(many.starts, many.ends)) >= 3
    assert compute_p_value(many, lags) == pytest.approx(compute_p_value(one, lags))
    assert count_independent(many, lags) == pytest.approx(count_independent(one, lags))
    np.testing.assert_allclose(bootstrap_skill(many, lags, 0.95), bootstrap_skill(one, lags, 0.95))


def test_symbols_at_shifted_instants_tell_no_more_than_one_either() -> None:
    """The same series five times, each an instant later: five terms for one, all of which overlap."""
    widths = []
    for shifts in ([0], range(5)):
        series = np.random.default_rng(0).normal(size=(200, 1))
        gains = np.concatenate([series for _ in shifts])
        starts = np.concatenate([np.arange(200) * 5 + shift for shift in shifts])
        terms = build_loss_series(gains, np.ones_like(gains), starts, starts + 5)
        overlaps = count_overlaps(terms.starts, terms.ends)
        assert overlaps == len(shifts) - 1
        low, high = bootstrap_skill(terms, choose_lags(terms.deviations, overlaps), 0.95)
        widths.append(high[0] - low[0])
        assert count_independent(terms, overlaps) <= 200
    assert widths[1] > 0.85 * widths[0]


@pytest.mark.parametrize("n", [0, 1])
def test_no_series_no_sureness(n: int) -> None:
    terms = make_terms(np.ones(n))
    assert np.isnan(compute_p_value(terms, 0)) and np.isnan(bootstrap_skill(terms, 0, 0.95)).all()
    assert count_independent(terms, 0) == n


def test_degenerate_series() -> None:
    assert compute_p_value(make_terms(np.zeros(5)), 0) == 1
    constant = make_terms(np.full(50, 0.1))
    assert compute_p_value(constant, 3) == 0 and count_independent(constant, 3) == 50
    np.testing.assert_allclose(bootstrap_skill(constant, 3, 0.95), 0.1)
    two = make_terms(np.array([1.0, 2.0]), overlaps=9)
    assert 0 < compute_p_value(two, 0) < 1 and np.isfinite(bootstrap_skill(two, 0, 0.95)).all()
    assert count_independent(two, 0) == 1
    nothing = build_loss_series(np.full((4, 2), np.nan), np.ones((4, 2)), np.arange(4), np.arange(4) + 1)
    assert len(nothing) == 0 and np.isnan(compute_p_value(nothing, 0))


def test_a_time_without_data_and_a_scale_of_zero_have_no_skill() -> None:
    gains = np.random.default_rng(0).normal(size=(30, 3))
    gains[:, 1] = np.nan
    scales = np.ones((30, 3))
    scales[:, 2] = 0
    starts = np.arange(30)
    low, high = bootstrap_skill(build_loss_series(gains, scales, starts, starts + 1), 0, 0.95)
    assert np.isfinite([low, high])[:, :2].all() and np.isnan([low, high])[:, 2:].all()
