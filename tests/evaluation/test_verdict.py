"""The verdict, on losses whose true skill is known."""

import numpy as np
import pytest

from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.results import Comparison
from kronos.evaluation.scores import resampling
from kronos.evaluation.scores.metrics import compute_crps
from kronos.evaluation.verdict import MIN_INDEPENDENT, CaseTimes, compare_losses, decide

Array = np.ndarray
SETTINGS = EvaluationConfig()


def draw_losses(n: int, horizon: int, stride: int, seed: int, noise: float = 0.7) -> tuple[Array, Array, Array, Array]:
    """Absolute errors (n, horizon) of two forecasts as good as each other, with starts and ends.

    Of a walk with fat-tailed steps of changing size; either forecast is wrong by a walk of its own, so that the
    errors of overlapping horizons go together.
    """
    generator = np.random.default_rng(seed)
    length = n * stride + horizon
    volatility = np.exp(np.convolve(0.15 * generator.normal(size=length + 99), 0.97 ** np.arange(100), "valid"))
    steps = generator.standard_t(4, (3, length)) * volatility * [[1], [noise], [noise]]
    windows = np.lib.stride_tricks.sliding_window_view(steps, horizon, axis=1)[:, ::stride][:, :n]
    actual, one, other = windows.cumsum(axis=-1)
    starts = np.arange(n) * stride
    return np.abs(actual - one), np.abs(actual - other), starts, starts + horizon


def compare_errors(own: Array, baseline: Array, starts: Array, ends: Array, name: str = "pretrained") -> Comparison:
    return compare_losses("mae", name, own, baseline, CaseTimes(starts, ends), SETTINGS)


@pytest.mark.parametrize(
    "skill, low, high, p_value, n_independent, outcome",
    [
        (0.10, 0.02, 0.18, 0.01, 50, "helped"),
        (-0.10, -0.18, -0.02, 0.01, 50, "hurt"),
        (0.10, 0.02, 0.18, 0.01, 9.9, "too little data to tell"),  # however significant
        (0.10, 0.02, 0.18, 0.06, 50, "too little data to tell"),  # the test does not agree
        (0.10, -0.01, 0.21, 0.04, 50, "too little data to tell"),  # the interval does not
        (0.00, -0.01, 0.01, 0.40, 50, "no difference"),
        (0.01, 0.002, 0.018, 0.06, 50, "no difference"),
        (0.015, -0.001, 0.03, 0.06, 50, "too little data to tell"),  # narrow, and yet 3 % may be hidden
        (0.00, -0.03, 0.03, 1.00, 50, "too little data to tell"),
        (0.01, 0.005, 0.015, 0.001, 50, "helped"),  # little and sure
        (np.nan, np.nan, np.nan, np.nan, 0, "too little data to tell"),
        (np.nan, np.nan, np.nan, 0.001, 50, "hurt"),  # than a baseline without errors
        (np.nan, np.nan, np.nan, 0.4, 50, "too little data to tell"),
    ],
)
def test_the_rule(skill: float, low: float, high: float, p_value: float, n_independent: float, outcome: str) -> None:
    assert decide(skill, low, high, p_value, n_independent, SETTINGS) == outcome


def test_figures_are_of_what_both_have() -> None:
    own, baseline, starts, ends = draw_losses(60, 4, 4, seed=0)
    own[3, 1], baseline[5], own[9] = np.nan, np.nan, np.nan
    found = compare_errors(own, baseline, starts, ends)
    used = np.isfinite(own) & np.isfinite(baseline)
    assert found.n_origins == 58 and found.n_independent == 58
    assert found.own_figure == pytest.approx(own[used].mean())
    assert found.baseline_figure == pytest.approx(baseline[used].mean())
    assert found.skill == pytest.approx(1 - own[used].mean() / baseline[used].mean())
    for h, skill in enumerate(found.skill_by_horizon):
        assert skill == pytest.approx(1 - own[used[:, h], h].mean() / baseline[used[:, h], h].mean())
        assert found.low_by_horizon[h] < skill < found.high_by_horizon[h]
    assert found.low < found.skill < found.high and len(found.low_by_horizon) == 4


def test_the_same_losses_have_the_same_verdict_in_any_order() -> None:
    drawn = draw_losses(80, 6, 2, seed=1)
    order = np.random.default_rng(0).permutation(80)
    one, other = compare_errors(*drawn), compare_errors(*(each[order] for each in drawn))
    means = {
        name: pytest.approx(getattr(other, name)) for name in ("own_figure", "baseline_figure")
    }  # but for rounding
    assert one.model_dump() == other.model_dump() | means


def test_run_and_baseline_change_places() -> None:
    own, baseline, starts, ends = draw_losses(300, 6, 6, seed=1, noise=0.2)
    better = compare_errors(0.8 * own, baseline, starts, ends)
    worse = compare_errors(baseline, 0.8 * own, starts, ends)
    assert (better.outcome, worse.outcome) == ("helped", "hurt")
    assert better.p_value == pytest.approx(worse.p_value) and better.low > 0 > worse.high


def test_direction_is_better_higher_in_points() -> None:
    generator = np.random.default_rng(0)
    own, baseline = (generator.random((800, 3)) < 0.65) * 1.0, (generator.random((800, 3)) < 0.5) * 1.0
    baseline[generator.random((800, 3)) < 0.1] = np.nan
    starts = np.arange(800)
    found = compare_losses("direction", "last_close", own, baseline, CaseTimes(starts, starts + 1), SETTINGS)
    used = np.isfinite(baseline)
    assert found.outcome == "helped" and found.skill == pytest.approx(own[used].mean() - baseline[used].mean())


