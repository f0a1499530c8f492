"""Recognise the columns of a file without column names by their values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from kronos.candles import PRICE_COLUMNS, TIMESTAMP_COLUMN, Array
from kronos.data.files.aliases import SYMBOL, TIME
from kronos.data.files.text.numbers import Decimal, is_running_total, parse_numbers
from kronos.data.files.times import is_newest_first, looks_like_times

MIN_ROWS, MAX_ROWS = 10, 500
ROWS_A_SYMBOL = 5  # at least
CLEARLY = 0.8  # the steps from close to open are smaller than this share of those from open to close
WITHIN = 0.95  # of the rows
CLOCK = re.compile(r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?|(?:[01]?\d|2[0-4])?[0-5]?\d(?:[0-5]\d)?")
STEADY = 3  # times the moves of the closes at most: a price of another kind
LARGEST_RANGE = 2  # high / low of most candles
WORTH = (1, 100)  # amount as a multiple of volume × price: volume may be counted in lots


class Layout(NamedTuple):
    """The names of all columns; ours for those that are recognised."""

    names: list[str]

    @property
    def recognised(self) -> str:
        return ", ".join(f"{n} {name}" for n, name in enumerate(self.names, 1) if not name.startswith("column "))


def recognise_layout(rows: Sequence[Sequence[str]], decimal: Decimal) -> Layout | None:
    """Return the names of the columns; None if the values leave a doubt.

    Times come before prices. High and low are the largest and the smallest of four columns beside each other; open is
    where the close before it was. Volume follows the prices; amount is volume × price.
    """
    width = len(rows[0]) if rows else 0
    cells = [[cell.strip() for cell in row] for row in rows[:MAX_ROWS] if len(row) == width]
    if len(cells) < MIN_ROWS or width < 5:
        return None
    columns = [pd.Series(column, dtype="str").replace("", None) for column in zip(*cells)]
    names: dict[int, str] = {}
    start = _find_times(columns, names)
    numbers = [parse_numbers(column, decimal) for column in columns]
    times = next((columns[n] for n, name in names.items() if name in (TIMESTAMP_COLUMN, "date")), None)
    if start is None or times is None:
        return None
    order = slice(None, None, -1 if is_newest_first(times) else 1)
    ordered = [each[order] for each in numbers]
    if not any(_find_prices(ordered, first, names) for first in range(start, width - len(PRICE_COLUMNS) + 1)):
        return None
    _find_volume(numbers, names)
    return Layout([names.get(n, f"column {n + 1}") for n in range(width)])


def _find_times(columns: Sequence[pd.Series], names: dict[int, str]) -> int | None:
    """Name the columns of times and of symbols; return the first column after them."""
    for n, column in enumerate(columns[:3]):
        if not looks_like_times(column):
            continue
        names[n] = TIMESTAMP_COLUMN
        if n and columns[n - 1].nunique() <= len(column) / ROWS_A_SYMBOL:
            names[n - 1] = SYMBOL
        follows = columns[n + 1]
        is_clock = follows.str.fullmatch(CLOCK).all() and (follows.str.contains(":").all() or column.duplicated().any())
        if is_clock and not column.str.contains(":").any():
            names[n], names[n + 1] = "date", TIME
            return n + 2
        return n + 1
    return None


def _find_prices(numbers: Sequence[Array], start: int, names: dict[int, str]) -> bool:
    prices = range(start, start + len(PRICE_COLUMNS))
    if prices[-1] >= len(numbers):
        return False
    values = np.array([numbers[n] for n in prices])
    values = values[:, np.isfinite(values).all(axis=0)]
    if values.shape[1] < MIN_ROWS or (values <= 0).any():
        return False
    high, low = int(values.sum(axis=1).argmax()), int(values.sum(axis=1).argmin())
    if np.median(values.max(axis=0) / values.min(axis=0)) > LARGEST_RANGE:
        return False  # one is no price
    if high == low or (values[high] < values.max(axis=0)).any() or (values[low] > values.min(axis=0)).any():
        return False
    one, other = (n for n in range(len(PRICE_COLUMNS)) if n not in (high, low))
    from_one, from_other = _step(values[one], values[other]), _step(values[other], values[one])
    usual = (one, high, low, other) == (0, 1, 2, 3)
    if from_one < CLEARLY * from_other or (usual and from_one <= from_other):
        opened, closed = one, other
    elif from_other < CLEARLY * from_one:
        opened, closed = other, one
    else:
        return False
    names |= {start + n: name for n, name in zip((opened, high, low, closed), PRICE_COLUMNS)}
    return True


def _step(opens: Array, closes: Array) -> float:
    """Return the mean step from a close to the next open."""
    return float(np.abs(opens[1:] - closes[:-1]).mean())


def _find_volume(numbers: Sequence[Array], names: dict[int, str]) -> None:
    ours = {name: n for n, name in names.items()}
    low, high = numbers[ours["low"]], numbers[ours["high"]]
    first = min(ours[name] for name in PRICE_COLUMNS)
    after = [n for n in (*range(first, len(numbers)), *range(1, first)) if n not in names]
    is_price = {n: np.mean((numbers[n] >= low) & (numbers[n] <= high)) > WITHIN for n in after}
    is_time = {n: (numbers[n] > 1e11).all() and len({*np.sign(np.diff(numbers[n]))}) == 1 for n in after}
    close = numbers[ours["close"]]
    is_price = {n: is_price[n] or _moves_like(numbers[n], close) for n in after}
    left = [n for n in after if not is_price[n] and not is_time[n] and (numbers[n] >= 0).all()]
    left = [n for n in left if not is_running_total(numbers[n])] or left
    if not left:
        return
    names[left[0]] = "volume"
    for n in left[1:]:
        for volume, amount in ((left[0], n), (n, left[0])):
            if _is_worth(numbers[amount], numbers[volume], low, high):
                names |= {volume: "volume", amount: "amount"}
                return


def _moves_like(column: Array, close: Array) -> bool:
    """Whether a column moves no more than a few times as much as the closes, as an adjusted close does."""
    if not (column > 0).all() or not np.ptp(column):
        return False
    moves = [float(np.median(np.abs(np.diff(np.log(each))))) for each in (column, close)]
    return moves[0] <= STEADY * moves[1] and float(np.ptp(np.log(column))) <= STEADY * float(np.ptp(np.log(close)))


def _is_worth(amount: Array, volume: Array, low: Array, high: Array) -> bool:
    traded = volume > 0
    with np.errstate(over="ignore"):  # infinity fits no candle
        worth = amount[traded] / volume[traded]
    fits = [(worth >= lots * low[traded] * 0.99) & (worth <= lots * high[traded] * 1.01) for lots in WORTH]
    return bool(traded.any() and max(fit.mean() for fit in fits) > WITHIN)
