"""Price limits: which board a symbol is of, what its limits are, and that paths keep to them."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from kronos.risk.price_limits import (
    CHINEXT,
    MAIN,
    find_board,
    find_close_before,
    find_locked,
    limit_paths,
    limit_prices,
)


@pytest.mark.parametrize(
    ("symbol", "board"),
    [
        ("600977.SH", "main"),
        ("sh600977", "main"),
        ("600000.XSHG", "main"),
        ("600000.SS", "main"),
        ("000001.SZ", "main"),
        ("SZ.000001", "main"),
        ("SH#600000", "main"),
        ("sz300750", "ChiNext"),
        ("301001.SZ", "ChiNext"),
        ("688981.SH", "STAR"),
        ("689009.SH", "STAR"),
        ("830799.BJ", "Beijing"),
        ("920002.BJ", "Beijing"),
        ("000001.SH", None),  # an index
        ("399001.SZ", None),
        ("510300.SH", None),  # a fund
        ("600977", None),  # no exchange
        ("ashare_600977_5min", None),
        ("AAPL", None),
        ("sh600977.SH", None),
        ("", None),
    ],
)
def test_boards(symbol: str, board: str | None) -> None:
    found = find_board(symbol)
    assert (found.name if found else None) == board


def test_limits_have_changed() -> None:
    assert CHINEXT.find_limit(date(2020, 8, 21)) == 0.1 and CHINEXT.find_limit(date(2020, 8, 24)) == 0.2
    assert MAIN.find_limit(date(1996, 1, 2)) is None


@pytest.mark.parametrize(("close", "low", "high"), [(11.27, 10.14, 12.4), (10.05, 9.05, 11.06), (0.95, 0.86, 1.05)])
def test_limits_are_rounded_half_up(close: float, low: float, high: float) -> None:
    """10.05 × 1.1 = 11.055 is 11.06, and 10.05 × 0.9 = 9.045 is 9.05."""
    assert [float(each) for each in limit_prices(np.array(close), 0.1)] == [pytest.approx(low), pytest.approx(high)]


def make_history(*closes: float, start: str = "2024-03-04 14:55") -> pd.DataFrame:
    index = pd.date_range(start, periods=len(closes), freq="1D")
    return pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), closes), index=index)


def test_paths_keep_to_each_day_s_limit() -> None:
    times = pd.DatetimeIndex(["2024-03-05 14:55", "2024-03-05 15:00", "2024-03-06 15:00"])
    paths = np.full((2, 3, 6), 10.0)
    paths[0, :, :4] = [[10.5], [15.0], [15.0]]
    paths[1, :, :4] = [[9.5], [7.0], [10.5]]
    limited = limit_paths(paths, times, find_close_before(make_history(10.0), times[0]), MAIN)
    assert limited[0, :, 3].tolist() == pytest.approx([10.5, 11.0, 12.1])
    assert limited[1, :, 3].tolist() == pytest.approx([9.5, 9.0, 9.9])
    assert (limited[..., 4:] == 10).all() and paths[0, 1, 3] == 15.0


def test_the_rest_of_a_day_is_limited_by_the_close_of_the_day_before() -> None:
    history = make_history(10.0, 10.8)
    times = pd.DatetimeIndex(["2024-03-05 15:00", "2024-03-06 15:00"])
    paths = np.full((1, 2, 6), 20.0)
    assert limit_paths(paths, times, find_close_before(history, times[0]), MAIN)[0, :, 3].tolist() == pytest.approx(
        [11.0, 12.1]
    )


def test_a_day_without_a_close_before_has_no_limit() -> None:
    times = pd.DatetimeIndex(["2024-03-04 15:00", "2024-03-05 15:00"])
    paths = np.full((1, 2, 6), 20.0)
    paths[0, 1] = 30.0
    assert limit_paths(paths, times, find_close_before(make_history(10.0), times[0]), MAIN)[
        0, :, 3
    ].tolist() == pytest.approx([20.0, 22.0])


def test_locked_candles() -> None:
    index = pd.DatetimeIndex(["2024-03-04 15:00", "2024-03-05 10:00", "2024-03-05 15:00", "2024-03-06 15:00"])
    candles = pd.DataFrame({name: [10.0, 11.0, 11.0, 9.9] for name in ("open", "high", "low", "close")}, index=index)
    candles.loc[index[2], "low"] = 10.9
    assert find_locked(candles, MAIN).tolist() == [False, True, False, True]


def test_prices_below_0_have_no_limit() -> None:
    times = pd.DatetimeIndex(["2024-03-05 15:00"])
    assert (limit_paths(np.full((1, 1, 6), -2.0), times, -1.0, MAIN) == -2.0).all()
