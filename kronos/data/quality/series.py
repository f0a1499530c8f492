"""Infer the interval, gaps and price jumps of a repaired series, and report anything unusual."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.config.data import RepairsConfig
from kronos.data.files.columns import NO_VOLUME, NO_VOLUME_BUT_AMOUNT
from kronos.data.files.read import RawSeries
from kronos.data.files.text.numbers import is_running_total
from kronos.data.quality.clashes import find_blocks
from kronos.data.quality.daylight_saving import find_moved_hours
from kronos.data.quality.findings import ACTIONS, FINDINGS, Finding, make_finding, report_rows
from kronos.data.quality.levels import MIN_JUMP, find_small_steps, find_unit_changes
from kronos.data.quality.market_hours import MarketHours, find_interval_changes
from kronos.data.quality.market_week import infer_market_hours
from kronos.data.quality.midnights import find_midnights, find_off_grid
from kronos.data.quality.misread import find_swapped
from kronos.data.quality.missing_candles import Gaps, find_gaps
from kronos.data.quality.repair import CLOSE, HIGH, LOW, OPEN, VOLUME, repair_series
from kronos.names import Message

SECOND = 1_000_000
DAY = 86_400 * SECOND
JUMP_FACTOR = 5  # times the largest step of the candles before
N_BEFORE = 100  # candles that a jump is compared with
MIN_BEFORE = 20
SPLITS = (5 / 4, 4 / 3, 3 / 2, 2, 5 / 2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100)
SPLIT_TOLERANCE = 0.03
LARGE_JUMP, LARGE_JUMP_FACTOR = np.log(1.45), 2.5  # a split by 3:2 or more; times the largest step from close to open
MIN_FLAT = 20  # candles
LONGEST_HOLIDAYS = 11  # days from candle to candle
MIN_WORTH = 0.01  # amount as a share of volume × close; volume may be counted in lots, but hardly in hundredths


@dataclass(frozen=True)
class InspectedSeries:
    """A repaired series, and the rows at which it is interrupted.

    gaps: missing candles. jumps: rows (J,) whose open is far from the previous close.
    """

    raw: RawSeries
    hours: MarketHours
    gaps: Gaps
    jumps: Array
    findings: tuple[Finding, ...]


def inspect_series(raw: RawSeries, repairs: RepairsConfig) -> InspectedSeries:
    """Repair a series, find its gaps and jumps, and report anything unusual."""
    raw, findings = repair_series(raw, repairs)
    if not len(raw) and all(finding.severity != "error" for finding in findings):
        template, remedy = (
            f"{FINDINGS['short']}: the repairs left none",
            "Leave the file out, or change the section repairs.",
        )
        findings.append(make_finding(raw, "short", "error", template, remedy=remedy))
    hours = infer_market_hours(raw.instants, raw.local)
    raw, more = _drop_unfinished(raw, hours, repairs)
    findings += more
    changes = find_interval_changes(raw.instants) if hours.regular else []
    if changes:
        rows = np.array([change.row for change in changes])
        shown: dict[str, Any] = {
            "before": format_interval(changes[0].before),
            "after": format_interval(changes[0].after),
        }
        findings += report_rows(raw, "intervals", rows, repairs.intervals, "{before}, then {after}", **shown)
    one_interval = hours.regular and not changes
    gaps = find_gaps(raw.instants, raw.local, hours) if one_interval else _find_long_pauses(raw, hours)
    if repairs.gaps == "fill" and one_interval and len(gaps.rows):
        raw, more = _fill_gaps(raw, hours, gaps, repairs.fill_limit)
        findings += more
        gaps = find_gaps(raw.instants, raw.local, hours)
    jumps, more = _find_jumps(raw, repairs)
    findings += [*more, *find_blocks(raw, jumps)]
    moved = find_moved_hours(raw)
    findings += moved
    gaps = _drop_gaps_of_moves(gaps, raw, moved)
    findings += [*(find_off_grid(raw) or _find_irregular(raw, hours)), *find_midnights(raw, hours)]
    if all(finding.severity != "error" for finding in findings):  # rows with errors hold made-up candles
        findings += [*find_swapped(raw), *_find_flat(raw, hours), *find_small_steps(raw)]
        findings += find_unit_changes(raw, hours) or _find_odd_volume(raw)
    return InspectedSeries(raw, hours, gaps, jumps, tuple(findings))


def _find_long_pauses(raw: RawSeries, hours: MarketHours) -> Gaps:
    """Return the pauses longer than any holidays, for a series without an interval."""
    pause = np.diff(raw.instants) // DAY
    rows = 1 + np.flatnonzero(pause > LONGEST_HOLIDAYS)
    return Gaps(rows, pause[rows - 1] * hours.candles_a_day, pause[rows - 1])


def _drop_gaps_of_moves(gaps: Gaps, raw: RawSeries, moved: list[Finding]) -> Gaps:
    """Drop gaps around the days on which the trading hours move: the move causes them."""
    days = np.concatenate([finding.at for finding in moved]) // DAY if moved else np.empty(0, np.int64)
    about = np.isin(raw.local[gaps.rows] // DAY, [day + n for day in days for n in (-1, 0, 1, 2, 3)])
    return Gaps(gaps.rows[~about], gaps.missing[~about], gaps.days[~about])


def _drop_unfinished(raw: RawSeries, hours: MarketHours, repairs: RepairsConfig) -> tuple[RawSeries, list[Finding]]:
    """Find a last candle off the grid of the others, or one that ends after the file was written."""
    n = len(raw)
    if n < 10 or not hours.regular:
        return raw, []
    if hours.interval > DAY:
        steps = np.diff(raw.local[-N_BEFORE - 1 :])
        off_grid = steps[-1] < steps[:-1].min() - 2 * DAY  # a holiday moves a week's last day
    else:
        phase = raw.local[-N_BEFORE - 1 :] % hours.interval
        moved = abs(int(phase[-1] - phase[0]))  # daily candles in UTC move by an hour when clocks change
        off_grid = (phase[:-1] == phase[0]).all() and moved not in (0, 3600 * SECOND)
    last, written = int(raw.instants[-1]), int(raw.modified * SECOND)
    end = last + hours.interval if hours.never_closes else last  # in markets that never close, timestamps are starts
    growing = raw.zoned and last - hours.interval < written < end
    if not (off_grid or growing):
        return raw, []
    why = "it is off the grid of the others" if off_grid else "it ends after the file was written"
    findings = report_rows(raw, "unfinished", np.array([n - 1]), repairs.unfinished, why)
    return (raw if repairs.unfinished == "keep" else raw.take(np.arange(n - 1))), findings


def _fill_gaps(raw: RawSeries, hours: MarketHours, gaps: Gaps, limit: int) -> tuple[RawSeries, list[Finding]]:
    """Fill the gaps within a session of up to limit candles."""
    elapsed = raw.instants[gaps.rows] - raw.instants[gaps.rows - 1]
    short = (gaps.missing <= limit) & (elapsed == (gaps.missing + 1) * hours.interval)
    rows, missing = gaps.rows[short], gaps.missing[short]
    if not len(rows):
        return raw, []
    at = np.repeat(rows, missing)
    nth = np.arange(len(at)) - np.repeat(np.cumsum(missing) - missing, missing) + 1
    values = np.zeros((len(at), len(CANDLE_COLUMNS)), np.float32)
    values[:, :VOLUME] = raw.values[at - 1, CLOSE][:, None]
    local, instants = (np.insert(t, at, t[at - 1] + nth * hours.interval) for t in (raw.local, raw.instants))
    template = f"{FINDINGS['gaps']}; up to {{limit}} in a row within a session {ACTIONS['fill']}"
    findings = [make_finding(raw, "gaps", "repair", template, rows, count=len(at), limit=limit, action="fill")]
    filled = replace(
        raw,
        values=np.insert(raw.values, at, values, axis=0),
        local=local,
        instants=local if raw.instants is raw.local else instants,
        lines=np.insert(raw.lines, at, raw.lines[at - 1]),
    )
    return filled, findings


def _find_jumps(raw: RawSeries, repairs: RepairsConfig) -> tuple[Array, list[Finding]]:
    """Find opens far from the previous close, from earlier candles only."""
    if len(raw) < MIN_BEFORE:
        return np.empty(0, np.int64), []
    prices = raw.values[:, :VOLUME]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = prices[1:, OPEN].astype(np.float64) / prices[:-1, CLOSE]
    candidates = 1 + np.flatnonzero((ratio > np.exp(MIN_JUMP)) | (ratio < np.exp(-MIN_JUMP)))
    rows: list[int] = []
    for row in candidates.tolist():
        if _stands_out(prices, row, rows):
            rows.append(row)
    if not rows:
        return np.empty(0, np.int64), []
    before, after = prices[rows[0] - 1, CLOSE], prices[rows[0], OPEN]
    split = _find_split(abs(np.log(ratio[rows[0] - 1])))
    detail = "{before} to {after}, as at a split by {split}" if split else "{before} to {after}"
    shown: dict[str, Any] = {"before": f"{before:.6g}", "after": f"{after:.6g}", "split": f"{split or 0:.3g}"}
    findings = report_rows(raw, "jumps", np.array(rows), repairs.jumps, detail, **shown)
    return np.array(rows if repairs.jumps == "break" else [], np.int64), findings


def _find_split(jump: float) -> float | None:
    """Return the usual split ratio near a jump of the log price, if there is one."""
    return next((f for f in SPLITS if abs(np.exp(jump) / f - 1) < SPLIT_TOLERANCE), None)


def _stands_out(prices: Array, row: int, jumps: list[int]) -> bool:
    """Whether a row's open is further from the previous close than earlier candles explain, earlier jumps aside."""
    start = max(row - N_BEFORE, 0)
    candles = prices[start : row + 1].astype(np.float64)
    possible = candles.min(axis=1) > 0
    if row - start < MIN_BEFORE or not possible[-2:].all():
        return False
    candles = np.log(np.where(possible[:, None], candles, np.nan))
    steps = np.asarray(np.nan_to_num(np.abs(candles[1:, OPEN] - candles[:-1, CLOSE])))
    jump = steps[-1]
    steps[[at - start - 1 for at in jumps if at > start]] = 0
    untested = max(MIN_BEFORE - start, 0)  # a jump so near the beginning had too few candles before it to be tested
    steps[:untested][steps[:untested] > LARGE_JUMP] = 0
    overnight = steps[:-1].max()
    if jump > LARGE_JUMP:  # even for a volatile stock, a day's range does not explain such a step overnight
        return bool(jump > LARGE_JUMP_FACTOR * overnight)
    return bool(jump > JUMP_FACTOR * max(overnight, np.nanmax(candles[:-1, HIGH] - candles[:-1, LOW])))


