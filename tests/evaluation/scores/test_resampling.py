"""Intervals by resampling: simultaneous bands, shares, correlations, and the dependence of values of one origin."""

import numpy as np
import pytest
from scipy import stats

from kronos.evaluation.scores import resampling
from kronos.evaluation.scores.pit import find_pit_band, spread_pit
from kronos.evaluation.scores.resampling import (
    bootstrap_correlation,
    bootstrap_ratio,
    bootstrap_share,
    bootstrap_skill,
    measure_design_effect,
)
from kronos.evaluation.scores.uncertainty import build_loss_series

N, H = 120, 6
STARTS = np.arange(N)
TIMES = (STARTS, STARTS + 1, 0.95)
TIMES_OF_TEN = (np.arange(10), np.arange(10) + 1, 0.95)


def test_the_band_contains_all_steps_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals at single steps miss 0 somewhere in a quarter of such series; the band in about one of twenty."""
    monkeypatch.setattr(resampling, "N_BOOTSTRAP", 400)
    pointwise, together = 0, 0
    for seed in range(200):
        gains = np.random.default_rng(seed).standard_normal((N, H))
        terms = build_loss_series(gains, np.ones_like(gains), STARTS, STARTS + 1)
        low, high = bootstrap_skill(terms, 0, 0.95)
        together += bool(((low[1:] <= 0) & (high[1:] >= 0)).all())
        ends = stats.t.interval(0.95, N - 1, gains.mean(axis=0), stats.sem(gains, axis=0))
        pointwise += bool(((ends[0] <= 0) & (ends[1] >= 0)).all())
    assert pointwise < 160 < 178 <= together <= 199


def test_a_share_has_the_interval_of_a_proportion() -> None:
    hits = (np.random.default_rng(0).random((2000, 1)) < 0.8).astype(float)
    starts = np.arange(2000)
    low, high = bootstrap_ratio(hits, np.ones_like(hits), starts, starts + 1, 0.95)
    half_width = 1.96 * np.sqrt(0.8 * 0.2 / 2000)
    assert low == pytest.approx(hits.mean() - half_width, abs=0.004)
    assert high == pytest.approx(hits.mean() + half_width, abs=0.004)


def test_a_share_of_all_or_of_none_is_not_certain() -> None:
    """Resamples would give 100% to 100%, however few hits there are."""
    hits = np.ones((10, H))
    low, high = bootstrap_share(hits, np.arange(10), np.arange(10) + 1, 0.95)
    assert (low, high) == (pytest.approx(0.025**0.1), 1.0)
    assert stats.binomtest(10, 10).proportion_ci(0.95).low == pytest.approx(low)
    assert bootstrap_share(0 * hits, np.arange(10), np.arange(10) + 1, 0.95) == (0.0, pytest.approx(1 - low))
    overlapping = bootstrap_share(hits, np.arange(10), np.arange(10) + 5, 0.95)
    assert overlapping == (pytest.approx(0.025**0.5), 1.0)  # two horizons without overlap
    hits[0] = np.nan
    assert bootstrap_share(hits, np.arange(10), np.arange(10) + 1, 0.95)[0] == pytest.approx(0.025 ** (1 / 9))
    hits[1, 0] = 0
    assert bootstrap_share(hits, *TIMES_OF_TEN)[0] == bootstrap_ratio(hits, hits**0, *TIMES_OF_TEN)[0]
    assert np.isnan(bootstrap_share(hits * np.nan, *TIMES_OF_TEN)).all()


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_terms_have_the_interval_of_students_t_or_a_wider_one(n: int) -> None:
    """Resamples of three terms lie between the smallest and the largest one."""
    gains = np.random.default_rng(n).standard_normal((n, 1))
    terms = build_loss_series(gains, np.ones_like(gains), np.arange(n), np.arange(n) + 1)
    low, high = bootstrap_skill(terms, 0, 0.95)
    ends = stats.t.interval(0.95, n - 1, gains.mean(), stats.sem(gains[:, 0]))
    assert low[0] <= ends[0] + 0.1 and high[0] >= ends[1] - 0.1
    with np.errstate(all="raise"):
        extreme = np.array(bootstrap_skill(terms, 0, 0.9999))
    assert np.isfinite(extreme).all() and extreme[0, 0] < low[0]


def test_a_share_of_few_hits_stays_between_0_and_1() -> None:
    hits = np.array([[0.0], [1.0], [1.0]])
    low, high = bootstrap_share(hits, np.arange(3), np.arange(3) + 1, 0.95)
    assert (low, high) == (0.0, 1.0)
    assert bootstrap_ratio(hits, hits**0, np.arange(3), np.arange(3) + 1, 0.95)[1] > 1  # of the bare t


def test_cases_that_do_not_count_are_left_out() -> None:
    hits = (np.random.default_rng(0).random((N, H)) < 0.5).astype(float)
    missing = hits.copy()
    missing[::2] = np.nan
    expected = bootstrap_ratio(hits[1::2], np.ones_like(hits[1::2]), STARTS[1::2], STARTS[1::2] + 1, 0.95)
    assert bootstrap_ratio(missing, np.where(np.isnan(missing), np.nan, 1.0), *TIMES) == expected
    assert np.isnan(bootstrap_ratio(hits[:1], hits[:1], STARTS[:1], STARTS[:1] + 1, 0.95)).all()


def test_a_correlation_has_the_interval_of_fisher() -> None:
    first, noise = np.random.default_rng(1).standard_normal((2, 1500, 1))
    second, starts = 0.5 * first + noise, np.arange(1500)
    low, high = bootstrap_correlation(first, second, starts, starts + 1, 0.95)
    found = float(np.corrcoef(first[:, 0], second[:, 0])[0, 1])
    expected = np.tanh(np.arctanh(found) + np.array([-1.96, 1.96]) / np.sqrt(1497))
    assert (low, high) == pytest.approx(tuple(expected), abs=0.01)


def test_values_of_one_origin_that_move_as_one_count_once() -> None:
    generator = np.random.default_rng(0)
    classes = generator.integers(4, size=N)
    together = np.eye(4)[classes] * H
    apart = np.eye(4)[generator.integers(4, size=(N, H))].sum(axis=1)
    assert measure_design_effect(together, STARTS, STARTS + 1) == pytest.approx(H, rel=0.2)
    assert measure_design_effect(apart, STARTS, STARTS + 1) == pytest.approx(1, abs=0.4)


def test_the_pit_band_contains_the_counts_of_calibrated_forecasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "N_BOOTSTRAP", 200)
    inside = narrow_inside = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        actual = generator.standard_normal((N, H)).cumsum(axis=1)
        paths = generator.standard_normal((N, 39, H)).cumsum(axis=2)
        for scale in (1.0, 0.5):
            spread = spread_pit(scale * paths, actual)
            low, high = find_pit_band(spread, *TIMES)
            counts = spread.sum(axis=0)
            holds = bool(((low <= counts) & (counts <= high)).all())
            inside, narrow_inside = inside + (holds and scale == 1), narrow_inside + (holds and scale < 1)
    assert inside >= 53 and narrow_inside <= 6
