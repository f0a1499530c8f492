"""Describe what kind of candles these are: interval, hours, zone, levels. A run stores it, to compare new candles with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.data.quality.market_hours import MIN_SHARE
from kronos.data.quality.series import format_interval
from kronos.data.windows.candle_set import DAY, CandleSet, SymbolRows

LEVELS = ("close", "volume", "amount")
QUANTILES = (0.05, 0.5, 0.95)
N_SAMPLED = 20_000  # candles, spread evenly, that show the levels
HOURS_A_WEEK, MINUTES_AN_HOUR = 168, 60
MINUTE = 60_000_000

Level = tuple[float, float, float]


@dataclass(frozen=True)
class CandleKind:
    """What kind of candles a symbol has.

    interval: microseconds, 0 without a fixed one. days: from the first candle to the last. hours, minutes: how many candles
    stand at each hour of the week (168, from Monday 0 o'clock) and at each minute of the hour (60). zones: the offsets of
    the clock from UTC, "+08:00"; empty for times without a zone. opening: the usual time of the day's first candle,
    microseconds. levels: quantiles of close, volume and amount.
    """

    symbol: str
    source: str
    n: int
    interval: int
    days: float
    hours: Array
    minutes: Array
    zones: frozenset[str]
    opening: int
    levels: Mapping[str, Level]


def describe_kind(candles: CandleSet, symbol: SymbolRows) -> CandleKind:
    """Describe the candles of a symbol."""
    rows = slice(symbol.start, symbol.stop)
    minute, hour, weekday = (candles.calendar[rows, column] for column in range(3))
    first, last = (int(candles.instants[row]) for row in (symbol.start, symbol.stop - 1)) if len(symbol) else (0, 0)
    sampled = candles.values[symbol.start : symbol.stop : len(symbol) // N_SAMPLED + 1]
    levels = {
        name: tuple(np.quantile(sampled[:, CANDLE_COLUMNS.index(name)], QUANTILES).tolist())
        if len(symbol)
        else (0, 0, 0)
        for name in LEVELS
    }
    return CandleKind(
        symbol=symbol.symbol,
        source=symbol.source,
        n=len(symbol),
        interval=symbol.interval if _is_regular(candles.instants[rows], symbol.interval) else 0,
        days=(last - first) / DAY,
        hours=np.bincount(weekday.astype(np.int16) * 24 + hour, minlength=HOURS_A_WEEK),
        minutes=np.bincount(minute, minlength=MINUTES_AN_HOUR),
        zones=frozenset(map(format_offset, symbol.offsets)) if symbol.zoned else frozenset(),
        opening=symbol.opening,
        levels=levels,
    )


def _is_regular(instants: Array, interval: int) -> bool:
    """Whether a good part of the candles follow one another by the interval; whole days count as such."""
    steps = np.diff(instants[-N_SAMPLED:])
    steps = np.where(steps >= DAY, steps // DAY * DAY, steps) if interval >= DAY else steps
    return bool(np.count_nonzero(steps == interval) >= MIN_SHARE * max(len(steps), 1))


def kinds_to_json(kinds: Sequence[CandleKind]) -> dict[str, Any]:
    """Return the intervals, hours, minutes, zones and openings of all symbols together as plain values."""
    if not kinds:
        return {}
    hours, minutes = (np.sum([getattr(kind, key) for kind in kinds], axis=0) for key in ("hours", "minutes"))
    return {
        "intervals": sorted({format_interval(kind.interval) for kind in kinds}),
        "hours_of_week": np.flatnonzero(hours).tolist(),
        "minutes": np.flatnonzero(minutes).tolist(),
        "days": max(kind.days for kind in kinds),
        "zones": sorted(set().union(*(kind.zones or {""} for kind in kinds))),
        "openings": sorted({kind.opening // MINUTE for kind in kinds}),
    }


def format_clock(minutes: int) -> str:
    """Return a time of day, given in minutes, as 09:35."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def format_offset(micros: int) -> str:
    """Return how far a clock is ahead of UTC, as +08:00."""
    return f"{'-' if micros < 0 else '+'}{format_clock(abs(micros) // MINUTE)}"
