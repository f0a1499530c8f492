"""Choose by their values between columns whose names speak of the same."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from kronos.candles import PRICE_COLUMNS, TIMESTAMP_COLUMN, Array
from kronos.data.files.aliases import SYMBOL, TIME
from kronos.data.files.columns import SPEAKS_OF_VOLUME, find_names, match_names, plain_name
from kronos.data.files.notes import ReadingNote
from kronos.data.files.options import ReadingOptions
from kronos.data.files.text.numbers import Decimal, is_running_total, parse_numbers
from kronos.data.files.times import NOT_A_TIME, TimestampFormat, join_date_and_time
from kronos.errors import DataError

MINUTE, DAY = 60 * 10**6, 86_400 * 10**6
SPEAKS_OF_TIME = re.compile(r"time|date|unix|epoch|stamp|begin|start|bucket|day|hour|minute|日|时|時")
NOT_OF_OPEN = re.compile(r"close|end$|update|expir|list|ipo|收盘|收盤|结束|結束|截止")
NOT_VOLUME = re.compile(
    r"taker|buy|sell|avg|average|ma\d*$|sma|ema|chang|chg|ratio|%|volatil|imp|weighted|vwap|spread|率|均|比|变"
)
MONEY = re.compile(
    r"usd|eur$|gbp|krw|jpy|cny|rmb|try$|brl$|quote|currency|money|value|turnover|amount|amt|volumeto$|ccyquote|额|額|代金"
)
MAY_BE_MONEY = re.compile(rf"{MONEY.pattern}|val|worth|notional|umsatz|efectivo|financ|controval|оборот|sum")
CLOCK = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?"
MOSTLY, HARDLY = 0.95, 0.05
REASONS = ("cannot be read", "repeats its times", "is off the full minutes", "is off the interval of the candles")


class Chosen(NamedTuple):
    """names: our names of columns that were chosen, and the file's. notes: why."""

    names: dict[str, str]
    notes: list[ReadingNote]


def needs_choice(names: Sequence[str], given: Mapping[str, str]) -> bool:
    """Whether the values of columns must be looked at: not one column each speaks of time and of volume."""
    if not set(PRICE_COLUMNS) <= match_names(names, given).keys():
        return False  # then the file is not read
    times = _list_times(names, given)
    volumes = [name for name in names if SPEAKS_OF_VOLUME.search(plain_name(name))]
    unusual = len(volumes) > 1 or volumes != find_names("volume", volumes)
    unusual |= not volumes and bool(find_names("amount", names))
    unusual |= not find_names("amount", names) and any(MAY_BE_MONEY.search(_full_name(name)) for name in names)
    unusual |= any(name.endswith(" (2)") for name in names)
    unusual |= not given.get(TIMESTAMP_COLUMN) and times != find_names(TIMESTAMP_COLUMN, names)
    return len(times) != 1 or unusual or len(find_names("amount", names)) > 1 or _may_be_swapped(names)


def choose_columns(sample: pd.DataFrame, names: Sequence[str], options: ReadingOptions, decimal: Decimal) -> Chosen:
    """Choose the columns of time, volume and amount.

    Args:
        sample: the first rows, as texts, under the names of the file.
    """
    matched = match_names(names, options.columns)
    chosen = Chosen({}, [])
    if TIMESTAMP_COLUMN not in options.columns:
        _choose_time(sample, names, matched, options, chosen)
    if not {"volume", "amount"} & options.columns.keys():
        _choose_volume(sample, names, matched, decimal, chosen)
    for ours, name in matched.items():
        twins = [other for other in names if re.fullmatch(re.escape(name) + r" \(\d+\)", other)]
        free = ours not in {**chosen.names, **options.columns}
        if twins and free and all(_are_same(sample[name], sample[twin], options) for twin in twins):
            chosen.names[ours] = name
            chosen.notes.append(
                ReadingNote.make("columns of the name {name} are the same: the first is read", name=name)
            )
    return chosen


def _are_same(one: pd.Series, other: pd.Series, options: ReadingOptions) -> bool:
    """Whether two columns of one name hold the same values, or the same times."""
    if one.equals(other):
        return True
    first, second = _read(one, options), _read(other, options)
    return bool(first and second and np.array_equal(first[0], second[0]))


