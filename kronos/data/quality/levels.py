"""Levels that change once and stay: another unit of volume or amount, and prices that step as at a small split."""

from __future__ import annotations

from typing import Any

import numpy as np

from kronos.candles import Array
from kronos.data.files.read import RawSeries
from kronos.data.quality.findings import FINDINGS, Finding, make_finding
from kronos.data.quality.market_hours import DAY, MarketHours, find_changes

OPEN, HIGH, LOW, CLOSE, VOLUME, AMOUNT = range(6)
N_AROUND = 20  # days before and after a change (candles, if they are longer) that must agree
UNITS = (100, 1000, 10_000, 1_000_000)
TOLERANCE = np.log(1.6)  # of a unit's factor: the market's own change of level
MIN_STEP = np.log(1.08)
STEP_FACTOR, RANGE_FACTOR = 3, 2  # times all other steps from close to open, and all ranges of candles
MIN_JUMP = np.log(1.25)  # a larger step is a jump or none
MAX_STEPS = 3
SMALL_SPLITS = (1.1, 1.12, 1.15, 1.2, 1.25)


def find_unit_changes(raw: RawSeries, hours: MarketHours) -> list[Finding]:
    """Find where volume or amount changes by 100, 1,000 or more from one day to the next and stays there."""
    days = find_changes(raw.local // max(hours.interval, DAY)) if hours.candles_a_day > 1 else np.arange(len(raw))
    if len(days) < 2 * N_AROUND:
        return []
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        columns = raw.values[:, VOLUME], raw.values[:, AMOUNT], raw.values[:, VOLUME] * raw.values[:, CLOSE]
        volume, amount, worth = (np.add.reduceat(column, days, dtype=np.float64) for column in columns)
        levels = {"volume": np.log(volume), "amount": np.log(amount)}
        per_worth = np.log(amount / worth)
    findings = []
    at = {name: _find_unit_change(level) for name, level in levels.items()}
    if raw.columns and "amount" not in raw.columns:
        at["amount"] = None  # computed from the volume
    elif not any(at.values()):
        at["amount"] = _find_unit_change(per_worth)  # steadier than either
    for name, change in at.items():
        if change:
            day, factor = change
            row = int(days[day])
            template = (
                f"{FINDINGS['levels']}: {{column}} {{direction}} by a factor of about {{factor:,}}; another unit?"
            )
            shown: dict[str, Any] = {"column": raw.columns.get(name, name), "factor": abs(factor)}
            shown["direction"] = "rises" if factor > 0 else "falls"
            findings.append(make_finding(raw, "levels", "note", template, np.array([row]), **shown))
    return findings


def _find_unit_change(levels: Array) -> tuple[int, int] | None:
    """Return the first day of another unit and its factor, negative if the level falls; levels: (D,) logarithms."""
    known = np.flatnonzero(np.isfinite(levels))
    if len(known) < 2 * N_AROUND:
        return None
    level = levels[known]
    steps = np.diff(level)
    candidates = 1 + np.flatnonzero(np.abs(steps) > np.log(UNITS[0]) / 2)
    for i in candidates[(candidates >= N_AROUND) & (candidates <= len(level) - N_AROUND)].tolist():
        before, after = level[i - N_AROUND : i], level[i : i + N_AROUND]
        if not (before.max() < after.min() or before.min() > after.max()):
            continue  # most candidates of a nervous market, without the medians that take longer
        change = np.median(after) - np.median(before)
        factor = next((unit for unit in UNITS if abs(abs(change) - np.log(unit)) < TOLERANCE), None)
        lasting = abs(np.median(level[i:]) - np.median(level[:i]) - change) < abs(change) / 2
        if factor and lasting:
            return int(known[i]), int(np.sign(change)) * factor
    return None


def find_small_steps(raw: RawSeries) -> list[Finding]:
    """Find opens far from the close before, too near for a jump, in a market that else never moves so far."""
    if len(raw) < 5 * N_AROUND or (raw.values[:, :VOLUME] <= 0).any():
        return []
    prices = raw.values
    with np.errstate(divide="ignore", over="ignore"):  # prices at the limits of float32
        size = np.abs(np.log(prices[1:, OPEN] / prices[:-1, CLOSE]))
        widest = np.log(prices[:, HIGH] / prices[:, LOW]).max()
    size[size >= MIN_JUMP] = 0
    rows = 1 + np.flatnonzero(size > MIN_STEP)
    if not 1 <= len(rows) <= MAX_STEPS:
        return []
    smallest = size[rows - 1].min()
    others = np.delete(size, rows - 1).max()
    if smallest < STEP_FACTOR * others or smallest < RANGE_FACTOR * widest:
        return []
    row = int(rows[0])
    ratio = float(np.exp(size[row - 1]))
    near = next((split for split in SMALL_SPLITS if abs(ratio / split - 1) < 0.01), None)
    template = (
        f"{FINDINGS['levels']}: prices step from {{before:.6g}} to {{after:.6g}}; no other step exceeds {{others:.1%}}"
    )
    template += ", as at a split by {split:g}" if near else ""
    shown: dict[str, Any] = {
        "before": float(prices[row - 1, CLOSE]),
        "after": float(prices[row, OPEN]),
        "others": float(np.expm1(others)),
    }
    return [make_finding(raw, "levels", "note", template, rows, split=near or 0, **shown)]