def _find_irregular(raw: RawSeries, hours: MarketHours) -> list[Finding]:
    if hours.regular or len(raw) < MIN_BEFORE:
        return []
    return [make_finding(raw, "irregular", "note", f"{FINDINGS['irregular']}; gaps cannot be found", count=len(raw))]


def _find_flat(raw: RawSeries, hours: MarketHours) -> list[Finding]:
    """Find stretches of a trading day or more without a trade."""
    values, least = raw.values, max(hours.candles_a_day, MIN_FLAT)
    if len(raw) <= least:
        return []
    still = (values[1:, :VOLUME] == values[:-1, CLOSE][:, None]).all(axis=1) & (values[1:, VOLUME] == 0)
    edges = np.flatnonzero(np.diff(still, prepend=False, append=False))
    starts, lengths = edges[::2] + 1, np.diff(edges)[::2]
    long = lengths >= least
    if not long.any():
        return []
    n = int(lengths[long].sum())
    template = f"{FINDINGS['flat']}, the longest of {{longest:,}} candles: halts that were filled in?"
    return [make_finding(raw, "flat", "note", template, starts[long], count=n, longest=int(lengths.max()))]


def _find_odd_volume(raw: RawSeries) -> list[Finding]:
    if len(raw) < MIN_BEFORE or not {NO_VOLUME, NO_VOLUME_BUT_AMOUNT}.isdisjoint(raw.notes):
        return []
    names = CANDLE_COLUMNS[VOLUME:]
    volume, amount = raw.values[:, VOLUME], raw.values[:, VOLUME + 1]
    constant = [name for name, column in zip(names, (volume, amount)) if (column == column[0]).all()]
    if constant:
        value = f"{raw.values[0, VOLUME + names.index(constant[0])]:g}"
        template = "{columns} is {value} throughout" if len(constant) == 1 else "{columns} are {value} throughout"
        shown: dict[str, Any] = {"columns": Message.join(constant, " and "), "value": value}
    elif is_running_total(volume[-N_BEFORE:]):
        template, shown = "volume hardly ever falls: is it a running total? Choose its column in data.columns", {}
    else:
        worth = volume[-N_BEFORE:].astype(np.float64) * raw.values[-N_BEFORE:, CLOSE]
        share = np.median(amount[-N_BEFORE:][worth > 0] / worth[worth > 0]) if (worth > 0).any() else 1.0
        if not 0 < share < MIN_WORTH:
            return []
        template = "amount is {share} times volume × close; is it a turnover rate? Choose its column in data.columns"
        shown = {"share": f"{share:.2g}"}
    return [make_finding(raw, "volume", "note", template, count=len(raw), **shown)]


def format_interval(micros: int) -> str:
    """Return an interval in the largest unit that divides it: 5 minutes."""
    units = (("day", DAY), ("hour", 3600 * SECOND), ("minute", 60 * SECOND), ("second", SECOND))
    name, unit = next(((n, u) for n, u in units if micros % u == 0), ("second", SECOND))
    count = micros / unit
    return f"{count:g} {name}{'' if count == 1 else 's'}"
