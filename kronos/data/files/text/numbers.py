"""Read numbers as people write them: with thousands separators, decimal commas, units and currencies."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.errors import DataError

Decimal = Literal[".", ","]
UNITS = {
    **{
        "k": 1e3,
        "tsd": 1e3,
        "тыс": 1e3,
        "千": 1e3,
        "m": 1e6,
        "mm": 1e6,
        "mn": 1e6,
        "mio": 1e6,
        "mln": 1e6,
        "mil": 1e6,
        "млн": 1e6,
    },
    **{"b": 1e9, "bn": 1e9, "mrd": 1e9, "bln": 1e9, "млрд": 1e9, "t": 1e12, "tn": 1e12},
    **{"百": 1e2, "万": 1e4, "萬": 1e4, "만": 1e4, "百万": 1e6, "百萬": 1e6, "千万": 1e7, "千萬": 1e7},
    **{"亿": 1e8, "億": 1e8, "억": 1e8, "万亿": 1e12, "萬億": 1e12, "兆": 1e12},
}
LONG_UNITS = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "lakh": 1e5, "lac": 1e5, "cr": 1e7, "crore": 1e7}
CURRENCIES = (
    *("US$", "HK$", "NT$", "R$", "C$", "A$", "$", "€", "£", "¥", "₹", "₩", "₽", "฿", "₺", "₫", "Rs.", "Rs", "kr", "zł"),
    *("USD", "USDT", "EUR", "GBP", "JPY", "CNY", "RMB", "HKD", "TWD", "INR", "KRW", "CHF", "BTC", "ETH"),
    *("元", "円", "원", "股", "手", "张", "張", "份", "口"),
)
CURRENCY = "|".join(re.escape(each) for each in CURRENCIES)
CELL = re.compile(
    rf"([-+]?)\s*(?:{CURRENCY})?\s*([-+]?)([\d.,'  ]*\d[.,]?(?:[eE][-+]?\d+)?)\s*"
    rf"({'|'.join(sorted(map(re.escape, UNITS), key=len, reverse=True))})?\.?\s*(?:{CURRENCY})?",
    re.I,
)
GROUPED = {  # thousands, and the lakhs of India
    ".": re.compile(r"(\d{1,3}(?:,\d{3})+|\d{1,3}(?:[ ']\d{3})+|\d{1,2}(?:,\d{2})+,\d{3})(\.\d*)?"),
    ",": re.compile(r"(\d{1,3}(?:\.\d{3})+|\d{1,3}(?:[ ']\d{3})+)(,\d*)?"),
}
SHOWS_DECIMAL = {  # what cannot be a thousands separator, or shows that the other sign is one
    ".": re.compile(r"\d*\.(?:\d{1,2}|\d{4,})|0\.\d+|\d{4,}\.\d+|\d{1,3}(?:,\d{2,3})+\.\d+|\d{1,3}(?:,\d{2,3}){2,}"),
    ",": re.compile(r"\d*,(?:\d{1,2}|\d{4,})|0,\d+|\d{4,},\d+|\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:\.\d{3}){2,}"),
}
MIN_STEPS, ONE_WAY = 50, 0.8  # steps, and the share of them in one direction
MAY_BE_COMMA = re.compile(r",|[^\x00-\x7f]")
UNCLEAR = re.compile(r"[1-9]\d{0,2},\d{3}")  # 1,000 may be a thousand or one


UNIT_OF_NAME = re.compile(
    rf"[(（\[]\W*(?:Rs\W*|in )?({'|'.join(sorted(map(re.escape, [*UNITS.keys() - {'t'}, *LONG_UNITS]), key=len, reverse=True))})"
    r"s?\.?\s*(?:元|股|手|口|円|株|원|주|USDT?|CNY|RMB|shares)?[)）\]]$",
    re.I,
)


def find_factor(name: str) -> float:
    """Return the unit that stands behind a name in brackets: 10,000 for 成交额(万元), 1 if there is none."""
    match = UNIT_OF_NAME.search(name.strip())
    return {**UNITS, **LONG_UNITS}[match[1].lower()] if match else 1.0


def find_decimal(cells: Iterable[str]) -> Decimal | None:
    """Return the decimal sign that texts of numbers show; None if they show none, or are plain numbers.

    Raises:
        DataError: without a place; all commas may separate thousands or be decimal.
    """
    unique = dict.fromkeys(cells)
    special = {cell for cell in unique if MAY_BE_COMMA.search(cell) or cell.count(".") > 1}
    if not special:
        return None
    bodies = set(filter(None, map(_find_body, special)))
    shown = {sign: any(pattern.fullmatch(body) for body in bodies) for sign, pattern in SHOWS_DECIMAL.items()}
    shown["."] |= any(SHOWS_DECIMAL["."].fullmatch(_find_body(cell)) for cell in unique if cell not in special)
    unclear = sorted(body for body in bodies if UNCLEAR.fullmatch(body))
    if unclear and shown["."] == shown[","]:
        raise build_ambiguous_error(unclear[0])
    if shown["."]:
        return "."
    return "," if shown[","] else None


def is_running_total(numbers: Array) -> bool:
    """Whether numbers hardly ever step down (or, the newest first, up), as the volume since the morning does."""
    steps = np.diff(numbers[np.isfinite(numbers)])
    return len(steps) > MIN_STEPS and bool(max((steps > 0).mean(), (steps < 0).mean()) > ONE_WAY)


def _find_body(cell: str) -> str:
    """Return the digits of a number without spaces between thousands; nothing if it is no number."""
    match = CELL.fullmatch(_write_plainly(cell))
    return re.sub(r"(?<=\d)[ '](?=\d{3})", "", match[3].strip()) if match else ""


def _write_plainly(cell: str) -> str:
    return cell.strip() if cell.isascii() else unicodedata.normalize("NFKC", cell).strip().replace("’", "'")


def build_ambiguous_error(number: str) -> DataError:
    """Return the error of a number whose comma may mean two things."""
    grouped, decimal = number.replace(",", ""), number.replace(",", ".")
    template = (
        "{number!r} is ambiguous: {grouped} or {decimal}? The comma may separate thousands or be a decimal comma. Set "
        "data.decimal=. if it separates thousands, or data.decimal=, if it is decimal."
    )
    return DataError(template, number=number, grouped=grouped, decimal=decimal)


def parse_numbers(column: pd.Series, decimal: Decimal) -> Array:
    """Return texts as numbers (N,) float64, NaN for blanks and for what is no number."""
    text = column.astype("str").str.strip()  # pandas makes no number of an integer of hundreds of digits
    numbers = np.full(len(text), np.nan)
    if decimal == ".":
        numbers = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, na_value=np.nan, copy=True)
    left = np.flatnonzero(np.isnan(numbers) & column.notna().to_numpy())
    cells = text.iloc[left]
    values = {cell: _parse(cell, decimal) for cell in cells.unique()}
    numbers[left] = cells.map(values).to_numpy(np.float64, na_value=np.nan)
    if doubtful := _find_doubtful(text, decimal):
        numbers[(text == doubtful).to_numpy(bool, na_value=False)] = np.nan
    return numbers


def _parse(cell: str, decimal: Decimal) -> float:
    match = CELL.fullmatch(_write_plainly(cell))
    if not match or (match[1] and match[2]):
        return np.nan
    sign, body, unit = match[1] or match[2], match[3].strip(), match[4] or ""
    if grouped := GROUPED[decimal].fullmatch(body):
        body = re.sub(r"[,.' ]", "", grouped[1]) + (grouped[2] or "").replace(",", ".")
    elif decimal == ",":
        body = body.replace(".", "x").replace(",", ".")
    try:
        return float(f"{sign}{body}") * UNITS.get(unit.lower(), 1)
    except ValueError:
        return np.nan


def _find_doubtful(text: pd.Series, decimal: Decimal) -> str | None:
    """Return a number like 1.000, read as a thousand, in a column that has thousands without a separator too."""
    thousands = text[text.str.fullmatch(r"[1-9]\d{0,2}" + ("," if decimal == "." else r"\.") + r"\d{3}")]
    if len(thousands) and text.str.fullmatch(r"\d{4,}" + re.escape(decimal) + r"?\d*").any():
        return str(thousands.iloc[0])
    return None
