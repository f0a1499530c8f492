"""The audit at the start of a run, and what `kronos check` shows of it."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from kronos.config import Config
from kronos.config.data import DataConfig
from kronos.data.quality.findings import FINDINGS, SEVERITIES, Finding, Severity, format_time, refuse_errors
from kronos.data.quality.series import format_interval
from kronos.data.windows.candle_set import CandleSet, SymbolRows
from kronos.data.windows.load import Audited, load_candles
from kronos.data.windows.splits import Split, SplitName

logger = logging.getLogger(__name__)

N_LINES = 12  # findings said one by one; of more only their kinds


def audit_candles(config: Config) -> Audited:
    """Load the candles of a run, and say what was found and done.

    Raises:
        DataError: there are errors among the findings.
    """
    audited = load_candles(config.data, config.repairs)
    refuse_errors(audited.findings)
    for line in summarise(audited.findings):
        logger.info("%s", line)
    return audited


def summarise(findings: tuple[Finding, ...]) -> list[str]:
    """Say findings one by one where they are few, else in how many places of how many symbols each kind was found."""
    if len(findings) <= N_LINES:
        return [f"{finding.severity}: {finding}" for finding in findings]
    kinds: dict[tuple[Severity, str], list[Finding]] = defaultdict(list)
    for finding in sorted(findings, key=lambda each: SEVERITIES.index(each.severity)):
        kinds[finding.severity, finding.code].append(finding)
    lines = []
    for (severity, code), alike in kinds.items():
        n_symbols, count = len({each.symbol for each in alike}), sum(each.count for each in alike)
        done = f"; {alike[0].message.rpartition('; ')[2]}" if severity == "repair" else ""
        where = f"{count:,} in {n_symbols:,}" if count else f"{n_symbols:,}"
        lines.append(f"{severity}: {FINDINGS[code]}: {where} symbol{'s' if n_symbols > 1 else ''}{done}")
    return [*lines, "kronos check lists them one by one"]


def audit_to_json(audited: Audited) -> dict[str, Any]:
    """Return the audit as a JSON file holds it: the series and the findings."""
    candles = audited.candles
    return {
        "candles": len(candles),
        "symbols": [_symbol_to_json(candles, symbol) for symbol in candles.symbols],
        "findings": [finding.to_json() for finding in audited.findings],
    }


def _symbol_to_json(candles: CandleSet, symbol: SymbolRows) -> dict[str, Any]:
    first, last = (format_time(candles.local(symbol, row, row + 1)[0]) for row in (symbol.start, symbol.stop - 1))
    return {
        "symbol": symbol.symbol,
        "source": symbol.source,
        "candles": len(symbol),
        "first": first,
        "last": last,
        "interval": format_interval(symbol.interval),
    }


def describe_candles(candles: CandleSet) -> str:
    """Say in a line how many candles of what there are."""
    if not len(candles):
        return "no candles"
    first = min(int(candles.local(symbol, symbol.start, symbol.start + 1)[0]) for symbol in candles.symbols)
    last = max(int(candles.local(symbol, symbol.stop - 1, symbol.stop)[0]) for symbol in candles.symbols)
    intervals = Counter(format_interval(symbol.interval) for symbol in candles.symbols)
    shown = " and ".join(interval for interval, _ in intervals.most_common(2)) + (" …" if len(intervals) > 2 else "")
    symbols = f" of {len(candles.symbols):,} symbols" if len(candles.symbols) > 1 else ""
    return f"{candles.source}: {len(candles):,} candles{symbols}, {shown}, {format_time(first)} to {format_time(last)}"


def describe_splits(splits: Mapping[SplitName, Split], config: DataConfig) -> list[str]:
    """Say how many windows each split has, how many were left out and why, and how many are independent."""
    lines = []
    if config.train_end is not None:
        ends = f"train to {config.train_end}" + (f", val to {config.val_end}" if config.val_end else "")
        lines.append(f"  split by date ({ends}); the ratios are not used")
    for name, split in splits.items():
        lost = ", ".join(f"{n:,} to {reason}" for reason, n in split.dropped.items())
        share = "without overlap" if name == "train" else "whose horizons do not overlap"
        windows = f"{len(split):,} windows ({split.independent:,} {share})"
        epoch = f"; {min(len(split), config.windows_per_epoch):,} an epoch" if config.windows_per_epoch else ""
        epoch += "; as many of each symbol" if config.balance_symbols else ""
        lines.append(
            f"  {name:<5}  {split.rows:,} candles, {windows}{f'; left out: {lost}' if lost else ''}"
            f"{epoch if name == 'train' else ''}"
        )
    return lines


def splits_to_json(splits: Mapping[SplitName, Split]) -> dict[str, Any]:
    """Return the windows of each split as plain values."""
    return {
        name: {"candles": s.rows, "windows": len(s), "independent": s.independent, "left_out": s.dropped}
        for name, s in splits.items()
    }
