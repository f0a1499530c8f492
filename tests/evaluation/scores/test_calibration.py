"""Bands calibrated on some draws and measured on others, where the distribution of the actual values is known."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kronos.evaluation.records import LEVELS, Note
from kronos.evaluation.results import CalibrationResult
from kronos.evaluation.scores.calibration import (
    SMALLEST_VOLATILITY,
    Calibration,
    fit_calibration,
    measure_calibration,
    measure_volatility,
)
from kronos.evaluation.scores.figures import compute_bands

N_FIT, N_FRESH, N_PATHS, N_STEPS = 1000, 4000, 60, 4


def draw(n: int, seed: int, spread: float, scale: np.ndarray | float = 1.0, shift: float = 0.0):
    """Random walks of volatility scale, and paths of spread × that: paths (n, P, H), actual (n, H), scale (n,)."""
    generator, scale = np.random.default_rng(seed), np.broadcast_to(scale, n)
    actual = scale[:, None] * generator.normal(size=(n, N_STEPS)).cumsum(axis=-1)
    paths = generator.normal(shift, spread, (n, N_PATHS, N_STEPS)).cumsum(axis=-1) * scale[:, None, None]
    return paths, actual, scale


def assert_nominal(coverage: dict, n_fit: int = N_FIT, n_fresh: int = N_FRESH) -> None:
    """At each step within 4 standard errors: those of the fresh draws, and those of the ones calibrated on."""
    for level in LEVELS:
        share = level / 100
        error = np.sqrt(share * (1 - share) * (1 / n_fit + 1 / n_fresh))
        np.testing.assert_allclose(coverage[str(level)].by_horizon, share, rtol=0, atol=4 * error)


def same(figures, others) -> bool:
    return all(figures[str(level)].overall == pytest.approx(others[str(level)].overall, rel=0.08) for level in LEVELS)


@pytest.mark.parametrize(("spread", "shift"), [(0.5, 0.0), (2.0, 0.0), (0.7, 0.3)])
def test_bands_too_narrow_too_wide_or_shifted_become_nominal(spread: float, shift: float) -> None:
    calibration = fit_calibration(*draw(N_FIT, 0, spread, shift=shift))
    result = measure_calibration(calibration, *draw(N_FRESH, 1, spread, shift=shift))
    assert_nominal(result.after.coverage)
    with pytest.raises(AssertionError):
        assert_nominal(result.before.coverage)
    wider = [result.after.width[str(level)].overall > result.before.width[str(level)].overall for level in LEVELS]
    assert wider == [spread < 1] * 3


def test_calibrated_bands_hardly_change() -> None:
    result = measure_calibration(fit_calibration(*draw(N_FIT, 0, 1.0)), *draw(N_FRESH, 1, 1.0))
    assert_nominal(result.before.coverage, n_fit=N_FRESH)
    assert_nominal(result.after.coverage)
    assert same(result.before.width, result.after.width)


def test_symbols_of_any_volatility_are_calibrated_together() -> None:
    def scale(n):
        return np.where(np.arange(n) % 2, 0.001, 0.1)

    calibration = fit_calibration(*draw(N_FIT, 0, 0.5, scale(N_FIT)))
    paths, actual, scales = draw(N_FRESH, 1, 0.5, scale(N_FRESH))
    for calm in (0, 1):
        own = slice(calm, None, 2)
        assert_nominal(measure_calibration(calibration, paths[own], actual[own], scales[own]).after.coverage)


def test_the_correction_is_the_order_statistic_of_the_scores() -> None:
    """Of 20 scores the 11th, 17th and 19th smallest, written out; without the + 1 they were the ones before."""
    paths, actual, scale = draw(20, 0, 0.5, np.linspace(0.5, 2, 20))
    found = fit_calibration(paths, actual, scale)
    assert found.n_origins == 20 and found.n_pooled == (1, 1, 1) and found.notes() == []
    for corrections, (low, high), rank in zip(found.corrections, compute_bands(paths).values(), (11, 17, 19)):
        for step, correction in enumerate(corrections):
            missed = np.maximum(low - actual, actual - high)[:, step]
            assert correction == pytest.approx(sorted(missed / scale / np.sqrt(step + 1))[rank - 1])


@pytest.mark.parametrize(("n", "pooled"), [(9, (1, 1, 1)), (8, (1, 1, 2)), (3, (1, 2, 3)), (1, (1, 4, 4))])
def test_with_too_few_origins_neighbouring_steps_are_taken_together_and_it_is_said(n: int, pooled: tuple) -> None:
    calibration = fit_calibration(*draw(n, 0, 0.5))
    assert calibration.n_pooled == pooled
    shared = [(level, k) for level, k in zip(LEVELS, pooled) if k > 1]
    assert calibration.notes() == [
        Note(code="few_calibration_origins", values={"n_origins": n, "level": level, "n_steps": k})
        for level, k in shared
    ]


def test_pools_are_of_the_nearest_steps_and_too_small_ones_give_the_largest_score() -> None:
    paths, actual = np.zeros((1, 2, 4)), np.array([[1.0, 2.0, 4.0, 8.0]])
    corrections = fit_calibration(paths, actual, np.ones(1)).corrections
    scores = actual[0] / np.sqrt([1, 2, 3, 4])
    assert corrections[0] == pytest.approx(scores)
    assert corrections[2] == pytest.approx([scores.max()] * 4)
    actual = np.repeat(actual, 3, axis=0)  # three steps at a time: 9 scores, of which the largest
    corrections = fit_calibration(np.zeros((3, 2, 4)), actual, np.ones(3)).corrections
    assert corrections[2] == pytest.approx(scores[[2, 2, 3, 3]])


def test_few_paths_hold_the_nominal_share_as_they_are() -> None:
    """19 paths: linear interpolation between them would hold 81 % in the 90 % band."""
    generator = np.random.default_rng(0)
    paths, actual = generator.normal(size=(20_000, 19, 1)), generator.normal(size=(20_000, 1))
    held = [((low <= actual) & (actual <= high)).mean() for low, high in compute_bands(paths).values()]
    np.testing.assert_allclose(held, [0.5, 0.8, 0.9], atol=0.015)


numbers = st.floats(-1, 1)
positive = st.floats(1e-5, 1)


@given(st.data(), st.integers(1, 6), st.integers(1, 5), st.integers(1, 3))
def test_bands_are_finite_ordered_and_nested(data: st.DataObject, n: int, n_paths: int, n_steps: int) -> None:
    shapes = [((n, n_paths, n_steps), numbers), ((n, n_steps), numbers), ((n,), positive)]
    fitted, fresh = ([data.draw(arrays(float, shape, elements=kind)) for shape, kind in shapes] for _ in range(2))
    bands = fit_calibration(*fitted).apply(fresh[0], fresh[2])
    assert tuple(bands) == LEVELS
    lows, highs = (np.stack(ends) for ends in zip(*bands.values()))
    assert lows.shape == (3, n, n_steps) and np.isfinite([lows, highs]).all()
    assert (lows <= highs).all()
    assert (np.diff(lows, axis=0) <= 0).all() and (np.diff(highs, axis=0) >= 0).all()


def test_a_band_of_which_nothing_is_left_is_the_middle_of_the_paths() -> None:
    paths = np.tile([[-2.0], [0.0], [4.0]], (20, 1, 1)).reshape(20, 3, 1)
    bands = fit_calibration(paths, np.full((20, 1), 1.0), np.ones(20)).apply(paths, np.full(20, 100.0))
    assert [float(end[0, 0]) for end in bands[90]] == [1.0, 1.0]


def test_the_volatility_is_that_of_log_returns_and_never_nothing() -> None:
    closes = np.exp(np.cumsum([[0.0, 0.1, -0.1, 0.1], [0.0, 0.0, 0.0, 0.0]], axis=1))
    np.testing.assert_allclose(measure_volatility(closes), [0.1, SMALLEST_VOLATILITY])


def test_calibration_and_result_survive_json() -> None:
    calibration = fit_calibration(*draw(20, 0, 0.5))
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json()))) == calibration
    result = measure_calibration(calibration, *draw(30, 1, 0.5))
    assert result.n_origins == 20
    written = result.model_dump_json()  # NaN, where no interval was computed, does not equal itself
    assert CalibrationResult.model_validate_json(written).model_dump_json() == written


@pytest.mark.parametrize(
    ("paths", "actual", "scale", "said"),
    [
        (np.zeros((0, 3, 2)), np.zeros((0, 2)), np.ones(0), "no origins"),
        (np.zeros((4, 3, 2)), np.zeros((4, 3)), np.ones(4), r"actual must be finite and \(4, 2\), got \(4, 3\)"),
        (np.zeros((4, 3, 2)), np.full((4, 2), np.nan), np.ones(4), "actual must be finite"),
        (np.full((4, 3, 2), np.inf), np.zeros((4, 2)), np.ones(4), "paths must be finite"),
        (np.zeros((4, 3, 2)), np.zeros((4, 2)), np.zeros(4), "scale must be finite, above 0"),
        (np.zeros((4, 3, 2)), np.zeros((4, 2)), np.ones(3), r"and \(4,\), got \(3,\)"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(paths, actual, scale, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        fit_calibration(paths, actual, scale)


def test_another_horizon_is_refused() -> None:
    paths, actual, scale = draw(20, 0, 0.5)
    with pytest.raises(ValueError, match="calibrated for a horizon of 4, got paths of 3"):
        fit_calibration(paths, actual, scale).apply(paths[..., :3], scale)


@pytest.mark.slow
@given(
    arrays(float, (2, 25, 3), elements=st.integers(-3, 3).map(lambda value: value / 100)),  # many paths agree
    arrays(float, (3, 3), elements=st.floats(-3, 3)),
)
def test_calibrated_quantiles_end_bands_and_never_cross(paths: np.ndarray, corrections: np.ndarray) -> None:
    calibration = Calibration(20, tuple(map(tuple, corrections.tolist())), (1, 1, 1))
    scale = np.array([0.01, 0.02])
    levels = np.unique(np.r_[np.linspace(0, 1, 41), 0.999])
    quantiles = np.stack([calibration.quantile(paths, scale, q) for q in levels])
    assert (np.diff(quantiles, axis=0) >= -1e-12).all()
    for level, band in calibration.apply(paths, scale).items():
        for q, end in zip((0.5 - level / 200, 0.5 + level / 200), band):
            np.testing.assert_allclose(calibration.quantile(paths, scale, round(q, 10)), end, atol=1e-12)


def test_without_corrections_quantiles_are_those_of_the_paths() -> None:
    paths, _, scale = draw(5, 0, 1.0)
    calibration = Calibration(20, ((0.0,) * N_STEPS,) * 3, (1, 1, 1))
    for q in (0.01, 0.05, 0.33, 0.5, 0.8, 1.0):
        expected = np.quantile(paths, q, axis=1, method="weibull")
        np.testing.assert_allclose(calibration.quantile(paths, scale, q), expected, atol=1e-12)
