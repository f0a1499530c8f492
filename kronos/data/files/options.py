"""What the configuration says about reading files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from kronos.config.data import DataConfig


@dataclass(frozen=True)
class ReadingOptions:
    """How to read a file where it does not show it itself; the keys of `data` with these names.

    columns: our name of a column to the file's. timezone: the market's time zone, for example Asia/Shanghai, or after the
    zone of times that are written without one, UTC:Asia/Shanghai. time_format: how times are written, as in strptime.
    series: whether parts in time are joined; by default those that continue one another.
    decimal: the decimal sign of numbers. since, until: the first and the last day or local time to use.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    timezone: str | None = None
    time_format: str | None = None
    series: Literal["join", "separate"] | None = None
    decimal: Literal[".", ","] | None = None
    since: date | datetime | None = None
    until: date | datetime | None = None

    @classmethod
    def of(cls, given: DataConfig | ReadingOptions | Mapping[str, str] | None) -> ReadingOptions:
        """Return the options of a configuration, or of a mapping of columns alone."""
        if isinstance(given, ReadingOptions):
            return given
        if isinstance(given, DataConfig):
            held_out = given.val_symbols or given.test_symbols  # they name the series as they are
            series = given.series or ("separate" if held_out else None)
            return cls(
                *(given.columns, given.timezone, given.time_format, series, given.decimal, given.since, given.until)
            )
        return cls(given or {})

    @property
    def zones(self) -> tuple[str | None, str | None]:
        """The zone of times that are written without one, if it is given, and the market's."""
        written, _, market = (self.timezone or "").rpartition(":")
        return written or None, market or None
