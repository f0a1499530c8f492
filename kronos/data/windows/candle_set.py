"""The candles of all symbols, one symbol after the other in one array, in memory or mapped from a file."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, TRUE_ORDER, Array, Float32Array, compute_calendar
from kronos.data.files.read import LINES_A_PART, RawSeries
from kronos.data.quality.series import InspectedSeries

ROWS_AT_A_TIME = 100_000
DAY = 86_400_000_000
HOLIDAYS = 10  # trading days: the longest closing that may be a holiday


@dataclass(frozen=True)
class SymbolRows:
    """One symbol's place among all rows; rows are counted over all symbols.

    start, stop: its rows. interval: microseconds. opening: the usual local time of its day's first candle, microseconds.
    zoned: whether its instants are true times.
    gap_rows, gap_missing, gap_days: the first row after each gap, the candles and the whole trading days missing there.
    jump_rows: rows whose open is far from the previous close. offset_rows, offsets: from each of these rows on, the
    exchange's clock is so many microseconds ahead of the instants.
    ends: of the first and last two candles the row counted from start, the file, and the unit and number of its line.
    """

    symbol: str
    source: str
    start: int
    stop: int
    interval: int
    candles_a_day: int
    never_closes: bool
    opening: int
    zoned: bool = False
    gap_rows: tuple[int, ...] = ()
    gap_missing: tuple[int, ...] = ()
    gap_days: tuple[int, ...] = ()
    jump_rows: tuple[int, ...] = ()
    offset_rows: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()
    ends: tuple[tuple[int, str, str, int], ...] = ()

    def __len__(self) -> int:
        return self.stop - self.start

    def shift(self, start: int) -> SymbolRows:
        """Return the same with its first row at start."""
        by = start - self.start
        keys = ("gap_rows", "jump_rows", "offset_rows")
        moved: dict[str, Any] = {key: tuple(row + by for row in getattr(self, key)) for key in keys}
        return replace(self, start=start, stop=self.stop + by, **moved)

    def breaks(self, max_gap: int | None, jumps: bool = True) -> list[int]:
        """Return the rows at which a new stretch begins: after a gap longer than allowed or, if asked for, at a jump."""
        limit = self.allowed_gap(max_gap)
        gaps = {row for row, n in zip(self.gap_rows, self.gap_missing) if n > limit}
        return sorted(gaps | set(self.jump_rows if jumps else ()))

    def allowed_gap(self, max_gap: int | None) -> int:
        """Return how many candles may be missing in a row within a window: max_gap, or by default the longest holidays.

        These are ten trading days, one day in a market that never closes (only an outage explains its gaps), and one
        candle if candles are longer than a day.
        """
        if max_gap is not None:
            return max_gap
        if self.interval > DAY:
            return 1
        return self.candles_a_day * (1 if self.never_closes else HOLIDAYS)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SymbolRows:
        plain: dict[str, Any] = {key: _to_tuples(value) for key, value in values.items()}
        return cls(**plain)


@dataclass(frozen=True)
class CandleSet:
    """Candles of one symbol or of many.

    values: (N, 6) float32, open, high, low, close, volume, amount, in the files' units. instants: (N,) int64 microseconds
    since 1970, ascending within a symbol; local times if the file has no zones. calendar: (N, 5) uint8, minute, hour,
    weekday, day, month of local time. known_hash: the content hash, if it is known without reading all of the candles.
    """

    values: Float32Array
    instants: Array
    calendar: Array
    symbols: tuple[SymbolRows, ...]
    known_hash: str = ""

    def __len__(self) -> int:
        return len(self.instants)

    @property
    def source(self) -> str:
        """The file, or how many there are."""
        sources = sorted({rows.source for rows in self.symbols})
        more = len(sources) - 1
        return f"{sources[0]} and {more:,} more file{'s' if more > 1 else ''}" if more else sources[0]

    def local(self, symbol: SymbolRows, start: int, stop: int) -> Array:
        """Return the local times (stop - start,) of rows of a symbol, int64 microseconds since 1970."""
        first, last = bisect_right(symbol.offset_rows, start) - 1, bisect_left(symbol.offset_rows, stop)
        edges = [start, *symbol.offset_rows[first + 1 : last], stop]
        local: Array = np.array(self.instants[start:stop])
        for offset, begin, end in zip(symbol.offsets[first:last], edges, edges[1:]):
            local[begin - start : end - start] += offset
        return local

    def local_at(self, symbol: SymbolRows, rows: Array) -> Array:
        """Return the local times (R,) of rows (R,) of a symbol, int64 microseconds since 1970."""
        which = np.searchsorted(symbol.offset_rows, rows, side="right") - 1
        local: Array = self.instants[rows] + np.asarray(symbol.offsets)[which]
        return local

    def timestamps(self, start: int, stop: int) -> pd.DatetimeIndex:
        """Return the local times of rows, all of one symbol."""
        return pd.DatetimeIndex(self.local(self.symbol_at(start), start, stop).astype("M8[us]"))

    def frame(self, start: int = 0, stop: int | None = None) -> pd.DataFrame:
        """Return rows of one symbol as a frame in upstream's columns, indexed by local time."""
        stop = self.symbol_at(start).stop if stop is None else stop
        index = self.timestamps(start, stop)
        frame = pd.DataFrame(np.asarray(self.values[start:stop]), columns=list(CANDLE_COLUMNS), index=index)
        if len(self.symbol_at(start).offsets) > 1:
            frame.attrs[TRUE_ORDER] = True
        return frame

    def symbol_at(self, row: int) -> SymbolRows:
        """Return the symbol that a row belongs to."""
        return self.symbols[int(self.symbol_numbers(np.array([row]))[0])]

    def symbol_numbers(self, rows: Array) -> Array:
        """Return for rows (R,) the numbers (R,) of the symbols that they belong to."""
        return np.searchsorted([symbol.start for symbol in self.symbols], rows, side="right") - 1

    def content_hash(self) -> str:
        """Return a SHA-256 of the values and times and, if there are several symbols, of their names."""
        return self.known_hash or self._hash(with_names=len(self.symbols) > 1)

    def earlier_hash(self) -> str:
        """Return what earlier versions recorded as the hash; of large sets this is not known, and the result is empty."""
        return "" if self.known_hash else self._hash(with_names=True)

    def _hash(self, with_names: bool) -> str:
        digest = hashlib.sha256(np.ascontiguousarray(self.values).data)
        digest.update(np.ascontiguousarray(self.instants).data)
        digest.update(repr([(each.symbol if with_names else "", each.start) for each in self.symbols]).encode())
        return digest.hexdigest()


