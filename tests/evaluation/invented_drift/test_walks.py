"""Random walks made of real candles: everything stays but the direction."""

import numpy as np
import pandas as pd
import pytest

from kronos.candles import CANDLE_COLUMNS
from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import CandleSet, load_candles
from kronos.evaluation.invented_drift.walks import build_walks, mirror_candles
from kronos.evaluation.origins.walk_forward import Origins
from tests.conftest import ROOT

LOOKBACK, HORIZON = 60, 12
OPEN, HIGH, LOW, CLOSE, VOLUME, AMOUNT = range(len(CANDLE_COLUMNS))


@pytest.fixture(scope="module")
def candles() -> CandleSet:
    data = DataConfig(data_path=ROOT / "data" / "synthetic_5min.csv", lookback_window=LOOKBACK, predict_window=HORIZON)
    return load_candles(data, RepairsConfig())[0]


@pytest.fixture(scope="module")
def origins(candles: CandleSet) -> Origins:
    return Origins(candles, np.arange(LOOKBACK, 400, HORIZON), LOOKBACK, HORIZON)


def gather(walks: Origins) -> np.ndarray:
    """The candles (n, T, 6) of walks."""
    return walks.candles.values.reshape(len(walks), LOOKBACK + HORIZON, -1).astype(np.float64)


def test_a_mirrored_candle_moves_the_other_way() -> None:
    candles = np.array([[10.0, 10, 10, 10, 5, 50], [11, 12, 9, 10.5, 7, 70], [10.5, 11, 10, 10.8, 3, 30]])
    walked = mirror_candles(candles, np.array([False, True, False]))
    expected = [100 / 11, 100 / 9, 100 / 12, 100 / 10.5]  # 10 / (p / 10), high and low swapped
    np.testing.assert_allclose(walked[1, :4], expected)
    factor = (100 / 10.5) / 10.5  # the walk is at another level now, and moves by the same share
    np.testing.assert_allclose(walked[2, :4], candles[2, :4] * factor)
    np.testing.assert_allclose(walked[:, VOLUME], candles[:, VOLUME])
    np.testing.assert_allclose(walked[2, AMOUNT], 30 * factor)


def test_sizes_times_and_volumes_stay_and_half_of_the_signs_change(candles: CandleSet, origins: Origins) -> None:
    walks = build_walks(origins, n=40)
    walked, order = gather(walks), []
    for i, walk in list(enumerate(walks.known()))[::2]:
        (source,) = (
            row
            for row in origins.rows
            if np.array_equal(candles.values[row - LOOKBACK + 1 : row + 1, VOLUME], walk.candles["volume"])
        )
        order.append(source)
        real = candles.values[source - LOOKBACK + 1 : source + HORIZON + 1].astype(np.float64)
        moves, own = (np.diff(np.log(each[:, CLOSE])) for each in (real, walked[i]))
        np.testing.assert_allclose(np.abs(own), np.abs(moves), atol=1e-6)
        assert walk.candles.index.equals(candles.timestamps(source - LOOKBACK + 1, source + 1))
        assert walk.future.equals(candles.timestamps(source + 1, source + 1 + HORIZON))
        assert (walked[i, :, HIGH] >= walked[i, :, [OPEN, CLOSE]].max(axis=0) - 1e-5).all()
        assert (walked[i, :, LOW] <= walked[i, :, [OPEN, CLOSE]].min(axis=0) + 1e-5).all()
        moved = np.abs(moves) > 1e-5
        assert 0.25 < (own[moved] * moves[moved] < 0).mean() < 0.75
    assert len(set(order)) == 20


def test_each_second_walk_is_the_mirror_image_of_the_one_before(origins: Origins) -> None:
    walks = build_walks(origins, n=20)
    known, walked = walks.known(), gather(walks)
    moves = np.diff(np.log(walked[..., CLOSE]))
    np.testing.assert_allclose(moves[::2], -moves[1::2], atol=1e-6)
    np.testing.assert_array_equal(walked[::2, :, VOLUME], walked[1::2, :, VOLUME])
    for one, other in zip(known[::2], known[1::2]):
        assert one.candles.index.equals(other.candles.index) and one.future.equals(other.future)
        assert one.symbol != other.symbol  # each draws its own random numbers
    assert not np.allclose(moves[0], moves[2])


def test_few_windows_are_used_again_with_other_signs(origins: Origins) -> None:
    few = origins.take(np.array([3]))
    walks = gather(build_walks(few, n=200))
    assert len(np.unique(walks[:, -1, CLOSE])) > 150
    horizon = np.log(walks[::2, -1, CLOSE] / walks[::2, LOOKBACK - 1, CLOSE])
    assert abs(horizon.mean()) < 3 * horizon.std() / np.sqrt(100)  # the expected move is 0


def test_the_first_walks_of_many_are_those_of_few(origins: Origins) -> None:
    np.testing.assert_array_equal(gather(build_walks(origins, n=6)), gather(build_walks(origins, n=40))[:6])
    assert not np.array_equal(gather(build_walks(origins, n=6)), gather(build_walks(origins, n=6, seed=1)))


def test_prices_that_never_move_make_no_walk(candles: CandleSet, origins: Origins) -> None:
    still = np.tile(candles.values[:1], (len(candles), 1))
    made = CandleSet(still, candles.instants, candles.calendar, candles.symbols)
    assert len(build_walks(Origins(made, origins.rows, LOOKBACK, HORIZON))) == 0


def test_walks_keep_the_clock_of_a_market_with_daylight_saving(tmp_path) -> None:
    times = pd.date_range("2024-03-05 09:00", "2024-03-14", freq="h", tz="America/New_York")
    prices = 100 * np.exp(0.01 * np.random.default_rng(0).standard_normal(len(times)).cumsum())
    frame = pd.DataFrame({"timestamps": times, **dict.fromkeys(("open", "high", "low", "close"), prices)})
    frame.to_csv(tmp_path / "new_york.csv", index=False)
    data = DataConfig(data_path=tmp_path / "new_york.csv", lookback_window=150, predict_window=10)
    candles = load_candles(data, RepairsConfig())[0]
    origins = Origins(candles, np.array([len(candles) - 11]), 150, 10)
    walk = build_walks(origins, n=2).known()[0]
    assert walk.candles.index.equals(origins.known()[0].candles.index)
    assert np.diff(walk.candles.index.asi8).max() > np.diff(walk.candles.index.asi8).min()  # the clock was set forward
