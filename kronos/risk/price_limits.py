"""Daily price limits of mainland China's stock exchanges, where a symbol tells the board.

A share trades within a share of the close of the day before, rounded to 0.01. The first days after a listing, and shares under
special treatment (ST), have other limits; a symbol does not tell them.
"""

import re
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, Array

EXCHANGES = {
    "SH": "SH",
    "SS": "SH",
    "XSHG": "SH",
    "SSE": "SH",
    "SZ": "SZ",
    "XSHE": "SZ",
    "SZSE": "SZ",
    "BJ": "BJ",
    "BSE": "BJ",
}
CODE = re.compile(r"(?:(?P<before>[A-Z]{2,4})[._#]?)?(?P<code>\d{6})(?:[._](?P<after>[A-Z]{2,4}))?")
TICK = 0.01  # CNY
CLOSE = CANDLE_COLUMNS.index("close")


@dataclass(frozen=True)
class Board:
    """A board of an exchange, and its limits: the share of the close of the day before, and the first day it holds."""

    name: str
    limits: tuple[tuple[date, float], ...]

    def find_limit(self, day: date) -> float | None:
        """Return the limit of a day; None before the first one."""
        known = [share for first, share in self.limits if first <= day]
        return known[-1] if known else None


@dataclass(frozen=True)
class PriceLimits:
    """The limits of the days after a candle. close: that of the day before the first of them; NaN if it is not known."""

    board: Board
    close: float

    def keep(self, paths: Array, times: pd.DatetimeIndex) -> Array:
        """Return paths that keep to the limits, see `limit_paths`."""
        return limit_paths(paths, times, self.close, self.board)


FIRST = date(1996, 12, 16)  # 10 % on both exchanges
MAIN = Board("main", ((FIRST, 0.1),))
CHINEXT = Board("ChiNext", ((FIRST, 0.1), (date(2020, 8, 24), 0.2)))
STAR = Board("STAR", ((date(2019, 7, 22), 0.2),))
BEIJING = Board("Beijing", ((date(2021, 11, 15), 0.3),))
BY_CHOICE = {"main": MAIN, "chinext": CHINEXT, "star": STAR, "beijing": BEIJING}  # data.board
BOARDS = (  # of the shares of an exchange, by the beginning of their code
    ("SH", ("688", "689"), STAR),
    ("SH", ("60",), MAIN),
    ("SZ", ("30",), CHINEXT),
    ("SZ", ("00",), MAIN),
    ("BJ", ("4", "8", "92"), BEIJING),
)


def find_board(symbol: str) -> Board | None:
    """Return the board of a symbol that names its exchange, such as 600977.SH or sz300750; else None.

    A code alone is not enough: 000001 is a share in Shenzhen and an index in Shanghai.
    """
    found = CODE.fullmatch(symbol.strip().upper())
    if found is None or (found["before"] is None) == (found["after"] is None):
        return None
    exchange = EXCHANGES.get(found["before"] or found["after"])
    fits = [board for own, starts, board in BOARDS if own == exchange and found["code"].startswith(starts)]
    return fits[0] if fits else None


def choose_board(symbol: str, choice: str | None) -> Board | None:
    """Return the board of data.board; None: that of the symbol, if it names one. Without limits it is None."""
    return find_board(symbol) if choice is None else BY_CHOICE.get(choice)


def has_daily_limits(times: pd.Index) -> bool:
    """Return whether candles are of a day or less: a longer one spans several days, each with limits of its own."""
    return len(times) > 1 and bool(np.diff(times.to_numpy()).min() <= np.timedelta64(1, "D"))


def limit_prices(close: Array, share: float) -> tuple[Array, Array]:
    """Return the lowest and the highest price of a day after a close, rounded half up to a tick."""
    close = np.round(np.asarray(close, np.float64) / TICK) * TICK  # without the rounding of single precision
    return tuple(np.floor(close * factor / TICK + 0.5 + 1e-6) * TICK for factor in (1 - share, 1 + share))  # type: ignore[return-value]


def find_close_before(history: pd.DataFrame, time: pd.Timestamp) -> float:
    """Return the last close before the day of a local time; NaN if there is none."""
    before = history["close"].to_numpy()[pd.DatetimeIndex(history.index) < time.normalize()]
    return float(before[-1]) if len(before) else float("nan")


def limit_paths(paths: Array, times: pd.DatetimeIndex, close: float, board: Board) -> Array:
    """Return paths (P, H, 6) whose prices keep to the limits of each day.

    A price beyond a limit becomes the limit; what follows on later days is limited by the close that this leaves.

    Args:
        times: of the H candles, local. close: of the day before the first one; NaN: that day has no limits.
    """
    limited = paths.copy()
    days, closes = times.normalize(), np.full(len(paths), close)
    for day in days.unique():
        on_day, share = days == day, board.find_limit(day.date())
        if share is not None and (np.isfinite(closes) & (closes > 0)).all():
            low, high = (each[:, np.newaxis, np.newaxis] for each in limit_prices(closes, share))
            limited[:, on_day, : len(PRICE_COLUMNS)] = limited[:, on_day, : len(PRICE_COLUMNS)].clip(low, high)
        closes = limited[:, np.flatnonzero(on_day)[-1], CLOSE]
    return limited


def find_locked(candles: pd.DataFrame, board: Board) -> Array:
    """Return which candles (N,) have all prices at a limit: nobody could buy at the upper one, or sell at the lower one.

    Candles of the first day have no limit, since the close before is not known.
    """
    days = pd.DatetimeIndex(candles.index).normalize()
    last = candles["close"].groupby(days).last()
    before = last.shift().reindex(days).to_numpy()
    shares = np.array([board.find_limit(day.date()) or np.nan for day in days], np.float64)
    low, high = limit_prices(before, shares)  # type: ignore[arg-type]
    prices = candles[list(PRICE_COLUMNS)].to_numpy()
    at = [np.abs(prices - limit[:, np.newaxis]).max(axis=1) < TICK / 2 for limit in (low, high)]
    locked: Array = at[0] | at[1]
    return locked
