"""The audit of candles at the start of a run and in `kronos check`."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data.candle_kind import CandleKind, describe_kind, kinds_to_json
from kronos.data.quality.findings import FINDINGS, SEVERITIES, Finding, Severity, format_time, raise_errors
from kronos.data.quality.series import format_interval
from kronos.data.windows.candle_set import CandleSet, SymbolRows
from kronos.data.windows.left_out import describe_dropped
from kronos.data.windows.load import Audited, load_candles
from kronos.data.windows.splits import Split, SplitName, count_epoch_windows
from kronos.disk.shipped import shorten
from kronos.names import Message, Template

logger = logging.getLogger(__name__)

LINES: dict[Severity, Template] = {
    "error": "error: {finding}",
    "repair": "repair: {finding}",
    "note": "note: {finding}",
}
N_LINES = 12  # more findings are summarised by kind


def audit_candles(data: DataConfig, repairs: RepairsConfig) -> Audited:
    """Load the candles of a run and log the findings.

    Raises:
        DataError: there are errors among the findings.
    """
    audited = load_candles(data, repairs)
    raise_errors(audited.findings)
    for line in summarise_findings(audited.findings):
        logger.info("%s", line)
    return audited


def summarise_findings(findings: tuple[Finding, ...]) -> list[Message]:
    """List a few findings one by one; count many by kind, places and symbols."""
    if len(findings) <= N_LINES:
        return [Message(LINES[each.severity], finding=each.message) for each in findings]
    kinds: dict[tuple[Severity, str], list[Finding]] = defaultdict(list)
    for finding in sorted(findings, key=lambda each: SEVERITIES.index(each.severity)):
        kinds[finding.severity, finding.kind].append(finding)
    return [
        *(_summarise_kind(severity, kind, same_kind) for (severity, kind), same_kind in kinds.items()),
        Message("kronos check lists them one by one."),
    ]


def _summarise_kind(severity: Severity, kind: str, findings: list[Finding]) -> Message:
    n_symbols, count = len({each.symbol for each in findings}), sum(each.count for each in findings)
    template = "{n:,} symbols" if n_symbols > 1 else "{n:,} symbol"
    if count:
        template = "{count:,} in {n:,} symbols" if n_symbols > 1 else "{count:,} in {n:,} symbol"
    where = Message(template, count=count, n=n_symbols)
    line = Message("{kind}: {where}", kind=FINDINGS[kind], where=where)
    if severity == "repair":
        done = Message(findings[0].template.rpartition("; ")[2], **findings[0].values)
        line = Message("{line}; {done}", line=line, done=done)
    return Message(LINES[severity], finding=line)


def audit_to_json(audited: Audited) -> dict[str, Any]:
    """Return the series and the findings as plain values for a JSON file."""
    candles = audited.candles
    kinds = [describe_kind(candles, symbol) for symbol in candles.symbols]
    return {
        "candles": len(candles),
        "symbols": [_symbol_to_json(candles, symbol, kind) for symbol, kind in zip(candles.symbols, kinds)],
        "kind": kinds_to_json(kinds),
        "findings": [finding.to_json() for finding in audited.findings],
    }


def _symbol_to_json(candles: CandleSet, symbol: SymbolRows, kind: CandleKind) -> dict[str, Any]:
    first, last = (format_time(candles.local(symbol, row, row + 1)[0]) for row in (symbol.start, symbol.stop - 1))
    return {
        "symbol": symbol.symbol,
        "source": symbol.source,
        "candles": len(symbol),
        "first": first,
        "last": last,
        "interval": format_interval(symbol.interval),
        "levels": {name: list(level) for name, level in kind.levels.items()},
    }


def describe_candles(candles: CandleSet) -> Message:
    """Describe the candles in one line: their number, interval and span."""
    if not len(candles):
        return Message("no candles")
    first = min(int(candles.local(symbol, symbol.start, symbol.start + 1)[0]) for symbol in candles.symbols)
    last = max(int(candles.local(symbol, symbol.stop - 1, symbol.stop)[0]) for symbol in candles.symbols)
    counts = Counter(format_interval(symbol.interval) for symbol in candles.symbols)
    template = "{source}: {n:,} candles, {interval}, {first} to {last}"
    if len(candles.symbols) > 1:
        template = "{source}: {n:,} candles of {n_symbols:,} symbols, {interval}, {first} to {last}"
    return Message(
        template,
        source=shorten(candles.source),
        n=len(candles),
        n_symbols=len(candles.symbols),
        interval=Message.join(
            [Message.join((interval for interval, _ in counts.most_common(2)), " and "), *[" …"] * (len(counts) > 2)],
            "",
        ),
        first=format_time(first),
        last=format_time(last),
    )


def describe_splits(splits: Mapping[SplitName, Split], config: DataConfig) -> list[Message]:
    """Describe the windows of each split: how many there are, are left out (and why), and are independent."""
    lines = []
    if config.train_end is not None:
        template = "  split by date (train to {train_end}); the ratios are not used"
        if config.val_end:
            template = "  split by date (train to {train_end}, val to {val_end}); the ratios are not used"
        lines.append(Message(template, train_end=config.train_end, val_end=config.val_end))
    for name, split in splits.items():
        template = "  {name:<5}  {n_rows:,} candles, {n:,} windows ({n_independent:,} independent)"
        line = [Message(template, name=name, n_rows=split.rows, n=len(split), n_independent=split.independent)]
        if split.dropped:
            line.append(Message("; left out: {reasons}", reasons=describe_dropped(split.dropped)))
        if name == "train" and config.windows_per_epoch:
            line.append(Message("; {n:,} an epoch", n=count_epoch_windows(len(split), config)))
        if name == "train" and config.balance_symbols:
            line.append(Message("; the same number of each symbol"))
        lines.append(Message.join(line, ""))
    return lines


def splits_to_json(splits: Mapping[SplitName, Split]) -> dict[str, Any]:
    """Return the windows of each split as plain values."""
    return {
        name: {"candles": s.rows, "windows": len(s), "independent": s.independent, "left_out": s.dropped}
        for name, s in splits.items()
    }
