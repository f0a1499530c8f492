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
from kronos.data.windows.load import Audited, load_candles
from kronos.data.windows.splits import Split, SplitName, count_epoch_windows
from kronos.names import fill_template

logger = logging.getLogger(__name__)

Texts = Mapping[str, str]
TEXTS = {
    "no_candles": "no candles",
    "candles": "{source}: {n:,} candles, {interval}, {first} to {last}",
    "candles_of_symbols": "{source}: {n:,} candles of {n_symbols:,} symbols, {interval}, {first} to {last}",
    "and": " and ",
    **{f"{unit}{s}": f"{{n}} {unit}{s}" for unit in ("day", "hour", "minute", "second") for s in ("", "s")},
    "by_date": "  split by date (train to {train_end}); the ratios are not used",
    "by_dates": "  split by date (train to {train_end}, val to {val_end}); the ratios are not used",
    "train_windows": "  {name:<5}  {n_rows:,} candles, {n:,} windows ({n_independent:,} without overlap)",
    "windows": "  {name:<5}  {n_rows:,} candles, {n:,} windows ({n_independent:,} with horizons that do not overlap)",
    "left_out": "; left out: {reasons}",
    "reason": "{n:,} to {reason}",
    **{reason: reason for reason in ("the embargo", "gaps", "jumps", "the stride", "the cap")},
    "epoch": "; {n:,} an epoch",
    "balanced": "; the same number of each symbol",
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


def summarise_findings(findings: tuple[Finding, ...]) -> list[str]:
    """List a few findings one by one; count many by kind, places and symbols."""
    if len(findings) <= N_LINES:
        return [f"{finding.severity}: {finding}" for finding in findings]
    kinds: dict[tuple[Severity, str], list[Finding]] = defaultdict(list)
    for finding in sorted(findings, key=lambda each: SEVERITIES.index(each.severity)):
        kinds[finding.severity, finding.kind].append(finding)
    lines = []
    for (severity, kind), same_kind in kinds.items():
        n_symbols, count = len({each.symbol for each in same_kind}), sum(each.count for each in same_kind)
        done = f"; {same_kind[0].text.rpartition('; ')[2]}" if severity == "repair" else ""
        where = f"{count:,} in {n_symbols:,}" if count else f"{n_symbols:,}"
        lines.append(f"{severity}: {FINDINGS[kind]}: {where} symbol{'s' if n_symbols > 1 else ''}{done}")
    return [*lines, "kronos check lists them one by one."]


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


def describe_candles(candles: CandleSet, texts: Texts = TEXTS) -> str:
    """Describe the candles in one line: their number, interval and span."""
    if not len(candles):
        return texts["no_candles"]
    first = min(int(candles.local(symbol, symbol.start, symbol.start + 1)[0]) for symbol in candles.symbols)
    last = max(int(candles.local(symbol, symbol.stop - 1, symbol.stop)[0]) for symbol in candles.symbols)
    counts = Counter(format_interval(symbol.interval) for symbol in candles.symbols)
    intervals = [_word_interval(interval, texts) for interval, _ in counts.most_common(2)]
    template = texts["candles_of_symbols" if len(candles.symbols) > 1 else "candles"]
    values = {
        "source": candles.source,
        "n": len(candles),
        "n_symbols": len(candles.symbols),
        "interval": texts["and"].join(intervals) + (" …" if len(counts) > 2 else ""),
        "first": format_time(first),
        "last": format_time(last),
    }
    return fill_template(template, values)


def _word_interval(interval: str, texts: Texts) -> str:
    count, _, unit = interval.partition(" ")
    return texts[unit].format(n=count)


def describe_splits(splits: Mapping[SplitName, Split], config: DataConfig, texts: Texts = TEXTS) -> list[str]:
    """Describe the windows of each split: how many there are, are left out (and why), and are independent."""
    lines = []
    if config.train_end is not None:
        by_date = texts["by_dates" if config.val_end else "by_date"]
        lines.append(by_date.format(train_end=config.train_end, val_end=config.val_end))
    for name, split in splits.items():
        line = texts["train_windows" if name == "train" else "windows"].format(
            name=name, n_rows=split.rows, n=len(split), n_independent=split.independent
        )
        if split.dropped:
            reasons = [texts["reason"].format(n=n, reason=texts[reason]) for reason, n in split.dropped.items()]
            line += texts["left_out"].format(reasons=", ".join(reasons))
        if name == "train" and config.windows_per_epoch:
            line += texts["epoch"].format(n=count_epoch_windows(len(split), config))
        if name == "train" and config.balance_symbols:
            line += texts["balanced"]
        lines.append(line)
    return lines


def splits_to_json(splits: Mapping[SplitName, Split]) -> dict[str, Any]:
    """Return the windows of each split as plain values."""
    return {
        name: {"candles": s.rows, "windows": len(s), "independent": s.independent, "left_out": s.dropped}
        for name, s in splits.items()
    }
