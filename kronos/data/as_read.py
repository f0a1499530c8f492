"""The first and last candles of a symbol as they were read, beside the lines of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kronos.candles import CANDLE_COLUMNS
from kronos.data.candle_kind import format_offset
from kronos.data.files.raw_lines import read_lines
from kronos.data.quality.findings import format_time
from kronos.data.windows.candle_set import DAY, CandleSet, SymbolRows
from kronos.errors import DataError
from kronos.names import make_printable


class Place(NamedTuple):
    """Where a candle stands; unit is "line" or "row"."""

    file: str
    unit: str
    line: int


class CandleAsRead(NamedTuple):
    """A candle and where it stands.

    time: local. zone: the offset of the clock from UTC, "+08:00"; empty for times without a zone. values: open … amount.
    raw: the line of the file; empty if it cannot be read again.
    """

    time: str
    zone: str
    values: dict[str, str]
    place: Place
    raw: str

    def to_json(self) -> dict[str, Any]:
        numbers = {name: float(value) for name, value in self.values.items()}
        return {"time": self.time, "zone": self.zone or None, **numbers, **self.place._asdict(), "raw": self.raw}


def read_ends(
    candles: CandleSet, symbols: Sequence[SymbolRows], files: Sequence[Path]
) -> dict[str, list[CandleAsRead]]:
    """Return the first and last two candles of each symbol. The files are read again for their lines."""
    paths = {path.name: path for path in reversed(files)} | {str(path): path for path in files}

    def find(file: str) -> Path | None:
        return paths.get(file) or paths.get(Path(file).name)  # a cached set may have been read elsewhere

    wanted: dict[Path, set[int]] = {}
    for symbol in symbols:
        for _, file, _, line in symbol.ends:
            if path := find(file):
                wanted.setdefault(path, set()).add(line)
    lines = {path: _read_lines(path, numbers) for path, numbers in wanted.items()}
    return {
        symbol.symbol: [
            _describe(
                candles,
                symbol,
                row,
                Place(make_printable(Path(file).name), unit, line),
                lines.get(find(file) or Path(), {}),
            )
            for row, file, unit, line in symbol.ends
        ]
        for symbol in symbols
    }


def _read_lines(path: Path, numbers: set[int]) -> dict[int, str]:
    try:
        return read_lines(path, numbers)
    except (OSError, DataError):
        return {}  # the file has gone, or changed


def _describe(candles: CandleSet, symbol: SymbolRows, row: int, place: Place, lines: Mapping[int, str]) -> CandleAsRead:
    row += symbol.start
    local = int(candles.local_at(symbol, np.array([row]))[0])
    zone = format_offset(local - int(candles.instants[row])) if symbol.zoned else ""
    values = dict(_format_values(candles.values[row]))
    time = format_time(local)
    time += " 00:00" if symbol.interval < DAY and " " not in time else ""  # a midnight among other times
    return CandleAsRead(time, zone, values, place, lines.get(place.line, ""))


def _format_values(values: Any) -> Iterator[tuple[str, str]]:
    for name, value in zip(CANDLE_COLUMNS, values):
        yield name, np.format_float_positional(np.float32(value), trim="-")  # 20.1, not 20.100000381
