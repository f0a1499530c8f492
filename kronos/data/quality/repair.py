"""What is wrong with a series of candles, and mending it: each step finds one kind of defect.

What is done about a finding says the section `repairs` of the configuration. The user's file is never written to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.config.data import RepairsConfig
from kronos.data.files.read import RawSeries
from kronos.data.quality.daylight_saving import follow_clock
from kronos.data.quality.findings import FINDINGS, Finding, found_in, severity_of

Step = Callable[[RawSeries, RepairsConfig], tuple[RawSeries, list[Finding]]]
OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
DONE = {
    "sort": "sorted",
    "drop": "left out",
    "once": "one of each is kept",
    "first": "the first of each is kept",
    "last": "the last of each is kept",
    "fill": "filled with the close before, without volume",
    "widen": "high and low widened to hold the candle",
    "zero": "taken as 0",
    "keep": "kept as they are",
    "break": "no window crosses them",
}


def repair_series(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    """Bring a series in order of time, each time once, every candle possible; say what was found on the way.

    Rows with an error hold the close before in what is returned, so that the rest can be looked at.
    """
    findings = [found_in(raw, "reading", "note", note) for note in raw.notes]
    raw, more = follow_clock(raw)
    findings += more
    for step in STEPS:
        raw, more = step(raw, repairs)
        findings += more
    return raw, findings


def judge(raw: RawSeries, code: str, rows: Array, action: str, detail: str = "") -> list[Finding]:
    """Return the finding about these rows, if any."""
    if not len(rows):
        return []
    what = f"{FINDINGS[code]}{f' ({detail})' if detail else ''}"
    if action == "error":
        options = " or ".join(a for a in actions_of(code) if a != "error")
        remedy = f"correct the file, or set repairs.{code}: {options}"
        return [found_in(raw, code, "error", what, rows, remedy=remedy)]
    done = DONE["once" if code == "duplicates" else action]
    return [found_in(raw, code, severity_of(action), f"{what}; {done}", rows)]


def actions_of(code: str) -> tuple[str, ...]:
    return RepairsConfig.model_fields[code].annotation.__args__  # type: ignore[union-attr,no-any-return]


def _remove(raw: RawSeries, wrong: Array, action: str) -> RawSeries:
    """Leave rows out; rows with an error only lose their values, so that they do not look like gaps as well."""
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
    findings = judge(raw, "unsorted", late, repairs.unsorted)
    return (raw.take(np.argsort(raw.instants, kind="stable")) if len(late) else raw), findings


def _drop_duplicates(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    """Keep one row of each time; rows alike are duplicates, others conflict."""
    same_time = raw.instants[1:] == raw.instants[:-1]
    if not same_time.any():
        return raw, []
    before, after = np.flatnonzero(same_time), 1 + np.flatnonzero(same_time)
    alike = (
        (raw.values[before] == raw.values[after]) | np.isnan(raw.values[before]) & np.isnan(raw.values[after])
    ).all(1)
    duplicates, conflicting = after[alike], after[~alike]
    findings = judge(raw, "duplicates", duplicates, repairs.duplicates)
    findings += judge(raw, "conflicting", conflicting, repairs.conflicting, _show_two(raw, conflicting))
    keep = np.ones(len(raw), bool)
    keep[duplicates] = False
    raw = raw.take(keep)
    same_time = np.diff(raw.instants) == 0
    kept = np.append(~same_time, True) if repairs.conflicting == "last" else np.insert(~same_time, 0, True)
    return raw.take(kept), findings


def _drop_blank_twins(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    """Leave out rows without a price where another row at the same time has one."""
    blank = np.asarray(np.isnan(raw.values[:, :VOLUME]).any(axis=1))
    if not blank.any():
        return raw, []
    same = raw.instants[1:] == raw.instants[:-1]
    beside = np.append(same & ~blank[1:], False) | np.insert(same & ~blank[:-1], 0, False)
    rows = np.flatnonzero(blank & beside)
    return (raw.take(~(blank & beside)) if len(rows) else raw), judge(raw, "duplicates", rows, repairs.duplicates)


def _show_two(raw: RawSeries, rows: Array) -> str:
    if not len(rows):
        return ""
    column = int((raw.values[rows[0]] != raw.values[rows[0] - 1]).argmax())
    one, other = raw.values[rows[0] - 1, column], raw.values[rows[0], column]
    return f"{CANDLE_COLUMNS[column]} {one:.6g} and {other:.6g}"


def _repair_not_finite(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    wrong = np.asarray(~np.isfinite(raw.values[:, :VOLUME]).all(axis=1) | np.isinf(raw.values[:, VOLUME:]).any(axis=1))
    if not wrong.any():
        return raw, []
    rows = np.flatnonzero(wrong)
    column = int((~np.isfinite(raw.values[rows[0]])).argmax())
    value = raw.values[rows[0], column]
    detail = f"{CANDLE_COLUMNS[column]} is {'blank' if np.isnan(value) else 'infinite'}"
    if repairs.not_finite != "fill":
        return _remove(raw, wrong, repairs.not_finite), judge(raw, "not_finite", rows, repairs.not_finite, detail)
    row = np.arange(len(raw))
    known = np.maximum.accumulate(np.where(wrong, -1, row))  # the last row before that has a price
    end = np.minimum.accumulate(np.where(wrong, len(raw), row)[::-1])[::-1]
    short = wrong & (known >= 0) & (end - known - 1 <= repairs.fill_limit)
    too_long = np.flatnonzero(wrong & ~short)
    values = raw.values.copy()
    values[short] = 0
    values[short, :VOLUME] = values[known[short], CLOSE][:, None]
    findings = judge(raw, "not_finite", np.flatnonzero(short), "fill", detail)
    if len(too_long):
        why = f"more than repairs.fill_limit ({repairs.fill_limit}) in a row, or nothing before them"
        findings.append(found_in(raw, "not_finite", "error", f"{FINDINGS['not_finite']}: {why}", too_long))
    return _remove(replace(raw, values=values), wrong & ~short, "error"), findings


def _repair_blank_volume(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    blank = np.isnan(raw.values[:, VOLUME:])
    if not blank.any():
        return raw, []
    rows = np.flatnonzero(blank.any(axis=1))
    names = " and ".join(name for i, name in enumerate(CANDLE_COLUMNS[VOLUME:]) if blank[:, i].any())
    return replace(raw, values=np.nan_to_num(raw.values, nan=0.0)), judge(
        raw, "blank_volume", rows, repairs.blank_volume, names
    )


def _repair_non_positive(raw: RawSeries, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    wrong = np.asarray((raw.values[:, :VOLUME] <= 0).any(axis=1))
    if not wrong.any():
        return raw, []
    rows = np.flatnonzero(wrong)
    column = int((raw.values[rows[0], :VOLUME] <= 0).argmax())
    detail = f"{CANDLE_COLUMNS[column]} is {raw.values[rows[0], column]:.6g}"
    findings = judge(raw, "non_positive", rows, repairs.non_positive, detail)
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
    shown = values[rows[0]]
    detail = f"open {shown[0]:.6g}, high {shown[1]:.6g}, low {shown[2]:.6g}, close {shown[3]:.6g}"
    if negative[rows[0]]:
        detail = f"volume {shown[4]:.6g}, amount {shown[5]:.6g}"
    findings = judge(raw, "impossible", rows, repairs.impossible, detail)
    if repairs.impossible == "keep":
        return raw, findings
    if repairs.impossible != "widen":
        return _remove(raw, wrong, repairs.impossible), findings
    values = values.copy()
    values[rows, HIGH], values[rows, LOW] = values[rows, :VOLUME].max(axis=1), values[rows, :VOLUME].min(axis=1)
    values[:, VOLUME:] = np.maximum(values[:, VOLUME:], 0)
    return replace(raw, values=values), findings


# In order of time first, so that what is filled is filled from the past; of two candles at one time the possible one
# is kept.
STEPS: tuple[Step, ...] = (
    _order,
    _drop_blank_twins,
    _repair_not_finite,
    _repair_blank_volume,
    _repair_non_positive,
    _repair_impossible,
    _drop_duplicates,
)
