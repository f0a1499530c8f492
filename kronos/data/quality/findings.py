"""Findings about candles: errors, repairs and notes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from kronos.candles import Array
from kronos.config.data import RepairsConfig
from kronos.data.files.read import LINES_A_PART, RawSeries
from kronos.errors import DataError
from kronos.names import Message, Template, fill_template

Severity = Literal["error", "repair", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "repair", "note")
N_PLACES = 3
MAX_ERRORS_LISTED = 10
FEW, SHARE = 10, 0.1  # rows with one fault, and their share of all rows, from which on the file was probably misread

# Every kind of finding. `repairs` has a key for those that can be switched.
FINDINGS: dict[str, Template] = {
    "unreadable": "the file cannot be read",
    "fetched": "where the candles come from",
    "limits": "rows before data.since or after data.until",
    "reading": "what was assumed in reading the file",
    "unsorted": "rows not in order of time",
    "misread": "times or columns that were probably misread",
    "midnights": "candles of days that begin at midnight in another time zone",
    "night_session": "a night session with the date of the next trading day",
    "series": "series that may be parts of one",
    "duplicates": "repeated rows",
    "conflicting": "different candles at the same time",
    "not_finite": "blank or non-finite prices",
    "blank_volume": "volume or amount left blank",
    "non_positive": "prices of 0 or less",
    "impossible": "impossible candles",
    "unfinished": "an unfinished last candle",
    "clock_changes": "clocks put forward or back within the rows",
    "time_zone": "trading hours that move, as if the time zone of the timestamps changed",
    "intervals": "stretches of different candle intervals",
    "irregular": "times without a fixed interval",
    "gaps": "candles missing within the trading hours",
    "halts": "trading days without candles",
    "jumps": "price jumps, as at a split",
    "flat": "long stretches without a trade",
    "volume": "volume or amount is missing or constant",
    "levels": "a level that changes once and stays",
    "zones": "times with a time zone beside times without",
    "copies": "the same candles as another symbol's",
    "short": "too few candles for a window",
}


ACTIONS: dict[str, Template] = {
    "sort": "sorted",
    "drop": "left out",
    "once": "one of each is kept",
    "first": "the first of each is kept",
    "last": "the last of each is kept",
    "fill": "filled with the previous close and no volume",
    "widen": "high and low widened to include open and close",
    "zero": "set to 0",
    "keep": "kept as they are",
    "break": "no window crosses them",
}


@dataclass(frozen=True)
class Finding:
    """One kind of finding in one series.

    kind: a key of FINDINGS. count: rows, candles or places concerned. places: the first few. template, values: what is
    wrong and what is done about it, in English, as in `str.format`. remedy_template: how to correct an error.
    at: all local times concerned, int64 microseconds since 1970.
    """

    kind: str
    severity: Severity
    source: str
    symbol: str
    count: int
    places: tuple[str, ...]
    template: Template
    values: Mapping[str, object] = field(default_factory=dict, hash=False)
    remedy_template: Template = ""
    at: Array = field(default_factory=lambda: np.empty(0, np.int64), repr=False, compare=False)

    @property
    def text(self) -> str:
        return fill_template(self.template, self.values)

    @property
    def remedy(self) -> str:
        return fill_template(self.remedy_template, self.values)

    @property
    def message(self) -> Message:
        """Return the whole finding with its place, for one line."""
        where: object = self.places[0] if self.places else ""
        if self.count > 1 and self.places:
            where = Message("{n:,} times, first at {place}", n=self.count, place=self.places[0])
        name = self.symbol if self.symbol and self.symbol not in self.source else ""
        text = Message(self.template.rstrip(".") if self.remedy else self.template, **self.values)
        place = Message.join(filter(None, [self.source, name, where]), ", ")
        if not self.remedy:
            return Message("{place}: {text}", place=place, text=text)
        remedy = Message(self.remedy_template, **self.values)
        return Message("{place}: {text}. {remedy}", place=place, text=text, remedy=remedy)

    def __str__(self) -> str:
        return self.message

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain values: its English text, and the template and values to word it otherwise."""
        keys = ("severity", "source", "symbol", "count", "remedy", "template", "remedy_template")
        plain = {key: getattr(self, key) for key in keys} | {"places": list(self.places)}
        return plain | {
            "code": self.kind,
            "message": self.text,
            "values": {key: _to_plain(v) for key, v in self.values.items()},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Finding:
        """Return the finding of to_json; files of older versions hold the finished texts only."""
        return cls(
            *(values["code"], values["severity"], values["source"], values["symbol"], values["count"]),
            tuple(values["places"]),
            values.get("template", values["message"]),
            values.get("values", {}),
            values.get("remedy_template", values["remedy"]),
        )


def _to_plain(value: object) -> object:
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if isinstance(plain, str | int | float) else str(plain)


def choose_severity(action: str) -> Severity:
    """Return error for the action error, note if nothing is done, else repair."""
    return {"error": "error", "keep": "note"}.get(action, "repair")  # type: ignore[return-value]


def make_finding(
    raw: RawSeries,
    kind: str,
    severity: Severity,
    template: Template,
    rows: Array | None = None,
    count: int | None = None,
    remedy: Template = "",
    **values: Any,
) -> Finding:
    """Return a finding about rows of a series."""
    rows = np.empty(0, np.int64) if rows is None else rows
    places = tuple(format_place(raw, row) for row in rows[:N_PLACES])
    n = len(rows) if count is None else count
    return Finding(kind, severity, raw.source, raw.symbol, n, places, template, values, remedy, raw.local[rows])


class Cause(NamedTuple):
    """The probable cause of a fault in many rows and its remedy, as templates for values.

    certain: whether it is an error even if a key of `repairs` would let it pass.
    """

    template: Template
    remedy: Template
    values: dict[str, Any]
    certain: bool = False


def is_widespread(rows: Array, raw: RawSeries) -> bool:
    """Whether so many rows have a fault that the file was probably misread."""
    return len(rows) >= max(FEW, SHARE * len(raw)) or 3 <= len(rows) == len(raw)


def quote_setting(key: str, value: str) -> str:
    """Return an override for a command line."""
    return shlex.quote(f"{key}={value}")


def report_rows(
    raw: RawSeries,
    kind: str,
    rows: Array,
    action: str,
    detail: Template = "",
    cause: Cause | None = None,
    **values: Any,
) -> list[Finding]:
    """Return the finding about these rows, if there are any, for an action of `repairs`.

    detail: a template that shows the first row, for values. cause: why the file was misread; no repair is then offered.
    """
    if not len(rows):
        return []
    if cause and (cause.certain or action == "error"):
        return [make_finding(raw, kind, "error", cause.template, rows, remedy=cause.remedy, **cause.values)]
    template = f"{FINDINGS[kind]} ({detail})" if detail else FINDINGS[kind]
    values["action"] = action
    if action == "error":
        values |= {"key": kind, "options": Message.join((a for a in list_actions(kind) if a != "error"), " or ")}
        remedy = "Correct the file, or set repairs.{key} to {options}."
        return [make_finding(raw, kind, "error", template, rows, remedy=remedy, **values)]
    done = ACTIONS["once" if kind == "duplicates" else action]
    return [make_finding(raw, kind, choose_severity(action), f"{template}; {done}", rows, **values)]


def list_actions(kind: str) -> tuple[str, ...]:
    """Return the values of repairs.{kind}."""
    return RepairsConfig.model_fields[kind].annotation.__args__  # type: ignore[union-attr,no-any-return]


def format_place(raw: RawSeries, row: int) -> Message:
    """Return where a row stands: its line or row and its time."""
    part, line = divmod(int(raw.lines[row]), LINES_A_PART)
    place = Message("{unit} {line} ({time})", unit=Message(raw.unit), line=line, time=format_time(raw.local[row]))
    return Message.join([Path(raw.parts[part]).name, place], ", ") if raw.parts else place


def format_time(micros: int) -> str:
    """Return a local time without the parts that are 0."""
    text = str(np.datetime64(int(micros), "us")).replace("T", " ")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.removesuffix(":00").removesuffix(" 00:00")


def raise_errors(findings: Iterable[Finding]) -> None:
    """Raise a DataError that lists the first few errors, if there are any."""
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    listed = Message.join(error.message for error in errors[:MAX_ERRORS_LISTED])
    if len(errors) <= MAX_ERRORS_LISTED:
        raise DataError("{errors}", errors=listed)
    more = len(errors) - MAX_ERRORS_LISTED
    raise DataError("{errors}\n… and {n:,} more. kronos check lists all of them.", errors=listed, n=more)