def place_series(inspected: InspectedSeries) -> SymbolRows:
    """Return the rows of a series as if it were the only one."""
    raw, gaps = inspected.raw, inspected.gaps
    offset = raw.local - raw.instants if raw.local is not raw.instants else np.zeros(min(len(raw), 1), np.int64)
    changes = np.concatenate([[0], 1 + np.flatnonzero(np.diff(offset))]) if len(offset) else np.zeros(0, np.int64)
    return SymbolRows(
        symbol=raw.symbol,
        source=raw.source,
        start=0,
        stop=len(raw),
        interval=inspected.hours.interval,
        candles_a_day=inspected.hours.candles_a_day,
        never_closes=inspected.hours.never_closes,
        opening=_opening(raw.local),
        zoned=raw.zoned,
        gap_rows=tuple(gaps.rows.tolist()),
        gap_missing=tuple(gaps.missing.tolist()),
        gap_days=tuple(gaps.days.tolist()),
        jump_rows=tuple(inspected.jumps.tolist()),
        offset_rows=tuple(changes.tolist()),
        offsets=tuple(offset[changes].tolist()),
        ends=tuple(_place_ends(raw)),
    )


def _to_tuples(value: Any) -> Any:
    return tuple(map(_to_tuples, value)) if isinstance(value, list) else value


def _place_ends(raw: RawSeries) -> Iterator[tuple[int, str, str, int]]:
    n = len(raw)
    for row in sorted({row for row in (0, 1, n - 2, n - 1) if 0 <= row < n}):
        part, line = divmod(int(raw.lines[row]), LINES_A_PART)
        yield row, raw.parts[part] if raw.parts else raw.source, raw.unit, line


def _opening(local: Array) -> int:
    if not len(local):
        return 0
    days = local // DAY
    changes = np.append(0, 1 + np.flatnonzero(days[1:] != days[:-1]))
    _, first = np.unique(days[changes], return_index=True)  # np.unique of all days would sort a copy
    first = changes[first]
    times, counts = np.unique(local[first] % DAY, return_counts=True)
    return int(times[counts.argmax()])


def compute_small_calendar(local: Array) -> Array:
    """Return the calendar rows (N, 5) of local times as bytes, in pieces that need little memory."""
    calendar = np.empty((len(local), 5), np.uint8)
    for start in range(0, len(local), ROWS_AT_A_TIME):
        piece = slice(start, start + ROWS_AT_A_TIME)
        calendar[piece] = compute_calendar(pd.DatetimeIndex(local[piece].astype("M8[us]")))
    return calendar


def join_series(series: Iterator[InspectedSeries] | list[InspectedSeries]) -> CandleSet:
    """Put series one after the other, in memory."""
    raws, symbols, start = [], [], 0
    for each in series:
        raws.append(each.raw)
        symbols.append(place_series(each).shift(start))
        start += len(each.raw)
    calendars = [compute_small_calendar(raw.local) for raw in raws]
    return CandleSet(
        _join([raw.values for raw in raws], (0, len(CANDLE_COLUMNS)), np.float32),
        _join([raw.instants for raw in raws], (0,), np.int64),
        _join(calendars, (0, 5), np.uint8),
        tuple(symbols),
    )


def _join(arrays: list[Array], empty_shape: tuple[int, ...], dtype: type) -> Array:
    if len(arrays) == 1:  # a copy would double the memory
        return arrays[0]
    return np.concatenate(arrays) if arrays else np.empty(empty_shape, dtype)