def test_the_interval_of_few_origins_is_possible() -> None:
    """Student's t of two terms reaches beyond any difference of shares, and beyond an error of 0."""
    own, other = np.array([[1.0], [1.0], [0.0]]), np.array([[0.0], [0.5], [0.5]])
    starts = np.arange(3)
    found = compare_losses("direction", "ewma", own, other, CaseTimes(starts, starts + 1), SETTINGS)
    assert (found.low, found.high) == (-1.0, 1.0)
    errors = compare_errors(1 - 0.9 * own, 1 - 0.1 * other, starts, starts + 1)
    assert errors.high == 1.0 and max(errors.high_by_horizon) > 1.0


def test_symbols_that_move_as_one_tell_no_more_than_one() -> None:
    drawn = draw_losses(90, 8, 4, seed=0)
    one, ten = compare_errors(*drawn), compare_errors(*(np.concatenate([each] * 10) for each in drawn))
    assert ten.n_origins == 900 and ten.n_independent == pytest.approx(one.n_independent) and one.n_independent <= 45
    assert ten.high - ten.low == pytest.approx(one.high - one.low) and ten.p_value == pytest.approx(one.p_value)
    assert ten.outcome == one.outcome


@pytest.mark.parametrize("n", [1, 2, 400])
def test_identical_forecasts_do_not_differ_however_few(n: int) -> None:
    own, _, starts, ends = draw_losses(n, 4, 4, seed=0)
    found = compare_errors(own, own, starts, ends)
    assert found.outcome == "no difference" and (found.skill, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert set(found.skill_by_horizon) == {0.0} and found.identical


def test_degenerate_losses() -> None:
    own, baseline, starts, ends = draw_losses(40, 4, 4, seed=0)
    nothing = compare_errors(own * np.nan, baseline, starts, ends)
    assert nothing.outcome == "too little data to tell" and nothing.n_origins == 0 and np.isnan(nothing.skill)
    for n in (1, 2):
        few = compare_errors(own[:n], baseline[:n], starts[:n], ends[:n])
        assert few.outcome == "too little data to tell" and np.isfinite(few.skill)
    perfect = compare_errors(own, 0 * baseline, starts, ends)
    assert perfect.outcome == "hurt" and np.isnan(perfect.skill)
    constant = compare_errors(np.full((40, 4), 0.9), np.full((40, 4), 1.0), starts, ends)
    assert constant.outcome == "helped" and constant.p_value == 0
    assert (constant.low, constant.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert not any(each.identical for each in (nothing, few, perfect, constant))


def test_ten_horizons_are_too_few_unless_they_are_independent() -> None:
    own, baseline, starts, ends = draw_losses(MIN_INDEPENDENT - 1, 4, 4, seed=0)
    assert compare_errors(0.01 * own, baseline, starts, ends).outcome == "too little data to tell"
    own, baseline, starts, ends = draw_losses(4 * (MIN_INDEPENDENT - 1), 4, 1, seed=0)
    assert compare_errors(0.01 * own, baseline, starts, ends).outcome == "too little data to tell"


def count_findings(n: int, horizon: int, stride: int, seeds: range) -> tuple[float, float]:
    """The shares of comparisons of equals in which a difference is found, and in which the test alone finds one."""
    found = [compare_errors(*draw_losses(n, horizon, stride, seed)) for seed in seeds]
    return (
        float(np.mean([each.outcome in ("helped", "hurt") for each in found])),
        float(np.mean([each.p_value < 0.05 for each in found])),
    )


def test_equals_are_rarely_found_to_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "N_BOOTSTRAP", 200)
    found, rejected = count_findings(132, 12, 3, range(100))
    assert found <= rejected <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("n, horizon, stride", [(20, 8, 8), (132, 8, 8), (120, 12, 1), (300, 12, 3), (1000, 24, 1)])
def test_equals_are_found_to_differ_as_seldom_as_it_says(
    n: int, horizon: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.05 within three standard deviations of a share of 600; below it too, where few horizons leave the test cautious."""
    monkeypatch.setattr(resampling, "N_BOOTSTRAP", 500)
    found, rejected = count_findings(n, horizon, stride, range(600))
    deviation = (0.05 * 0.95 / 600) ** 0.5
    assert found <= rejected <= 0.05 + 3 * deviation
    assert rejected >= (0.05 - 3 * deviation if n * stride >= 20 * horizon else 0.01)


@pytest.mark.parametrize("n, horizon, stride", [(400, 8, 8), (1600, 8, 2)])
def test_a_tenth_is_found_with_enough_origins(n: int, horizon: int, stride: int) -> None:
    found = []
    for seed in range(12):
        own, baseline, starts, ends = draw_losses(n, horizon, stride, seed, noise=0.2)
        found.append(compare_errors(0.9 * own, baseline, starts, ends))
    assert sum(each.outcome == "helped" for each in found) >= 10 and "hurt" not in {each.outcome for each in found}
    assert np.mean([each.skill for each in found]) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("n, least", [(132, 7), (400, 9)])
def test_a_random_walk_has_no_skill(n: int, least: int) -> None:
    """Two forecasters who both know how far a walk goes, by their sampled paths."""
    outcomes, settings = [], EvaluationConfig(margin=0.05)
    for seed in range(10):
        generator = np.random.default_rng(seed)
        actual = (generator.standard_t(4, (n, 12)) / 2**0.5).cumsum(axis=1)
        own = generator.normal(size=(n, 50, 12)).cumsum(axis=2)
        baseline = (generator.standard_t(4, (n, 50, 12)) / 2**0.5).cumsum(axis=2)
        starts = np.arange(n) * 12
        losses = compute_crps(own, actual), compute_crps(baseline, actual)
        outcomes.append(compare_losses("crps", "volatility", *losses, CaseTimes(starts, starts + 12), settings).outcome)
    assert outcomes.count("no difference") >= least and outcomes.count("helped") <= 1
