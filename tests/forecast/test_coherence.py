import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kronos.forecast.coherence import Repairs, find_price_floor, repair_candles

ORDERED = np.array([[10.0, 12.0, 9.0, 11.0, 100.0, 1000.0]])


@settings(max_examples=300)
@given(
    candles=arrays(
        np.float64, st.tuples(st.integers(1, 3), st.integers(1, 5), st.just(6)), elements=st.floats(-1e9, 1e9)
    ),
    price_floor=st.floats(1e-9, 1e6),
)
def test_repaired_candles_are_possible_and_repaired_once(candles: np.ndarray, price_floor: float) -> None:
    repaired, repairs = repair_candles(candles, price_floor)
    opened, high, low, closed, volume, amount = np.moveaxis(repaired, -1, 0)
    assert (low <= np.minimum(opened, closed)).all() and (high >= np.maximum(opened, closed)).all()
    assert (repaired[..., :4] > 0).all() and (volume >= 0).all() and (amount >= 0).all()
    changed = (repaired != candles).any(-1).sum()
    assert repairs.any == changed and repairs.n_candles == candles[..., 0].size
    again, none = repair_candles(repaired, price_floor)
    assert none.any == 0 and np.array_equal(again, repaired)


def test_possible_candles_are_left_alone_and_each_fault_is_counted() -> None:
    same, repairs = repair_candles(ORDERED, 0.09)
    assert np.array_equal(same, ORDERED) and repairs == Repairs(1, 0, 0, 0, 0)
    assert str(repairs) == "none of 1 sampled candles needed repair"
    faults = np.repeat(ORDERED, 4, axis=0)
    faults[0, 1] = 10.5  # high below the close
    faults[1, 2] = -1.0
    faults[2, 4] = -5.0
    repaired, repairs = repair_candles(faults, 0.09)
    assert (repairs.high_low, repairs.price, repairs.volume, repairs.any) == (1, 1, 1, 3)
    assert repaired[0, 1] == 11.0 and repaired[1, 2] == 0.09 and repaired[2, 4] == 0.0
    assert np.array_equal(repaired[3], ORDERED[0])
    assert repairs.share == 0.75 and "75.0% of 4 sampled candles repaired" in str(repairs)
    assert Repairs.total([repairs, repairs]) == Repairs(8, 2, 2, 2, 6)


def test_a_spread_may_stay_below_zero() -> None:
    assert find_price_floor(-ORDERED[:, :4]) is None and find_price_floor(np.zeros(4)) is None
    repaired, repairs = repair_candles(-ORDERED, None)
    assert repairs.price == 0 and (repaired[..., :4] < 0).all() and repairs.high_low == 1


def test_a_single_zero_price_is_no_spread() -> None:
    assert find_price_floor(np.array([0.0, 12.0, 9.0])) == pytest.approx(0.09)