def _list_times(names: Sequence[str], given: Mapping[str, str]) -> list[str]:
    if TIMESTAMP_COLUMN in given:
        return [given[TIMESTAMP_COLUMN]]
    known = find_names(TIMESTAMP_COLUMN, names)
    like = [
        name for name in names if SPEAKS_OF_TIME.search(plain_name(name)) and not NOT_OF_OPEN.search(plain_name(name))
    ]
    return list(dict.fromkeys([*known, *like]))


class _Times(NamedTuple):
    """What the times of a column are like; smaller is better."""

    unreadable: bool
    repeated: bool
    off_minute: bool
    off_grid: bool


def _choose_time(
    sample: pd.DataFrame, names: Sequence[str], matched: Mapping[str, str], options: ReadingOptions, chosen: Chosen
) -> None:
    preferred = matched.get(TIMESTAMP_COLUMN)
    if preferred is None:
        left = [name for name in names if name not in matched.values()]
        found = [name for name in left if _is_only_time(sample[name], options)]
        found = [name for name in found if not NOT_OF_OPEN.search(plain_name(name))] or found
        if not found:
            return
        preferred = chosen.names[TIMESTAMP_COLUMN] = found[0]
        template = (
            "{name} is the only column of times" if len(found) == 1 else "times read from {name}, the first such column"
        )
        chosen.notes.append(ReadingNote.make(template, name=preferred))
        matched = {**matched, TIMESTAMP_COLUMN: preferred}
    own = sample[preferred]
    if TIME in matched:
        own = join_date_and_time(own, sample[matched[TIME]], options.time_format)
    symbols = sample[matched[SYMBOL]] if SYMBOL in matched else pd.Series("", sample.index)
    best = _read(own, options)
    mine = _rate(best, symbols)
    if mine.repeated and best and not (best[0] % DAY).any():
        left = [name for name in names if name not in matched.values()]
        clocks = [name for name in left if sample[name].astype("str").str.fullmatch(CLOCK).all()]
        if clocks:
            chosen.names[TIME] = clocks[0]
            return
    if not any(mine) and best and best[1].kind != "number":
        return
    for name in _list_times(names, options.columns):
        if name in (preferred, matched.get(TIME)) or (other := _read(sample[name], options)) is None:
            continue
        if best is not None and not _is_about(best[0], other[0]):
            continue
        theirs = _rate(other, symbols)
        if theirs < mine:
            reason = REASONS[list(map(bool.__gt__, mine, theirs)).index(True)]
        elif (
            theirs == mine
            and best
            and best[1].kind == "number"
            and other[1].kind != "number"
            and _is_local(best[0], other[0])
        ):
            reason = "shows the times of another zone"
        else:
            continue
        chosen.names[TIMESTAMP_COLUMN] = name
        template = "times read from {name}: {other} {reason}"
        chosen.notes.append(ReadingNote.make(template, name=name, other=preferred, reason=reason))
        return


def _is_only_time(column: pd.Series, options: ReadingOptions) -> bool:
    read = _read(column, options)
    if read is None or read[1].unit in ("days", "excel"):
        return False
    known = read[0] != NOT_A_TIME  # a remark may follow the rows
    return bool(known.mean() > MOSTLY and known[0] and (read[0] != read[0][0]).any())


def _read(column: pd.Series, options: ReadingOptions) -> tuple[Array, TimestampFormat] | None:
    """Return local times as written (N,) and their format; None if the first row is no time."""
    filled = column.dropna()
    if filled.empty:
        return None
    try:
        clock = TimestampFormat.recognise(filled, ReadingOptions(time_format=options.time_format))
    except DataError:
        return None
    return clock.parse(column)[0], clock


def _rate(read: tuple[Array, TimestampFormat] | None, symbols: pd.Series) -> _Times:
    if read is None:
        return _Times(True, True, True, True)
    local = read[0]
    unreadable = float(np.mean(local == NOT_A_TIME))
    repeated = pd.DataFrame({"symbol": symbols.to_numpy(), "time": local}).duplicated().mean()
    off_minute = bool(np.mean(local % MINUTE != 0) > 0.5)
    return _Times(unreadable > HARDLY, bool(repeated > 0.5), off_minute, not _is_on_grid(local))


def _is_on_grid(local: Array) -> bool:
    """Whether times follow one another by one step, but for the pauses of a market."""
    steps = np.diff(np.unique(local[local != NOT_A_TIME]))
    return not len(steps) or bool(np.unique(steps, return_counts=True)[1].max() > len(steps) / 2)


