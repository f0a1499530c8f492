"""Recognise how a file writes its times, and read them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from kronos.candles import Array
from kronos.data.files.notes import ReadingNote
from kronos.data.files.options import ReadingOptions
from kronos.data.files.times.doubts import AmbiguousTimes, build_ambiguous_error, build_unreadable_error
from kronos.data.files.times.epochs import LOCAL_UNITS, NUMBER, UNIT_NAMES, parse_numbers, recognise_unit
from kronos.data.files.times.fields import (
    FIRST_MICROS,
    LAST_MICROS,
    NOT_A_TIME,
    Fields,
    Order,
    find_calendars,
    find_orders,
    split_fields,
    to_micros,
)
from kronos.data.files.times.short import SIX_DIGITS, find_short_format
from kronos.data.files.times.texts import normalize_times
from kronos.data.files.times.zones import is_pair, localize, show_on_clock, to_instants, zone_kind
from kronos.errors import DataError

Text = pd.Series  # of str
DATE_FORMATS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%f"}
COMPACT_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\d{2}|\d{4}|\d{6}|\d{9})?")
# The usual ways to write a time, which pandas reads fast.
ISO = re.compile(r"(?:19|20)\d{2}([-/.])\d{1,2}\1\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)?")
ISO_ZONED = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?\s?(?:[Zz]|[+-]\d\d:?\d\d)$"
ZONE_SUFFIX = r"\s?(?:[Zz]|[+-]\d{2}:?\d{2})$"
DIGITS = r"\d+(?:\.0*)?"
ORDER_WORDS = {"DMY": "day first", "MDY": "month first", "YMD": "year first"}

Kind = Literal["number", "compact", "zoned", "text", "native", "given"]


@dataclass(frozen=True)
class TimestampFormat:
    """How a file writes its times. All rows must have a time zone, or none.

    unit: of numbers. format: as in strptime, that of most rows. order: of day, month and year, where the year is not
    first. written_zone: of times without a zone, if it is given. market_zone: on whose clock the local times are, if it
    is given. label: whether a name behind the times is no
    offset. given: whether the unit is given. seen: what the rows showed, for the notes.
    """

    kind: Kind
    zoned: bool  # whether the file has true times
    unit: str | None = None
    format: str | None = None
    order: Order | None = None
    written_zone: str | None = None
    market_zone: str | None = None
    label: bool = False
    given: bool = False
    seen: dict[str, None] = field(default_factory=dict, compare=False)

    @classmethod
    def recognise(
        cls, times: Text, options: ReadingOptions, read_all: Callable[[], Text] | None = None
    ) -> TimestampFormat:
        """Recognise how times are written, unless options.time_format gives it.

        Args:
            times: the first rows. read_all: returns all rows; it is called if the first leave the order of day and
                month open.

        Raises:
            DataError: without a place; the first row's time is of no known kind, or the rows can be read in two ways.
        """
        written, market = options.zones
        found = cls._of_format(options.time_format) if options.time_format else cls._guess(times, read_all)
        zoned = found.zoned or bool(written)
        return replace(found, zoned=zoned, written_zone=None if found.zoned else written, market_zone=market)

    @classmethod
    def _of_format(cls, form: str) -> TimestampFormat:
        if form in UNIT_NAMES:
            return cls("number", form not in LOCAL_UNITS, unit=form, given=True)
        return cls("given", "%z" in form, format=form)

    @classmethod
    def _guess(cls, times: Text, read_all: Callable[[], Text] | None) -> TimestampFormat:
        if isinstance(times.dtype, pd.DatetimeTZDtype) or times.dtype.kind == "M":
            return cls("native", isinstance(times.dtype, pd.DatetimeTZDtype))
        first = normalize_times(times.iloc[:1]).iloc[0]
        if re.match(ISO_ZONED, first):
            return cls("zoned", True)
        if ISO.fullmatch(first):
            return cls("text", False, format=guess_datetime_format(first))
        text = normalize_times(times)
        if SIX_DIGITS.fullmatch(first):
            return cls("given", False, format=find_short_format(text))
        if re.fullmatch(NUMBER, first):
            digits = first.partition(".")[0]
            if re.fullmatch(DIGITS, first) and COMPACT_DATE.fullmatch(digits):
                return cls("compact", False, format=DATE_FORMATS[len(digits)])
            unit = recognise_unit(text)
            return cls("number", unit not in LOCAL_UNITS, unit=unit)
        return cls._guess_text(text, read_all)

    @classmethod
    def _guess_text(cls, text: Text, read_all: Callable[[], Text] | None) -> TimestampFormat:
        fields = split_fields(text)
        orders = find_orders(fields)
        if len(orders) > 1 and read_all:
            fields = split_fields(normalize_times(read_all()))
            orders = find_orders(fields)
        if len(orders) > 1:
            raise build_ambiguous_error(text, orders)
        order = orders[0] if orders else _most_likely(fields)
        zones = {zone for zone in fields.zone[fields.first >= 0] if zone}
        kinds = {zone_kind(zone) for zone in zones}
        label = kinds == {"label"} and not is_pair(zones)
        zoned = zone_kind(fields.zone.iloc[0]) in ("offset", "name") or (kinds == {"label"} and not label)
        used = order if fields.unknown.any() else None
        form = None if zones or find_calendars(fields) else _find_format(text.iloc[:1], used)
        return cls("text", zoned, format=form, order=used, label=label)

    def describe(self) -> tuple[ReadingNote, ...]:
        """Return notes about what was assumed."""
        notes = [ReadingNote.make("timestamps read as {unit}", unit=UNIT_NAMES[unit]) for unit in self._units()]
        if self.order:
            notes.append(ReadingNote.make("dates read {order}", order=ORDER_WORDS[self.order]))
        for calendar in self.seen.keys() - UNIT_NAMES.keys() - {"label"}:
            notes.append(ReadingNote.make("years read as those of {calendar}", calendar=calendar))
        if self.label:
            notes.append(ReadingNote("the name of the time zone behind the times is not used"))
        if self.market_zone and self.zoned:
            notes.append(ReadingNote.make("times shown on the clock of {zone}", zone=self.market_zone))
        return tuple(notes)

    def _units(self) -> list[str]:
        units = [unit for unit in UNIT_NAMES if unit in self.seen]
        return units or ([self.unit] if self.unit else [])

    def parse(self, times: Text) -> tuple[Array, Array]:
        """Return local and true times as (N,) int64 microseconds since 1970, NOT_A_TIME for a row of another format.

        Without zones both are the same array.
        """
        local, instants = self._parse_as_written(times)
        if self.written_zone:
            instants = localize(local, self.written_zone)
        if self.zoned and self.market_zone:
            local = show_on_clock(instants, self.market_zone)
        return local, instants

    def _parse_as_written(self, times: Text) -> tuple[Array, Array]:
        if self.kind == "native":
            local = _to_micros(times.dt.tz_localize(None))
            return local, _to_micros(times) if isinstance(times.dtype, pd.DatetimeTZDtype) else local
        if self.kind == "given":
            return self._parse_given(times.astype("str").fillna("").str.strip())
        text = times.astype("str").fillna("").str.strip()
        local, instants = self._parse_usual(text)
        if (unread := (local == NOT_A_TIME) | (instants == NOT_A_TIME)).any():
            plain = text.mask(unread, normalize_times(text[unread]))
            if not plain.equals(text):
                local, instants = self._parse_usual(plain)
            if self.kind != "number":
                self._parse_rest(plain, local, instants)
        return local, instants

    def _parse_usual(self, text: Text) -> tuple[Array, Array]:
        """Read the rows that are written as most are; fast."""
        if self.kind == "zoned":
            usual = text.where(text.str.match(ISO_ZONED))
            # The calendar features and the sessions follow the wall clock as written.
            local = _to_micros(_to_datetime(usual.str.replace(ZONE_SUFFIX, "", regex=True)))
            return local, _to_micros(_to_datetime(usual, utc=True))
        local = np.full(len(text), NOT_A_TIME)
        if self.kind == "number":
            local, units = parse_numbers(text, self.unit or "s", self.given)
            self.seen.update(dict.fromkeys(sorted(units)))
        elif self.kind == "compact":
            digits = text.where(text.str.fullmatch(DIGITS)).str.partition(".")[0]  # pandas also accepts "now"
            local = _to_micros(pd.to_datetime(digits, format=self.format, errors="coerce"))
        elif self.format is not None:
            dates = text.where(text.str.match(r"\d"))  # pandas also accepts "now"
            local = _to_micros(pd.to_datetime(dates, format=self.format, errors="coerce"))
        return local, local.copy() if self.zoned and not self.written_zone else local

    def _parse_given(self, text: Text) -> tuple[Array, Array]:
        form = self.format or ""
        if "%z" not in form:
            local = _to_micros(pd.to_datetime(text, format=form, errors="coerce"))
            return local, local
        instants = _to_micros(pd.to_datetime(text, format=form, errors="coerce", utc=True))
        plain = text.str.replace(ZONE_SUFFIX, "", regex=True)
        local = _to_micros(pd.to_datetime(plain, format=form.removesuffix("%z").rstrip(), errors="coerce"))
        return np.where(local == NOT_A_TIME, instants, local), instants

    def _parse_rest(self, text: Text, local: Array, instants: Array) -> None:
        """Read the rows that are not known yet, field by field, into local and instants."""
        rest = np.flatnonzero((local == NOT_A_TIME) | (instants == NOT_A_TIME))
        fields = split_fields(text.iloc[rest])
        read = to_micros(fields, self.order)
        kinds = fields.zone.map({zone: zone_kind(zone) for zone in fields.zone.unique()})
        fitting = kinds.isin(["offset", "name", "label"] if self.zoned and not self.written_zone else ["none", "label"])
        read = np.where(fitting, read, NOT_A_TIME)
        local[rest] = read
        if self.zoned and not self.written_zone:
            instants[rest] = to_instants(read, fields.zone)
        self.seen.update(dict.fromkeys(find_calendars(fields)))

    def explain(self, times: Text, row: int) -> DataError:
        """Return the error, without a place, of a row whose time was not accepted."""
        written = str(times.astype("str").fillna("").str.strip().iloc[row])
        return build_unreadable_error(written, self.zoned and not self.written_zone, self.order, self.format)


def looks_like_times(times: Text) -> bool:
    """Whether all rows are times, in one way or in several."""
    try:
        clock = TimestampFormat.recognise(times, ReadingOptions())
    except AmbiguousTimes:
        return True
    except DataError:
        return False
    local, instants = clock.parse(times)
    return not ((local == NOT_A_TIME) | (instants == NOT_A_TIME)).any()


def is_newest_first(times: Text) -> bool:
    """Whether the last of these times is before the first."""
    try:
        local, _ = TimestampFormat.recognise(times, ReadingOptions()).parse(times)
    except AmbiguousTimes:
        return False
    return bool(local[0] > local[-1])


def _most_likely(fields: Fields) -> Order:
    """Return the order in which most rows are times."""
    orders: tuple[Order, ...] = ("DMY", "MDY", "YMD")
    return max(orders, key=lambda order: int((to_micros(fields, order) != NOT_A_TIME).sum()))


def _find_format(first: Text, order: Order | None) -> str | None:
    """Return how the first time is written, as in strptime, if pandas reads it as we do."""
    form = guess_datetime_format(first.iloc[0], dayfirst=order == "DMY")
    if not form or re.search(r"[^\W\d_T]", re.sub("%.", "", form)):  # words that pandas takes as they stand
        return None
    read = _to_micros(pd.to_datetime(first, format=form, errors="coerce"))
    return form if read[0] == to_micros(split_fields(first), order)[0] else None


def _to_datetime(text: Text, utc: bool = False) -> pd.Series:
    return pd.to_datetime(text, format="mixed", errors="coerce", utc=utc)


def _to_micros(times: object) -> Array:
    index = pd.DatetimeIndex(times)  # type: ignore[arg-type]
    micros = index.as_unit("us").asi8 if index.unit == "ns" else _to_micros_of(index)
    known = ~np.asarray(index.isna()) & (micros >= FIRST_MICROS) & (micros <= LAST_MICROS)
    return np.where(known, micros, NOT_A_TIME)


def _to_micros_of(index: pd.DatetimeIndex) -> Array:
    """Convert seconds to microseconds; a year far beyond 9999 overflows, and is no time."""
    unit = pd.Timedelta(1, "s") // pd.Timedelta(1, index.unit)
    seconds = index.asi8 // unit
    inside = (seconds >= FIRST_MICROS // 10**6) & (seconds <= LAST_MICROS // 10**6)
    return pd.DatetimeIndex(index.where(inside)).as_unit("us").asi8.copy()
