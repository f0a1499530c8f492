"""Read timestamps as written in files: the exchange's wall clock and, if the file has time zones, the true time."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.tseries.api import guess_datetime_format

from kronos.candles import Array
from kronos.data.files.notes import ReadingNote
from kronos.data.files.options import ReadingOptions
from kronos.errors import DataError

Text = pd.Series  # of str
ACCEPTED = "2024-06-18 11:15:00, 2024/6/18 11:15, or as seconds or milliseconds since 1970"
# The number of plain digits tells the unit of a time since 1970 in UTC; other numbers may be dates without separators.
EPOCH_UNITS: dict[int, Literal["s", "ms", "us", "ns"]] = {
    9: "s",
    10: "s",
    12: "ms",
    13: "ms",
    15: "us",
    16: "us",
    18: "ns",
    19: "ns",
}
UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
DATE_FORMATS = {8: "%Y%m%d", 10: "%Y%m%d%H", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 17: "%Y%m%d%H%M%S%f"}
COMPACT_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\d{2}|\d{4}|\d{6}|\d{9})?")
# Year first only: 05/06/2024 is May in one country and June in the next. Only AM or PM may follow the time: pandas reads
# UTC+8 as 8 hours west.
YEAR_FIRST = r"\d{4}(?:([-/. ])(?:\d{1,2}|[A-Za-z]{3,9})\1\d{1,2}(?:[T\s][\d:.,\s]*(?:[AaPp][Mm])?)?|[-/]\d{1,2})$"
DIGITS = r"\d+(?:\.0*)?"
ZONED = r".*:.*(?:[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
ZONE_SUFFIX = r"\s*(?:[Zz]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
FIRST_YEAR, LAST_YEAR = -62_135_596_800, 253_402_300_799  # seconds; Python's dates know the years 1 to 9999
NOT_A_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True)
class TimestampFormat:
    """How a file writes its times, detected from its first row. All rows must be written that way."""

    kind: Literal["digits", "date", "zoned", "local", "native", "given"]
    zoned: bool  # whether the file has true times
    unit: Literal["s", "ms", "us", "ns"] | None = None
    format: str | None = None
    written_zone: str | None = None  # of times without a zone, if it is given
    market_zone: str | None = None  # on whose clock the local times are, if it is given

    @classmethod
    def recognise(cls, times: Text, options: ReadingOptions) -> TimestampFormat:
        """Recognise how times are written, unless options.time_format gives it.

        Raises:
            DataError: without a place; the first row's time is of no known kind.
        """
        written, market = options.zones
        found = cls._of_format(options.time_format) if options.time_format else cls._guess(times)
        zoned = found.zoned or bool(written)
        return replace(found, zoned=zoned, written_zone=None if found.zoned else written, market_zone=market)

    @classmethod
    def _of_format(cls, form: str) -> TimestampFormat:
        return cls("given", "%z" in form, format=form)

    @classmethod
    def _guess(cls, times: Text) -> TimestampFormat:
        if isinstance(times.dtype, pd.DatetimeTZDtype) or times.dtype.kind == "M":
            return cls("native", isinstance(times.dtype, pd.DatetimeTZDtype))
        first = _to_text(times.iloc[:1]).iloc[0]
        if re.fullmatch(DIGITS, first):
            digits = first.partition(".")[0]
            if COMPACT_DATE.fullmatch(digits):
                return cls("date", False, format=DATE_FORMATS[len(digits)])
            if len(digits) not in EPOCH_UNITS:
                template = "timestamp {value!r} is no date, and no number of seconds or milliseconds since 1970. Write it like {form}."
                raise DataError(template, value=first, form=ACCEPTED)
            return cls("digits", True, EPOCH_UNITS[len(digits)])
        if re.match(ZONED, first):
            return cls("zoned", True)
        return cls("local", False, format=guess_datetime_format(first) if re.match(YEAR_FIRST, first) else None)

    def describe(self) -> tuple[ReadingNote, ...]:
        """Return a note about the assumed unit, if there is one."""
        if not self.unit:
            return ()
        return (ReadingNote.make("timestamps read as {unit} since 1970, in UTC", unit=UNIT_NAMES[self.unit]),)

    def parse(self, times: Text) -> tuple[Array, Array]:
        """Return local and true times as (N,) int64 microseconds since 1970, NOT_A_TIME for a row of another format.

        Without zones both are the same array.
        """
        local, instants = self._parse_as_written(times)
        if self.written_zone:
            known = pd.to_datetime(local, unit="us").tz_localize(self.written_zone, ambiguous=True, nonexistent="NaT")
            instants = _to_micros(known)
        if self.zoned and self.market_zone:
            local = _to_micros(
                pd.to_datetime(instants, unit="us", utc=True).tz_convert(self.market_zone).tz_localize(None)
            )
        return local, instants

    def _parse_as_written(self, times: Text) -> tuple[Array, Array]:
        if self.kind == "native":
            local = _to_micros(times.dt.tz_localize(None))
            return local, _to_micros(times) if times.dt.tz is not None else local
        if self.kind == "given":
            return self._parse_given(_to_text(times))
        text = _to_text(times)
        if self.kind == "zoned":
            text = text.where(text.str.match(ZONED))
            # The calendar features and the sessions follow the wall clock as written.
            return _parse(text.str.replace(ZONE_SUFFIX, "", regex=True)), _to_micros(_to_datetime(text, utc=True))
        if self.kind == "digits":
            local = self._parse_digits(text)
        elif self.kind == "date":
            digits = text.where(text.str.fullmatch(DIGITS)).str.partition(".")[0]  # pandas also accepts "now"
            local = _to_micros(pd.to_datetime(digits, format=self.format, errors="coerce"))
        else:
            local = self._parse_local(text)
        return local, local

    def _parse_given(self, text: Text) -> tuple[Array, Array]:
        parsed = pd.to_datetime(text, format=self.format, errors="coerce")
        if "%z" not in (self.format or ""):
            local = _to_micros(parsed)
            return local, local
        instants = pd.to_datetime(text, format=self.format, errors="coerce", utc=True)
        return _to_micros(instants), _to_micros(instants)

    def _parse_local(self, text: Text) -> Array:
        if self.format is None:
            return _parse(text.mask(text.str.match(ZONED)))
        # Rows in the format of the first row are parsed fast, the others one by one. (pandas also accepts "now".)
        dates = text.where(text.str.match(r"\d"))
        local = _to_micros(pd.to_datetime(dates, format=self.format, errors="coerce"))
        if len(left := np.flatnonzero(local == NOT_A_TIME)):
            rest = text.iloc[left]
            local[left] = _parse(rest.mask(rest.str.match(ZONED)))
        return local

    def _parse_digits(self, text: Text) -> Array:
        digits = text.str.replace(r"\.0*$", "", regex=True)
        same_unit = digits.str.fullmatch(r"\d+") & (digits.str.len().map(EPOCH_UNITS) == self.unit)
        numbers = pd.to_numeric(digits.where(same_unit), errors="coerce")
        return _to_micros(pd.to_datetime(numbers, unit=self.unit, errors="coerce"))

    def explain(self, times: Text, row: int) -> DataError:
        """Return the error, without a place, of a row whose time was not accepted."""
        text = _to_text(times).iloc[row]
        has_zone = bool(re.match(ZONED, text))
        text = text[:40]
        if self.kind in ("zoned", "local") and ":" in text and has_zone != self.zoned:
            has = "a" if has_zone else "no"
            template = (
                f"timestamp {{value!r}} has {has} time zone, unlike the first row's. Write all times the same way."
            )
            return DataError(template, value=text)
        if re.match(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}", text):
            template = "timestamp {value!r} is ambiguous: day first or month first? Write the year first, like {form}."
            return DataError(template, value=text, form=ACCEPTED)
        return DataError("timestamp {value!r} cannot be read. Write it like {form}.", value=text, form=ACCEPTED)


def join_date_and_time(date: Text, time: Text) -> Text:
    """Join a column of dates and a column of times of day, with or without separators. The times may include the date."""
    day, clock = _to_text(date), _to_text(time)
    if clock.str.match(r"\d{4}[-/.]|\d{12}").all():
        return clock
    if day.str.fullmatch(r"\d{8}").all():
        day = day.str.slice(0, 4) + "-" + day.str.slice(4, 6) + "-" + day.str.slice(6)
    if clock.str.fullmatch(r"\d{1,6}").all() and (longest := clock.str.len().max()) > 2:
        clock = clock.str.zfill(6) if longest > 4 else clock.str.zfill(4) + "00"
        clock = clock.str.slice(0, 2) + ":" + clock.str.slice(2, 4) + ":" + clock.str.slice(4)
    return day.str.replace(r"[ T]00:00(:00)?$", "", regex=True) + " " + clock


def _to_text(times: Text) -> Text:
    text = times.astype("str").fillna("").str.strip()
    if len(text) and "年" in text.iloc[0]:
        for written, plain in ((r"[年月]", "-"), (r"日\s*", " "), (r"时|分(?=\d)", ":"), (r"[分秒]", "")):
            text = text.str.replace(written, plain, regex=True)
        text = text.str.strip()
    return text


def _parse(text: Text) -> Array:
    return _to_micros(_to_datetime(text.where(text.str.match(YEAR_FIRST))))


def _to_datetime(text: Text, utc: bool = False) -> Any:
    return pd.to_datetime(text, format="mixed", errors="coerce", utc=utc)


def _to_micros(times: Any) -> Array:
    index = pd.DatetimeIndex(times)
    seconds = index.asi8 // (pd.Timedelta(1, "s") // pd.Timedelta(1, index.unit))
    known = pd.DatetimeIndex(index.where((seconds >= FIRST_YEAR) & (seconds <= LAST_YEAR)))
    return known.as_unit("us").asi8.copy()
