"""Read times that are written as numbers: since 1970, .NET ticks, days of Excel."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.data.files.times.fields import FIRST_MICROS, LAST_MICROS, NOT_A_TIME
from kronos.errors import DataError
from kronos.names import Template

Text = pd.Series  # of str
# The number of plain digits tells the unit of a time since 1970 in UTC; other numbers may be dates without separators.
EPOCH_UNITS = {9: "s", 10: "s", 12: "ms", 13: "ms", 15: "us", 16: "us", 18: "ns", 19: "ns"}
UNIT_NAMES: dict[str, Template] = {
    "s": "seconds since 1970, in UTC",
    "ms": "milliseconds since 1970, in UTC",
    "us": "microseconds since 1970, in UTC",
    "ns": "nanoseconds since 1970, in UTC",
    "days": "days since 1970",
    "ticks": "ticks of .NET (tenths of a microsecond since the year 1)",
    "filetime": "Windows file times (tenths of a microsecond since 1601, in UTC)",
    "excel": "day numbers of Excel (days since 1899-12-30)",
}
LOCAL_UNITS = ("days", "ticks", "excel")  # of a clock of no known zone
NUMBER = r"[-+]?\d+(?:\.\d*)?"
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "ticks": 10**7, "filetime": 10**7}
SECONDS_BEFORE_1970 = {"ticks": 62_135_596_800, "filetime": 11_644_473_600}
DAYS_BEFORE_1970 = {"excel": 25_569, "days": 0}
DAY = 86_400 * 10**6
LONGEST_STEP = 400 * DAY  # between candles whose numbers of digits differ
TENTHS = {"ticks": (621_355_968_000_000_000, 646_000_000_000_000_000), "filetime": (10**17, 142_000_000_000_000_000)}
EXCEL_DAYS = (30_000, 60_000)  # 1982 to 2064


def recognise_unit(text: Text) -> str:
    """Return the unit of a column of numbers.

    Raises:
        DataError: without a place; the numbers may be several things, or nothing known.
    """
    numbers = text[text.str.fullmatch(NUMBER)]
    digits = _count_digits(numbers)
    if (digits == 18).all() and (unit := _recognise_tenths(numbers)):
        return unit
    if len(known := digits[digits.isin(EPOCH_UNITS)]):
        return EPOCH_UNITS[int(known.iloc[0])]
    values = pd.to_numeric(numbers)
    first = str(text.iloc[0])
    if values.between(*EXCEL_DAYS).all():
        return "excel"
    if re.fullmatch(r"\d{1,2}", first):
        raise DataError(
            "timestamp {value!r} is only a part of a date. Write the whole date in one column.", value=first
        )
    template = (
        "timestamp {value!r} is no date, and no number of seconds or milliseconds since 1970. Write it like "
        "2024-06-18 11:15:00, or name its kind: data.time_format=%d%m%Y for 18062024, or one of "
        "data.time_format={units}."
    )
    raise DataError(template, value=first[:40], units="|".join(UNIT_NAMES))


def _count_digits(text: Text) -> pd.Series:
    return text.str.lstrip("+-").str.partition(".")[0].str.len()


def _recognise_tenths(numbers: Text) -> str | None:
    """Return ticks or filetime if the numbers of 18 digits are these rather than nanoseconds, of 1973 to 1990.

    Steps of candles are whole minutes; the steps of ticks, read as nanoseconds, are a hundredth of that.
    """
    values = pd.to_numeric(numbers.str.partition(".")[0]).to_numpy(np.int64)
    unit = next((unit for unit, (low, high) in TENTHS.items() if ((values >= low) & (values <= high)).all()), None)
    steps = np.abs(np.diff(values))[np.diff(values) != 0]
    minute = 60 * 10**9
    if unit is None or not len(steps):
        return unit
    as_nanoseconds, as_tenths = np.mean(steps % minute == 0), np.mean(steps % (minute // 100) == 0)
    return unit if as_tenths > as_nanoseconds else None


def parse_numbers(text: Text, unit: str, given: bool = False) -> tuple[Array, set[str]]:
    """Return (N,) int64 microseconds since 1970, NOT_A_TIME for rows that are none, and the units that were read.

    Seconds to nanoseconds are told apart row by row, by the number of digits. A number of fewer digits, or a negative
    one, has the unit of the others, if its time is near the next row's. A unit that is given is that of all rows.
    """
    if not given and unit in EPOCH_UNITS.values() and (usual := _parse_same_unit(text)):
        return usual
    number = text.where(text.str.fullmatch(NUMBER))
    if given or unit not in EPOCH_UNITS.values():
        return _convert(number, unit), {unit}
    units = _count_digits(number.fillna("")).map(EPOCH_UNITS)
    micros = np.full(len(text), NOT_A_TIME)
    seen = {str(each) for each in units.dropna().unique()}
    for each in seen:
        rows = (units == each).to_numpy()
        micros[rows] = _convert(number[rows], each)
    if len(other := np.flatnonzero(units.isna() & number.notna())):
        small = micros.copy()
        small[other] = _convert(number.iloc[other], unit)
        is_step = np.abs(np.diff(small)) <= LONGEST_STEP
        near = other[np.append(is_step, False)[other] | np.append(False, is_step)[other]]
        micros[near] = small[near]
    return micros, seen | {unit}


def _parse_same_unit(text: Text) -> tuple[Array, set[str]] | None:
    """Return what parse_numbers returns, if all rows are whole numbers of one length; faster."""
    length = len(text.iloc[0]) if len(text) else 0
    if length not in EPOCH_UNITS or not text.str.fullmatch(rf"[1-9]\d{{{length - 1}}}").all():
        return None
    unit = EPOCH_UNITS[length]
    values = pd.to_numeric(text).to_numpy()
    if unit == "ns" and values.dtype != np.int64:
        return None  # beyond the year 2262
    factor = PER_SECOND[unit]
    micros = values * (10**6 // factor) if factor <= 10**6 else values // (factor // 10**6)
    return np.asarray(micros, np.int64), {unit}


def _convert(number: Text, unit: str) -> Array:
    """Return microseconds since 1970; whole numbers are converted without rounding."""
    if unit in DAYS_BEFORE_1970:
        days = pd.to_numeric(number, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        micros = np.round((days - DAYS_BEFORE_1970[unit]) * 86_400) * 10**6  # fractions of a day are rounded
    else:
        whole = pd.to_numeric(number.str.partition(".")[0], errors="coerce")
        fraction = pd.to_numeric("0." + number.str.partition(".")[2], errors="coerce").fillna(0)
        if whole.isna().any() or whole.dtype.kind != "i":
            whole = whole.where(whole.abs() < 9e18).astype("Float64")
        per_second = PER_SECOND[unit]
        shifted = whole - SECONDS_BEFORE_1970.get(unit, 0) * per_second
        scaled = shifted * (10**6 // per_second) if per_second <= 10**6 else shifted // (per_second // 10**6)
        more = np.round(fraction.to_numpy(np.float64) * 10**6 / per_second)
        if scaled.dtype == np.int64 and not more.any():
            exact = scaled.to_numpy()
            return np.where((exact >= FIRST_MICROS) & (exact <= LAST_MICROS), exact, NOT_A_TIME)
        micros = scaled.to_numpy(np.float64, na_value=np.nan) + more
    known = np.isfinite(micros) & (micros >= FIRST_MICROS) & (micros <= LAST_MICROS)
    return np.where(known, np.where(known, micros, 0).astype(np.int64), NOT_A_TIME)
