"""Read dates and times in any usual order of year, month and day, field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from kronos.candles import Array

Text = pd.Series  # of str
Order = Literal["YMD", "DMY", "MDY"]
NOT_A_TIME = np.iinfo(np.int64).min
FIRST_MICROS, LAST_MICROS = -62_135_596_800_000_000, 253_402_300_799_000_000  # Python's dates know the years 1 to 9999
MICROS = {"H": 3_600_000_000, "M": 60_000_000, "S": 1_000_000}
DATE_AND_TIME = re.compile(
    r"(?:(?P<a>\d{1,4})(?P<sep>[-/.\s])\s?(?P<b>\d{1,2})(?P=sep)\s?(?P<c>\d{4}|\d{1,2})\.?"
    r"|(?P<y>(?:19|20)\d\d)(?P<m>\d\d)(?P<d>\d\d)|(?P<year>\d{4})[-/](?P<month>\d{1,2}))"
    r"(?:[TD\s,;_-]+(?P<H>\d{1,2})(?:[:.h]?(?P<M>\d\d)(?:[:.]?(?P<S>\d\d)(?:[.,:](?P<f>\d{1,9}))?)?)?)?"
    r"(?:[\s-]*(?P<half>[ap])\.?\s?m\.?(?![a-z]))?\s*(?P<zone>[a-z\[(+-].*)?",
    re.I,
)
ORDERS: dict[Order, tuple[str, str, str]] = {"YMD": ("a", "b", "c"), "DMY": ("c", "b", "a"), "MDY": ("c", "a", "b")}
ROC_YEARS = 1911  # the year before the first of the Republic of China, as Taiwan counts
BUDDHIST_YEARS = 543  # as Thailand counts
FARTHER = 20  # times: what is a day in one order of day and year is a year in the other
THAI = (2443, 2643)  # 1900 to 2100
IRANIAN = (1250, 1500)  # 1871 to 2121; no market was open in these years of our calendar


@dataclass
class Fields:
    """Dates and times as numbers, (N,) each; -1 where there is none.

    first, second, third: of the date, in the order written, or year, month and day where order is "YMD" without a doubt.
    digits: of the first and the third. has_order: whether the row shows where its year is. dots: whether dots separate.
    zone: what follows the time.
    """

    first: Array
    second: Array
    third: Array
    digits: tuple[Array, Array]
    dots: bool
    micros: Array
    zone: Text

    @property
    def year_first(self) -> Array:
        """Rows whose year comes first without a doubt, (N,) bool."""
        year_first: Array = self.digits[0] >= 3
        return year_first

    @property
    def unknown(self) -> Array:
        """Rows that are dates whose order has to be found, (N,) bool."""
        unknown: Array = (self.first >= 0) & ~self.year_first
        return unknown


def split_fields(text: Text) -> Fields:
    """Split texts of times into their fields; a row that is no time has -1 in first."""
    found = text.str.extract("^(?:" + DATE_AND_TIME.pattern + ")$", flags=re.I)
    compact, month_only = found["y"].notna().to_numpy(), found["year"].notna().to_numpy()
    parts = []
    for own, compact_name, month_name in (("a", "y", "year"), ("b", "m", "month"), ("c", "d", "")):
        part = found[own].fillna(found[compact_name])
        part = part.fillna(found[month_name]) if month_name else part.mask(month_only, "1")
        parts.append(part)
    first, second, third = (_to_ints(part) for part in parts)
    digits = tuple(part.str.len().fillna(0).to_numpy(np.int64) for part in (parts[0], parts[2]))
    return Fields(
        *(first, second, third),
        digits=(np.where(compact, 4, digits[0]), digits[1]),
        dots=bool((found["sep"] == ".").any()),
        micros=_to_micros_of_day(found),
        zone=found["zone"].fillna("").str.strip(),
    )


def _to_ints(part: Text) -> Array:
    return pd.to_numeric(part, errors="coerce").fillna(-1).to_numpy(np.int64)


def _to_micros_of_day(found: pd.DataFrame) -> Array:
    """Return microseconds since midnight (N,), 24:00 as a whole day, -1 if it is no time of day."""
    hour, minute, second = (_to_ints(found[name].fillna("0")) for name in "HMS")
    half = found["half"].str.lower()
    has_half = half.notna().to_numpy()
    wrong = (minute > 59) | (second > 60) | (hour > 24) | (has_half & (hour > 12) & (half != "p").to_numpy())
    hour = np.where(has_half & (hour == 12), 0, hour) + 12 * ((half == "p").to_numpy(bool) & (hour <= 12))
    fraction = _to_ints(found["f"].fillna("0").str.ljust(6, "0").str.slice(0, 6))
    micros = hour * MICROS["H"] + minute * MICROS["M"] + second * MICROS["S"] + fraction
    wrong |= micros > 24 * MICROS["H"]
    return np.where(wrong, -1, micros)


def to_micros(fields: Fields, order: Order | None) -> Array:
    """Return (N,) int64 microseconds since 1970, NOT_A_TIME for rows that are no time in this order."""
    year, month, day = _place(fields, order)
    year, known = _to_gregorian(fields, year, order)
    months = ((year - 1970) * 12 + month - 1).astype("M8[M]")
    dates = months.astype("M8[D]") + (day - 1)
    known &= (month >= 1) & (month <= 12) & (day >= 1) & (dates.astype("M8[M]") == months)
    known &= (fields.micros >= 0) & (year >= 1) & (year <= 9999)
    micros = dates.astype("M8[us]").astype(np.int64) + fields.micros
    return np.where(known, micros, NOT_A_TIME)


def _place(fields: Fields, order: Order | None) -> tuple[Array, Array, Array]:
    """Return years, months and days as written."""
    written = {"a": fields.first, "b": fields.second, "c": fields.third}
    placed = [written[name] for name in ORDERS[order or "YMD"]]
    if order in ("DMY", "MDY"):
        ymd = fields.year_first
        placed = [np.where(ymd, own, other) for own, other in zip(written.values(), placed)]
    return placed[0], placed[1], placed[2]


def _to_gregorian(fields: Fields, year: Array, order: Order | None) -> tuple[Array, Array]:
    """Return years of our calendar, and where they are known."""
    at_end = (fields.digits[0] < 3) & (order in ("DMY", "MDY"))
    digits = np.where(at_end, fields.digits[1], fields.digits[0])
    roc = (digits == 3) | ((digits == 2) & (fields.digits[0] == 3).any())
    century = np.where(year <= (pd.Timestamp.now().year + 1) % 100, 2000, 1900)
    known = (fields.first >= 0) & ((digits >= 3) | ((digits == 2) & (order is not None)) | roc)
    year = np.where(roc, year + ROC_YEARS, np.where(digits == 2, year + century, year))
    year = np.where((year >= THAI[0]) & (year <= THAI[1]), year - BUDDHIST_YEARS, year)
    return year, known & ~((year >= IRANIAN[0]) & (year <= IRANIAN[1]))


def find_calendars(fields: Fields) -> list[str]:
    """Return the calendars other than ours whose years the rows have."""
    calendars = ["the Republic of China (Taiwan)"] if ((fields.digits[0] == 3) & (fields.first >= 0)).any() else []
    years = np.concatenate([part[fields.first >= 0] for part in (fields.first, fields.third)])
    return calendars + (["the Buddhist era (Thailand)"] if ((years >= THAI[0]) & (years <= THAI[1])).any() else [])


def find_orders(fields: Fields) -> list[Order]:
    """Return the orders of day, month and year that are possible for all rows whose order has to be found.

    Dots are day first, where they can be. A year of two digits stands where the rows follow one another more closely.
    """
    rows = fields.unknown
    if not rows.any():
        return ["YMD"]
    short = bool((fields.digits[1][rows] < 3).any())
    orders: dict[Order, int] = {}
    for order in ("DMY", "MDY", *(("YMD",) if short else ())):
        micros = to_micros(fields, order)[rows]
        if (micros != NOT_A_TIME).all():
            orders[order] = int(np.abs(np.diff(micros // (24 * MICROS["H"]))).sum())  # days
    if "YMD" in orders and len(orders) > 1:
        at_end = min(days for order, days in orders.items() if order != "YMD")
        if at_end > FARTHER * orders["YMD"] > 0:
            return ["YMD"]
        if orders["YMD"] > FARTHER * at_end > 0:
            del orders["YMD"]
    return ["DMY"] if fields.dots and "DMY" in orders and "YMD" not in orders else list(orders)
