"""Find and repair the defects of a series of candles, one kind of defect a step.

The section `repairs` of the configuration sets what is done about a finding. The user's file is never changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.config.data import RepairsConfig
from kronos.data.files.read import RawSeries
from kronos.data.quality.clashes import explain_clashes
from kronos.data.quality.daylight_saving import follow_clock
from kronos.data.quality.findings import FINDINGS, Finding, make_finding, report_rows
from kronos.data.quality.misread import clear_markers, explain_blank, explain_impossible, explain_non_positive
from kronos.data.quality.night_session import date_night_sessions
from kronos.data.quality.order import find_misread_order, sort_rows
from kronos.names import Message

RepairStep = Callable[[RawSeries, RepairsConfig], tuple[RawSeries, list[Finding]]]
OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)


def repair_series(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    """Return the series in order of time, each time once and every candle possible, and the findings.

    Rows with an error hold the previous close in the returned series. The other rows can then be inspected.
    """
    findings = [make_finding(raw, "reading", "note", note.template, **dict(note.values)) for note in raw.notes]
    raw, more = restore_times(raw)
    findings += more
    for step in STEPS:
        raw, more = step(raw, repairs)
        findings += more
    return raw, findings


def restore_times(raw: RawSeries) -> tuple[RawSeries, list[Finding]]:
    """Date night sessions to their evenings, and reconstruct true time across changes of clocks."""
    raw, findings = date_night_sessions(raw)
    raw, more = follow_clock(raw)
    return raw, findings + more


def _remove(raw: RawSeries, wrong: Array, action: str) -> RawSeries:
    """Leave rows out. Rows with an error only lose their values: they must not look like gaps as well."""
    if action != "error" or wrong.all():
        return raw.take(~wrong)
    values = raw.values.copy()
    before = np.maximum.accumulate(np.where(wrong, -1, np.arange(len(raw))))
    before[before < 0] = wrong.argmin()
    values[wrong, :VOLUME] = values[before[wrong], CLOSE][:, None]
    values[wrong, VOLUME:] = 0
    return replace(raw, values=values)


def _order(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    late = 1 + np.flatnonzero(raw.instants[1:] < raw.instants[:-1])
    if not len(late):
        return raw, []
    findings = find_misread_order(raw, late) or report_rows(raw, "unsorted", late, repairs.unsorted)
    return sort_rows(raw), findings


def _drop_duplicates(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    """Keep one row of each time. Equal rows are duplicates, the others conflict."""
    same_time = raw.instants[1:] == raw.instants[:-1]
    if not same_time.any():
        return raw, []
    before, after = np.flatnonzero(same_time), 1 + np.flatnonzero(same_time)
    alike = (
        (raw.values[before] == raw.values[after]) | np.isnan(raw.values[before]) & np.isnan(raw.values[after])
    ).all(1)
    duplicates, conflicting = after[alike], after[~alike]
    findings = report_rows(raw, "duplicates", duplicates, repairs.duplicates)
    findings += _report_conflicting(raw, conflicting, repairs.conflicting)
    keep = np.ones(len(raw), bool)
    keep[duplicates] = False
    raw = raw.take(keep)
    same_time = np.diff(raw.instants) == 0
    kept = np.append(~same_time, True) if repairs.conflicting == "last" else np.insert(~same_time, 0, True)
    return raw.take(kept), findings


def _drop_blank_twins(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    """Leave out rows without a price if another row at the same time has one."""
    blank = np.asarray(np.isnan(raw.values[:, :VOLUME]).any(axis=1))
    if not blank.any():
        return raw, []
    same = raw.instants[1:] == raw.instants[:-1]
    beside = np.append(same & ~blank[1:], False) | np.insert(same & ~blank[:-1], 0, False)
    rows = np.flatnonzero(blank & beside)
    return (raw.take(~(blank & beside)) if len(rows) else raw), report_rows(raw, "duplicates", rows, repairs.duplicates)


def _report_conflicting(raw: RawSeries, rows: Array, action: str) -> list[Finding]:
    if not len(rows):
        return []
    column = int((raw.values[rows[0]] != raw.values[rows[0] - 1]).argmax())
    shown = {"one": _format(raw.values[rows[0] - 1, column]), "other": _format(raw.values[rows[0], column])}
    shown["column"] = CANDLE_COLUMNS[column]
    cause = explain_clashes(raw, rows)
    return report_rows(raw, "conflicting", rows, action, "{column} {one} and {other}", cause, **shown)


def _format(value: float) -> str:
    return f"{value:.6g}"


def _repair_not_finite(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    wrong = np.asarray(~np.isfinite(raw.values[:, :VOLUME]).all(axis=1) | np.isinf(raw.values[:, VOLUME:]).any(axis=1))
    if not wrong.any():
        return raw, []
    rows = np.flatnonzero(wrong)
    column = int((~np.isfinite(raw.values[rows[0]])).argmax())
    value = raw.values[rows[0], column]
    detail = "{column} is blank" if np.isnan(value) else "{column} is infinite"
    cause = explain_blank(raw, rows)
    report = partial(report_rows, raw, "not_finite", detail=detail, cause=cause, column=CANDLE_COLUMNS[column])
    if repairs.not_finite != "fill":
        return _remove(raw, wrong, repairs.not_finite), report(rows, repairs.not_finite)
    row = np.arange(len(raw))
    known = np.maximum.accumulate(np.where(wrong, -1, row))  # the last earlier row with a price
    end = np.minimum.accumulate(np.where(wrong, len(raw), row)[::-1])[::-1]
    short = wrong & (known >= 0) & (end - known - 1 <= repairs.fill_limit)
    too_long = np.flatnonzero(wrong & ~short)
    values = raw.values.copy()
    values[short] = 0
    values[short, :VOLUME] = values[known[short], CLOSE][:, None]
    findings = report(np.flatnonzero(short), "fill")
    if len(too_long):
        template = f"{FINDINGS['not_finite']}: more than repairs.fill_limit ({{limit}}) in a row, or none before them"
        remedy = "Correct the file, raise repairs.fill_limit, or set repairs.not_finite to drop."
        findings.append(
            make_finding(*(raw, "not_finite", "error", template, too_long), remedy=remedy, limit=repairs.fill_limit)
        )
    return _remove(replace(raw, values=values), wrong & ~short, "error"), findings


def _repair_blank_volume(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    markers: list[str] = []
    if (raw.values[:, VOLUME:] < 0).any():
        raw, markers = clear_markers(raw)
    blank = np.isnan(raw.values[:, VOLUME:])
    if not blank.any():
        return raw, []
    rows = np.flatnonzero(blank.any(axis=1))
    names = Message.join((name for i, name in enumerate(CANDLE_COLUMNS[VOLUME:]) if blank[:, i].any()), " and ")
    detail = "{columns}; -1 marks a missing value" if markers else "{columns}"
    findings = report_rows(raw, "blank_volume", rows, repairs.blank_volume, detail, columns=names)
    return replace(raw, values=np.nan_to_num(raw.values, nan=0.0)), findings


def _repair_non_positive(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    wrong = np.asarray((raw.values[:, :VOLUME] <= 0).any(axis=1))
    if not wrong.any():
        return raw, []
    rows = np.flatnonzero(wrong)
    column = int((raw.values[rows[0], :VOLUME] <= 0).argmax())
    shown = {"column": CANDLE_COLUMNS[column], "value": _format(raw.values[rows[0], column])}
    cause = explain_non_positive(raw, rows)
    findings = report_rows(raw, "non_positive", rows, repairs.non_positive, "{column} is {value}", cause, **shown)
    return (raw if repairs.non_positive == "keep" else _remove(raw, wrong, repairs.non_positive)), findings


def _repair_impossible(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    values = raw.values
    too_low = values[:, HIGH] < np.maximum(values[:, OPEN], values[:, CLOSE])
    too_high = values[:, LOW] > np.minimum(values[:, OPEN], values[:, CLOSE])
    crossed, negative = values[:, HIGH] < values[:, LOW], np.asarray((values[:, VOLUME:] < 0).any(axis=1))
    wrong: Array = too_low | too_high | crossed | negative
    if not wrong.any():
        return raw, []
    rows = np.flatnonzero(wrong)
    detail = "open {open}, high {high}, low {low}, close {close}"
    if negative[rows[0]]:
        detail = "volume {volume}, amount {amount}"
    candle = {name: _format(value) for name, value in zip(CANDLE_COLUMNS, values[rows[0]])}
    cause = explain_impossible(raw, rows)
    findings = report_rows(raw, "impossible", rows, repairs.impossible, detail, cause, **candle)
    if repairs.impossible == "keep":
        return raw, findings
    if repairs.impossible != "widen":
        return _remove(raw, wrong, repairs.impossible), findings
    values = values.copy()
    values[rows, HIGH], values[rows, LOW] = values[rows, :VOLUME].max(axis=1), values[rows, :VOLUME].min(axis=1)
    values[:, VOLUME:] = np.maximum(values[:, VOLUME:], 0)
    return replace(raw, values=values), findings


# Sorting comes first: blanks are filled from the past. Impossible candles go before duplicates: of two candles at one time
# the possible one is kept.
STEPS: tuple[RepairStep, ...] = (
    _order,
    _drop_blank_twins,
    _repair_not_finite,
    _repair_blank_volume,
    _repair_non_positive,
    _repair_impossible,
    _drop_duplicates,
)
