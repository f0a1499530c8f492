"""What is found in candles: errors, repairs and notes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from kronos.candles import Array
from kronos.data.files.read import LINES_A_PART, RawSeries
from kronos.errors import DataError

Severity = Literal["error", "repair", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "repair", "note")
N_PLACES = 3
MAX_ERRORS_LISTED = 10

# Every finding, with what it means. Those of the name of a key in `repairs` can be switched there.
FINDINGS = {
    "unreadable": "the file cannot be read",
    "reading": "what was assumed in reading the file",
    "unsorted": "rows out of order of time",
    "duplicates": "repeated rows",
    "conflicting": "different candles at the same time",
    "not_finite": "blank or non-finite prices",
    "blank_volume": "volume or amount left blank",
    "non_positive": "prices of 0 or less",
    "impossible": "impossible candles",
    "unfinished": "a last candle that is still growing",
    "clock_changes": "clocks put forward or back within the rows",
    "time_zone": "trading hours that move, as where the stamps' time zone changes",
    "intervals": "stretches of different candle intervals",
    "irregular": "times without a fixed interval",
    "gaps": "candles missing within the trading hours",
    "halts": "trading days without candles",
    "jumps": "prices that jump as at a split",
    "flat": "long stretches without a trade",
    "volume": "volume or amount is missing or constant",
    "zones": "times with zones beside times without",
    "copies": "the same candles as another symbol's",
    "short": "too few candles for a window",
}


@dataclass(frozen=True)
class Finding:
    """One kind of finding in one series.

    count: rows, candles or places concerned. places: the first few. message: what it is and what is done about it.
    remedy: what to do about an error. at: local times concerned, int64 microseconds since 1970, all of them.
    """

    code: str
    severity: Severity
    source: str
    symbol: str
    count: int
    places: tuple[str, ...]
    message: str
    remedy: str = ""
    at: Array = field(default_factory=lambda: np.empty(0, np.int64), repr=False, compare=False)

    def __str__(self) -> str:
        where = (
            f"{self.count:,} times, first at {self.places[0]}"
            if self.count > 1 and self.places
            else "".join(self.places)
        )
        name = self.symbol if self.symbol and self.symbol not in self.source else ""
        said = f"{self.message}; {self.remedy}" if self.remedy else self.message
        return f"{', '.join(filter(None, [self.source, name, where]))}: {said}"

    def to_json(self) -> dict[str, Any]:
        """Return what a JSON file holds of it."""
        keys = ("code", "severity", "source", "symbol", "count", "message", "remedy")
        return {key: getattr(self, key) for key in keys} | {"places": list(self.places)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Finding:
        return cls(**values | {"places": tuple(values["places"])})


def severity_of(action: str) -> Severity:
    """A finding is an error where the action is error, a note where nothing is done, else a repair."""
    return {"error": "error", "keep": "note"}.get(action, "repair")  # type: ignore[return-value]


def found_in(
    raw: RawSeries,
    code: str,
    severity: Severity,
    message: str,
    rows: Array | None = None,
    count: int | None = None,
    remedy: str = "",
) -> Finding:
    """Make a finding about rows of a series."""
    rows = np.empty(0, np.int64) if rows is None else rows
    places = tuple(place(raw, row) for row in rows[:N_PLACES])
    n = len(rows) if count is None else count
    return Finding(code, severity, raw.source, raw.symbol, n, places, message, remedy, raw.local[rows])


def place(raw: RawSeries, row: int) -> str:
    """Say where a row stands."""
    part, line = divmod(int(raw.lines[row]), LINES_A_PART)
    file = f"{raw.parts[part]}, " if raw.parts else ""
    return f"{file}{raw.unit} {line} ({format_time(raw.local[row])})"


def format_time(micros: int) -> str:
    """Write a local time as shortly as it allows."""
    text = str(np.datetime64(int(micros), "us")).replace("T", " ")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.removesuffix(":00").removesuffix(" 00:00")


def refuse_errors(findings: Iterable[Finding]) -> None:
    """Raise a DataError where there are errors, naming the first few."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    said = [str(error) for error in errors[:MAX_ERRORS_LISTED]]
    if len(errors) > MAX_ERRORS_LISTED:
        said.append(f"… and {len(errors) - MAX_ERRORS_LISTED:,} more; kronos check lists them all.")
    raise DataError("\n".join(said))
