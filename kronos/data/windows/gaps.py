"""Classify the gaps of all symbols: if other symbols trade meanwhile, a gap is a halt, not a holiday."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from kronos.candles import Array
from kronos.data.quality.findings import FINDINGS, N_PLACES, Finding, format_time
from kronos.data.windows.candle_set import DAY, HOLIDAYS, ROWS_AT_A_TIME, CandleSet, SymbolRows
from kronos.names import Message, Template

SIZES: dict[str, tuple[Template, ...]] = {  # of one, of several in one place, of several
    "candle": (
        "{n:,} candle in {n_places:,} place",
        "{n:,} candles in {n_places:,} place",
        "{n:,} candles in {n_places:,} places",
    ),
    "day": ("{n:,} day in {n_places:,} place", "{n:,} days in {n_places:,} place", "{n:,} days in {n_places:,} places"),
}


def classify_gaps(candles: CandleSet, max_gap: int | None) -> list[Finding]:
    """Find the gaps and halts of each symbol; days without candles of most other symbols of its market are holidays."""
    markets: dict[tuple[int, int], list[SymbolRows]] = defaultdict(list)
    for symbol in candles.symbols:
        markets[symbol.interval, symbol.opening].append(symbol)
    findings = []
    for market in markets.values():
        spans = [_spans(candles, symbol) for symbol in market]
        unique, which = np.unique(np.concatenate(spans), axis=0, return_inverse=True)
        alive, traded = _count_others(candles, market, unique)
        trading_days = np.unique(np.concatenate([_days(candles, symbol) for symbol in market]))
        at = 0
        for symbol, own in zip(market, spans):
            index = which.ravel()[at : at + len(own)]
            at += len(own)
            findings += _find_own_gaps(candles, symbol, alive[index] - 1, traded[index], trading_days, max_gap)
    return findings


def _days(candles: CandleSet, symbol: SymbolRows) -> Array:
    """Return the local days (D,) on which a symbol has candles."""
    pieces = range(symbol.start, symbol.stop, ROWS_AT_A_TIME)
    days = [np.unique(candles.local(symbol, i, min(i + ROWS_AT_A_TIME, symbol.stop)) // DAY) for i in pieces]
    return np.concatenate(days) if days else np.empty(0, np.int64)


def _spans(candles: CandleSet, symbol: SymbolRows) -> Array:
    """Return the instants (G, 2) between which each gap lies."""
    rows = np.asarray(symbol.gap_rows, np.int64)
    return np.stack([candles.instants[rows - 1], candles.instants[rows]], axis=1)


def _count_others(candles: CandleSet, market: Sequence[SymbolRows], spans: Array) -> tuple[Array, Array]:
    """Count for each span (U,) the symbols that are listed throughout, and those that trade within it."""
    alive, traded = np.zeros(len(spans), np.int64), np.zeros(len(spans), np.int64)
    for symbol in market:
        if not len(symbol):
            continue
        instants = candles.instants[symbol.start : symbol.stop]
        listed = (instants[0] <= spans[:, 0]) & (spans[:, 1] <= instants[-1])
        within = np.searchsorted(instants, spans[:, 1], "left") > np.searchsorted(instants, spans[:, 0], "right")
        alive += listed
        traded += listed & within
    return alive, traded


def _find_own_gaps(
    candles: CandleSet,
    symbol: SymbolRows,
    others: Array,
    traded: Array,
    trading_days: Array,
    max_gap: int | None,
) -> list[Finding]:
    """Find a symbol's own gaps; others, traded: (G,) symbols listed during each, and those of them that traded."""
    missing, days = np.asarray(symbol.gap_missing, np.int64), np.asarray(symbol.gap_days, np.int64)
    alone, own = others == 0, 2 * traded > others
    limit = symbol.allowed_gap(max_gap)
    kinds = {
        "gaps": (days == 0) & (alone | own),
        "halts": (days > 0) & (own | (alone & ((days > HOLIDAYS) | symbol.never_closes))),
    }
    findings = []
    for kind, mask in kinds.items():
        if not mask.any():
            continue
        rows = np.asarray(symbol.gap_rows, np.int64)[mask]
        after, until = candles.local_at(symbol, rows - 1), candles.local_at(symbol, rows)
        n, unit = int(missing[mask].sum()), "candle"
        if kind == "halts":  # holidays within a halt, known from the other symbols, are not counted
            first = np.searchsorted(trading_days, after // DAY, side="right")
            last = np.searchsorted(trading_days, until // DAY, side="left")
            n, unit = int(np.where(alone[mask], days[mask], last - first).sum()), "day"
        n_long = int((missing[mask] > limit).sum())
        size = SIZES[unit][2 if len(rows) > 1 else int(n > 1)]
        stop = "; no window crosses the {n_long:,} longer than {limit:,} candles (data.max_gap)" if n_long else ""
        template = f"{FINDINGS[kind]}: {size}{stop}"
        values = {"n": n, "n_places": len(rows), "n_long": n_long, "limit": limit}
        places = tuple(Message("after {time}", time=format_time(time)) for time in after[:N_PLACES])
        findings.append(
            Finding(*(kind, "note", symbol.source, symbol.symbol, len(rows), places, template, values), at=until)
        )
    return findings
