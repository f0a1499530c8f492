"""Keep large sets of candles on disk, named by the content of their files; all ranks and later runs map one copy."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.config.data import DataConfig, RepairsConfig
from kronos.data.files.options import ReadingOptions
from kronos.data.files.sources import name_files
from kronos.data.quality.findings import Finding
from kronos.data.quality.series import InspectedSeries
from kronos.data.windows.candle_set import CandleSet, SymbolRows, compute_small_calendar, place_series
from kronos.disk.reading import read_json
from kronos.errors import DataError
from kronos.files import is_whole, replacing_folder, seal_folder, write_json

CACHE_FROM_BYTES = 64 << 20  # about a million candles of text
ARRAYS = {"values": (np.float32, len(CANDLE_COLUMNS)), "instants": (np.int64, 1), "calendar": (np.uint8, 5)}
INDEX = "index.json"

logger = logging.getLogger(__name__)

Loaded = tuple[CandleSet, list[Finding]]


@dataclass(frozen=True)
class CandleCache:
    """One entry, the folder {cache_dir}/{key}."""

    folder: Path

    @classmethod
    def find(cls, data: DataConfig, repairs: RepairsConfig, files: Sequence[Path]) -> CandleCache:
        """Return the entry of these files, read with these settings."""
        digest = hashlib.sha256(repr((ReadingOptions.of(data), repairs.model_dump())).encode())
        for source in sorted(Path(__file__).parents[1].rglob("*.py")):  # another version may read files differently
            digest.update(source.read_bytes())
        for file, name in zip(files, name_files(files)):
            with file.open("rb") as content:
                digest.update(name.encode())
                digest.update(hashlib.file_digest(content, "sha256").digest())
        return cls(data.cache_dir / digest.hexdigest()[:32])

    def load(self) -> Loaded | None:
        """Map the entry; None if it does not exist, is incomplete or has changed since it was written."""
        if not is_whole(self.folder):
            return None
        try:
            index = read_json(self.folder / INDEX)
            arrays = _map_all(self.folder, index["rows"])
            symbols = tuple(SymbolRows.from_json(values) for values in index["symbols"])
            findings = [Finding.from_json(values) for values in index["findings"]]
            known_hash = str(index["content_hash"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return CandleSet(*arrays, symbols, known_hash), findings

    def build(self, inspect: Callable[[list[Finding]], Iterator[InspectedSeries]]) -> Loaded:
        """Write the entry series by series, then map it. One process writes; others wait for it."""
        try:
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self.folder}.lock"):
                return self.load() or self._write(inspect)
        except OSError as error:
            raise DataError(
                "{path}: the cache of candles cannot be written: {reason}. Choose another folder with data.cache_dir.",
                path=self.folder,
                reason=error.strerror or error,
            ) from None

    def _write(self, inspect: Callable[[list[Finding]], Iterator[InspectedSeries]]) -> Loaded:
        if self.folder.exists():
            logger.warning("%s is damaged or incomplete and is made anew", self.folder)
            shutil.rmtree(self.folder, ignore_errors=True)  # first: a full disk needs the room
        with replacing_folder(self.folder) as new:
            _fill(new, inspect)
        loaded = self.load()
        assert loaded is not None
        return loaded


def _map_all(folder: Path, rows: int) -> tuple[Array, Array, Array]:
    values, instants, calendar = (_map(folder / name, rows) for name in ARRAYS)
    return values, instants, calendar


def _map(path: Path, rows: int) -> Array:
    dtype, width = ARRAYS[path.name]
    shape = (rows, width) if width > 1 else (rows,)
    if path.stat().st_size != rows * width * np.dtype(dtype).itemsize:
        raise ValueError(f"{path}: incomplete")
    if rows == 0:
        return np.empty(shape, dtype)  # nothing to map
    return np.memmap(path, dtype, "r", shape=shape)


def _fill(folder: Path, inspect: Callable[[list[Finding]], Iterator[InspectedSeries]]) -> None:
    findings: list[Finding] = []
    symbols: list[SymbolRows] = []
    rows = 0
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / name).open("wb")) for name in ARRAYS}
        for each in inspect(findings):
            raw = each.raw
            arrays = {"values": raw.values, "instants": raw.instants, "calendar": compute_small_calendar(raw.local)}
            for name, array in arrays.items():
                files[name].write(np.ascontiguousarray(array).data)  # tofile hides that the disk is full
            symbols.append(place_series(each).shift(rows))
            rows += len(raw)
    mapped = CandleSet(*_map_all(folder, rows), tuple(symbols))
    index = {
        "rows": rows,
        "content_hash": mapped.content_hash(),
        "symbols": [symbol.to_json() for symbol in symbols],
        "findings": [finding.to_json() for finding in findings],
    }
    write_json(folder / INDEX, index)
    seal_folder(folder)