def _is_about(one: Array, other: Array) -> bool:
    """Whether two columns are times of the same candles: no more than a day apart."""
    known = (one != NOT_A_TIME) & (other != NOT_A_TIME)
    return not known.any() or bool(np.mean(np.abs(one[known] - other[known]) <= DAY) > MOSTLY)


def _is_local(one: Array, other: Array) -> bool:
    """Whether the second column shows the same moments on another clock."""
    offset = one - other
    return len(np.unique(offset)) <= 2 and bool((offset != 0).any()) and bool((offset % (15 * MINUTE) == 0).all())


def _may_be_swapped(names: Sequence[str]) -> bool:
    return {"vol", "amount"} <= {plain_name(name) for name in names}


def _choose_volume(
    sample: pd.DataFrame, names: Sequence[str], matched: Mapping[str, str], decimal: Decimal, chosen: Chosen
) -> None:
    """Prefer names that are known, and columns that have values; what is in money is the amount."""
    like = [n for n in names if SPEAKS_OF_VOLUME.search(plain_name(n)) and not NOT_VOLUME.search(_full_name(n))]
    money = [name for name in like if MONEY.search(_full_name(name))]
    volumes = [name for name in dict.fromkeys([*find_names("volume", names), *like]) if name not in money]
    amounts = list(dict.fromkeys([*find_names("amount", names), *money]))
    numbers = {name: parse_numbers(sample[name], decimal) for name in {*volumes, *amounts}}
    traded = {name: bool((np.nan_to_num(each) > 0).any()) for name, each in numbers.items()}
    totals = {name for name in volumes if is_running_total(numbers[name])}
    usual = [name for name in volumes if traded[name] and name not in totals]
    volume = next(iter([*usual, *filter(traded.get, volumes), *volumes]), None)
    amount = next((name for name in amounts if traded[name] and name != volume), None)
    prices = {name: parse_numbers(sample[matched[name]], decimal) for name in ("low", "high")}
    if volume is None:
        if amount and _is_a_rate(numbers[amount], prices["low"]):
            chosen.names["amount"] = ""
            template = (
                "{name} is less than one unit at the price, perhaps a turnover rate: not used; volume is taken as 0"
            )
            chosen.notes.append(ReadingNote(template, (("name", amount),), is_doubt=True))
        elif amount:
            chosen.names["amount"] = amount
        return
    for other in [*([amount] if amount else []), *volumes]:
        if other != volume and _is_worth(numbers[volume], numbers[other], prices):
            volume, amount = other, volume
            chosen.notes.append(ReadingNote.make("{amount} is {volume} times the price", amount=amount, volume=volume))
            break
        if other != volume and amount is None and _is_worth(numbers[other], numbers[volume], prices):
            amount = other
            break
    if matched.get("volume") != volume or plain_name(volume) in map(plain_name, money):
        chosen.names["volume"] = volume
        first = matched.get("volume")
        if first in totals or (first and not traded.get(first, True)):
            template = "volume read from {volume}: {other} is 0 or blank throughout"
            if first in totals:
                template = "volume read from {volume}: {other} is a running total"
            chosen.notes.append(ReadingNote.make(template, volume=volume, other=first))
    if amount is None and (unused := [n for n in names if n not in {*matched.values(), volume}]):
        may_be = {n: parse_numbers(sample[n], decimal) for n in unused if MAY_BE_MONEY.search(_full_name(n))}
        amount = next((n for n, each in may_be.items() if _is_worth(each, numbers[volume], prices)), None)
    if amount and matched.get("amount") != amount:
        chosen.names["amount"] = amount


def _full_name(name: str) -> str:
    return re.sub(r"[\s_\-]", "", name).lower()


def _is_a_rate(amount: Array, price: Array) -> bool:
    traded = np.nan_to_num(amount) > 0
    with np.errstate(over="ignore", divide="ignore"):  # infinity is no rate
        return bool(traded.any() and np.median(amount[traded] / price[traded]) < 1)


def _is_worth(worth: Array, volume: Array, prices: Mapping[str, Array]) -> bool:
    """Whether one column is another times the price of each candle."""
    known = (np.nan_to_num(volume) > 0) & (np.nan_to_num(worth) > 0)
    if not known.any():
        return False
    with np.errstate(over="ignore"):  # a price of infinity fits no candle
        price = worth[known] / volume[known]
    fits = (price >= 0.99 * prices["low"][known]) & (price <= 1.01 * prices["high"][known])
    return bool(np.mean(fits) > MOSTLY)
