"""Returns of trading rules, against sums worked out by hand."""

import math

import numpy as np
import pytest

from kronos.evaluation.results import Trade
from kronos.evaluation.scores.money import (
    Horizons,
    build_positions,
    find_changes,
    measure_money,
    select_disjoint,
)

TEN_BP = 10.0


def make(
    median: list[float], up: list[float], actual: list[float], symbols: list[int] | None = None, step: int = 5
) -> Horizons:
    """Origins `step` candles apart, each with a horizon of 5 candles."""
    n = len(median)
    symbols = symbols or [0] * n
    starts = np.array([step * symbols[:i].count(symbol) for i, symbol in enumerate(symbols)])
    return Horizons(np.array(median), np.array(up), np.array(actual), np.array(symbols), starts, starts + 5)


def trades(horizons: Horizons, costs_bp: float = TEN_BP) -> dict[str, Trade]:
    return {trade.rule: trade for trade in measure_money(horizons, costs_bp, 0.95).trades}


def test_one_symbol_by_hand() -> None:
    """Long, long, short. Paid for: the entry, nothing, then two units of change and the exit."""
    horizons = make([0.1, 0.2, -0.1], [0.61, 0.56, 0.38], [0.01, -0.02, 0.03])
    found = trades(horizons)
    assert found["median"].mean == pytest.approx((0.01 - 0.001 - 0.02 - 0.03 - 0.003) / 3)
    assert (found["median"].turnover, found["median"].in_market, found["median"].n_trades) == (
        pytest.approx(4 / 3),
        1,
        2,
    )
    assert found["long_only"].mean == pytest.approx((0.01 - 0.001 - 0.02 + 0.03 - 0.001) / 3)
    assert found["long_only"].turnover == pytest.approx(2 / 3) and found["long_only"].n_trades == 2
    # Above 55%: the same as the sign of the median. Above 60%: long, out, short: 1, 1, then 1 and the exit.
    assert found["up_55"].mean == found["median"].mean
    assert found["up_60"].mean == pytest.approx((0.01 - 0.001 - 0.001 - 0.03 - 0.002) / 3)
    assert found["up_60"].in_market == pytest.approx(2 / 3) and found["up_60"].turnover == pytest.approx(4 / 3)


def test_without_costs_only_the_moves_count() -> None:
    found = trades(make([0.1, 0.0], [0.5, 0.5], [0.01, 0.05]), costs_bp=0.0)
    assert found["median"].mean == pytest.approx(0.005) and found["median"].in_market == 0.5
    assert found["up_55"].mean == 0 and found["up_55"].n_trades == 0


def test_each_symbol_has_its_own_position() -> None:
    """Two symbols, in any order: each pays for entry and exit."""
    horizons = make([0.1, -0.1, 0.1, -0.1], [0.7, 0.3, 0.7, 0.3], [0.01, 0.01, 0.02, 0.02], symbols=[0, 1, 0, 1])
    found = trades(horizons)
    assert found["median"].turnover == 1 and found["median"].mean == pytest.approx(-0.001)
    assert found["long_only"].mean == pytest.approx(0.015 - 0.001)


def test_overlapping_horizons_are_left_out() -> None:
    """Of origins every 2 candles with horizons of 5, each third is used, in each symbol."""
    horizons = make([0.1] * 14, [0.7] * 14, list(np.arange(14) / 100), symbols=[0] * 7 + [1] * 7, step=2)
    assert select_disjoint(horizons).tolist() == [0, 3, 6, 7, 10, 13]
    money = measure_money(horizons, TEN_BP, 0.95)
    assert money.n_origins == 6 and money.costs_bp == TEN_BP
    shuffled = np.random.default_rng(0).permutation(14)
    assert measure_money(horizons.take(shuffled), TEN_BP, 0.95) == money


def test_touching_horizons_do_not_overlap() -> None:
    assert select_disjoint(make([0.1] * 3, [0.7] * 3, [0.0] * 3, step=5)).tolist() == [0, 1, 2]
    assert select_disjoint(make([0.1] * 3, [0.7] * 3, [0.0] * 3, step=4)).tolist() == [0, 2]


def test_thresholds_are_strict_and_symmetric() -> None:
    positions = build_positions(make([0.0] * 5, [0.55, 0.56, 0.45, 0.44, 0.61], [0.0] * 5))
    assert positions["up_55"].tolist() == [0, 1, 0, -1, 1] and positions["up_60"].tolist() == [0, 0, 0, 0, 1]
    assert positions["median"].tolist() == [0] * 5


def test_changes_of_position() -> None:
    changes = find_changes(np.array([1.0, -1.0, 0.0, 1.0]), np.array([0, 0, 0, 1]))
    assert changes.tolist() == [1, 2, 1, 2]


def test_the_interval_holds_the_mean_and_one_origin_has_none() -> None:
    rng = np.random.default_rng(1)
    found = trades(make(list(rng.normal(size=200)), [0.5] * 200, list(0.01 * rng.normal(size=200))))["median"]
    assert found.low < found.mean < found.high
    # Independent returns: the interval is that of a mean.
    assert found.high - found.low == pytest.approx(2 * 1.97 * 0.01 / math.sqrt(200), rel=0.2)
    assert math.isnan(trades(make([0.1], [0.7], [0.01]))["median"].low)
