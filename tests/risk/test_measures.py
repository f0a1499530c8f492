"""Measures of risk against their definitions, and against a normal distribution, whose measures are known."""

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from kronos.candles import Array
from kronos.errors import ConfigError, DataError
from kronos.risk.measures import (
    compute_drawdowns,
    compute_expected_shortfall,
    compute_losses,
    compute_touch_probability,
    compute_value_at_risk,
)


def to_paths(closes: list[list[float]], reach: float = 0.0) -> Array:
    """Return paths (P, H, 6) of some closes, whose highs and lows are at a distance from them."""
    close = np.array(closes, float)
    volume = np.ones_like(close)
    return np.stack([close, close + reach, close - reach, close, volume, volume], axis=-1)


def test_a_normal_distribution() -> None:
    losses = norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    for confidence in (0.9, 0.95, 0.99):
        assert compute_value_at_risk(losses, confidence) == pytest.approx(norm.ppf(confidence), abs=1e-3)
        expected = norm.pdf(norm.ppf(confidence)) / (1 - confidence)
        assert compute_expected_shortfall(losses, confidence) == pytest.approx(expected, rel=1e-3)


def test_few_paths() -> None:
    """Of 30 losses the worst 5 % are one and a half: of 30 and half of 29."""
    losses = np.arange(1.0, 31.0)
    assert compute_value_at_risk(losses, 0.95) == 29
    assert compute_expected_shortfall(losses, 0.95) == pytest.approx((30 + 29 / 2) / 1.5)
    assert compute_expected_shortfall(losses, 0.99) == pytest.approx(30)  # less than one path


@pytest.mark.parametrize("n_paths", [1, 7, 30, 101])
def test_shortfall_is_at_least_the_value_at_risk(n_paths: int) -> None:
    losses = np.random.default_rng(0).standard_t(3, (n_paths, 12))
    assert (compute_expected_shortfall(losses, 0.9) >= compute_value_at_risk(losses, 0.9) - 1e-12).all()


def test_shortfall_of_equal_losses_is_the_value_at_risk() -> None:
    for n_paths, loss, confidence in itertools.product(range(1, 60), (0.1, 1 / 3, 0.023), (0.9, 0.95)):
        losses = np.full((n_paths, 2), loss)
        at_risk = compute_value_at_risk(losses, confidence)
        assert (compute_expected_shortfall(losses, confidence) >= at_risk).all()  # not 1e-17 below


def test_losses_are_shares_of_the_last_close() -> None:
    assert compute_losses(to_paths([[90.0, 110.0]]), 100.0).tolist() == [[pytest.approx(0.1), pytest.approx(-0.1)]]


def test_drawdowns_are_falls_from_a_close_to_a_later_one() -> None:
    paths = to_paths([[90.0, 120.0, 60.0], [110.0, 120.0, 130.0], [80.0, 90.0, 100.0]], reach=50.0)
    assert compute_drawdowns(paths, 100.0) == pytest.approx([0.5, 0.0, 0.2])


def test_touching() -> None:
    paths = to_paths([[100.0, 104.0, 100.0], [100.0, 97.0, 97.0]], reach=1.0)
    assert compute_touch_probability(paths, 100.0, 105.0).tolist() == [0, 0.5, 0.5]
    assert compute_touch_probability(paths, 100.0, 96.0).tolist() == [0, 0.5, 0.5]
    assert compute_touch_probability(paths, 100.0, 100.0).tolist() == [1, 1, 1]  # it is there
    assert compute_touch_probability(paths, 100.0, 106.0).tolist() == [0, 0, 0]


@pytest.mark.slow
def test_a_random_walk_touches_as_often_as_its_reflection_says() -> None:
    """P(max ≥ a) = 2 P(end ≥ a), for steps so small that a candle does not jump over a (Feller 1968, III.7)."""
    steps = np.random.default_rng(0).choice([-1.0, 1.0], (6_000, 400))
    paths = to_paths((1000 + steps.cumsum(axis=1)).tolist())
    end = paths[:, -1, 3]
    expected = (end >= 1020).mean() + (end > 1020).mean()
    assert compute_touch_probability(paths, 1000.0, 1020.0)[-1] == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("confidence", [0.5, 1, 95, -1, float("nan"), "0.95", True, None])
def test_a_confidence_that_is_none(confidence: float) -> None:
    with pytest.raises(ConfigError, match="must be above"):
        compute_value_at_risk(np.zeros(3), confidence)


def test_prices_that_have_no_shares() -> None:
    with pytest.raises(DataError, match="above 0"):
        compute_losses(to_paths([[1.0]]), 0.0)
    with pytest.raises(DataError, match="above 0"):
        compute_drawdowns(to_paths([[-1.0]]), 1.0)


@pytest.mark.parametrize("level", [float("nan"), float("inf"), "105", None, True, [1.0]])
def test_a_level_that_is_none(level: float) -> None:
    with pytest.raises(ConfigError, match="a price to touch must be a number"):
        compute_touch_probability(to_paths([[1.0]]), 1.0, level)
