"""Word what is wrong with a time, or what it may mean."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from kronos.data.files.times.fields import IRANIAN, NOT_A_TIME, Order, split_fields, to_micros
from kronos.data.files.times.texts import normalize_times
from kronos.data.files.times.zones import zone_kind
from kronos.errors import DataError
from kronos.names import Message, Template

ACCEPTED = "2024-06-18 11:15:00, 2024/6/18 11:15, or as seconds or milliseconds since 1970"
DAY_OR_MONTH = re.compile(r"^\d{1,2}[-/.\s]\d{1,2}[-/.\s](?:\d{4}|\d{1,2})")
LETTERS = {"DMY": ("d", "m", "Y"), "MDY": ("m", "d", "Y"), "YMD": ("Y", "m", "d")}


class AmbiguousTimes(DataError):
    """Times that can be read in several ways."""


def build_ambiguous_error(text: pd.Series, orders: Sequence[Order]) -> DataError:
    """Return the error of dates that can be read in several ways, with the key that settles it."""
    value = str(text.iloc[0])
    shown = split_fields(text.iloc[:1])
    readings, keys = [], []
    for order in orders:
        micros = to_micros(shown, order)[0]
        date = pd.Timestamp(micros, unit="us") if micros != NOT_A_TIME else None
        readings.append(f"{date.day} {date:%B %Y}" if date is not None else order)
        keys.append(f'data.time_format="{build_format(value, order)}"')
    template = "timestamp {value!r} is ambiguous: {readings}? No date in the file decides it. Set {keys}, or write the year first."
    return AmbiguousTimes(
        template, value=value[:40], readings=Message.join(readings, " or "), keys=Message.join(keys, " or ")
    )


def build_format(value: str, order: Order) -> str:
    """Return how a time is written, as in strptime."""
    first, second, third = LETTERS[order]
    date, *rest = re.split(r"(?<=\d)(?=[T\s,;_])", value, maxsplit=1)
    parts = re.split(r"([-/.])", date)
    if len(parts) < 5:
        return f"%{first}/%{second}/%{third}"
    letters = {0: first, 2: second, 4: third}
    shown = [
        f"%{letters[n].lower() if letters[n] == 'Y' and len(part) < 3 else letters[n]}" if n in letters else part
        for n, part in enumerate(parts)
    ]
    return "".join(shown) + _build_clock("".join(rest))


def _build_clock(clock: str) -> str:
    half = bool(re.search(r"[AaPp][Mm]$", clock))
    clock = re.sub(r"\d{1,2}", "%I" if half else "%H", clock, count=1)
    clock = re.sub(r":\d\d", ":%M", clock, count=1)
    clock = re.sub(r":\d\d", ":%S", clock, count=1)
    return re.sub(r"[AaPp][Mm]$", "%p", re.sub(r"\.\d+", ".%f", clock))


def _find_lacking(written: str) -> Template:
    """Return what a time lacks, and what to do about it; nothing if that is not known."""
    if re.fullmatch("#+", written):
        return "is what Excel writes for a date in a narrow column. Widen the column, and save the file again."
    if re.fullmatch(r"\d{1,2}:\d\d\.\d", written):
        return "has lost its date and hour in Excel. Format the column as yyyy-mm-dd hh:mm:ss, and save the file again."
    if re.fullmatch(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:\s*[AaPp]\.?[Mm]\.?)?", written):
        return "has no date. Write date and time, or a column date beside the column time."
    if re.fullmatch(r"\d{1,2}[-/. ](?:\d{1,2}|[A-Za-z]{3,})|[A-Za-z]{3,}[-/. ]\d{1,2}", written):
        return "has no year, or no day. Write the whole date."
    return ""


def build_unreadable_error(written: str, zoned: bool, order: Order | None, form: str | None) -> DataError:
    """Return the error, without a place, of a time that was not accepted."""
    value = written[:40]
    if re.fullmatch(r"\d(?:\.\d+)?[eE]\+\d+", written):
        template = (
            "timestamp {value!r} was shortened by Excel; its last digits are lost. Export the file again, and do not open it "
            "in Excel before."
        )
        return DataError(template, value=value)
    fields = split_fields(normalize_times(pd.Series([written])))
    kind = zone_kind(fields.zone.iloc[0])
    if fields.first[0] >= 0 and kind != "unknown" and (kind in ("offset", "name")) != zoned and kind != "label":
        template = "timestamp {value!r} has a time zone, unlike the first row's. Write all times the same way."
        if zoned:
            template = "timestamp {value!r} has no time zone, unlike the first row's. Write all times the same way."
        return DataError(template, value=value)
    if kind == "name" and zoned and to_micros(fields, order)[0] != NOT_A_TIME:
        template = (
            "timestamp {value!r} does not exist: clocks are put forward in this hour. Write it in UTC, or correct it."
        )
        return DataError(template, value=value)
    if lacking := _find_lacking(written):
        return DataError(f"timestamp {{value!r}} {lacking}", value=value)
    if fields.first[0] >= 0 and kind == "unknown" and re.search("[A-Za-z]", fields.zone.iloc[0]):
        template = (
            "timestamp {value!r} cannot be read: {zone!r} is no known time zone. Write a name like America/New_York or an "
            "offset like +08:00, or leave it out and set data.timezone."
        )
        return DataError(template, value=value, zone=fields.zone.iloc[0])
    if IRANIAN[0] <= fields.first[0] <= IRANIAN[1]:
        template = (
            "timestamp {value!r} cannot be read: the year is not of the Gregorian calendar. Convert the dates to it."
        )
        return DataError(template, value=value)
    if order and DAY_OR_MONTH.match(written):
        template = "timestamp {value!r} cannot be read {order}, as the other rows. Correct it, or set data.time_format."
        return DataError(
            template, value=value, order={"DMY": "day first", "MDY": "month first"}.get(order, "year first")
        )
    return DataError("timestamp {value!r} cannot be read. Write it like {form}.", value=value, form=ACCEPTED)
