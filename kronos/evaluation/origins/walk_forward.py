"""Forecast from one origin after another with the data known at the time, and store the forecasts on disk."""

import hashlib
import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from accelerate import PartialState
from accelerate.utils import gather_object

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, Array
from kronos.data import CandleSet
from kronos.evaluation.forecasters.base import Forecaster, ForecastInput, NotApplicable, translate_failures
from kronos.evaluation.records import Note
from kronos.files import append_digest, ends_with_digest, find_sealed, read_sealed, replacing, write_sealed
from kronos.forecast.chunks import choose_group_size
from kronos.names import Message
from kronos.progress.bars import Progress
from kronos.timing import timed
from kronos.version import __version__

logger = logging.getLogger(__name__)

CLOSE = CANDLE_COLUMNS.index("close")
PRICES = slice(len(PRICE_COLUMNS))  # the first columns
CHEAP_PATHS = 1000  # of a forecaster without a key
CHEAP_VALUES = 5_000_000  # of all these paths together; scoring them takes a second or two
SUFFIX = ".npz"


@dataclass(frozen=True, eq=False)
class Origins:
    """The origins of forecasts. rows: (N,), the last known candles, numbered over all symbols."""

    candles: CandleSet
    rows: Array
    lookback: int
    horizon: int

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def closes(self) -> Array:
        """The known closes (N, L), float64."""
        return self._gather(np.arange(1 - self.lookback, 1))

    @cached_property
    def actual(self) -> Array:
        """The actual closes (N, H) of the horizon, float64."""
        return self._gather(np.arange(1, self.horizon + 1))

    @property
    def starts(self) -> Array:
        """The instants (N,) of the last known candles, microseconds since 1970."""
        return np.asarray(self.candles.instants[self.rows])

    @property
    def ends(self) -> Array:
        """The instants (N,) of the last forecast candles, microseconds since 1970."""
        return np.asarray(self.candles.instants[self.rows + self.horizon])

    def take(self, indices: Array) -> "Origins":
        """Return the origins at some indices."""
        return Origins(self.candles, self.rows[indices], self.lookback, self.horizon)

    def select_positive(self) -> "Origins":
        """Return the origins with log returns: all prices of lookback and horizon are above 0."""
        not_positive = (self.candles.values[:, PRICES] <= 0).any(axis=1)
        n_before = np.append(0, np.cumsum(not_positive))
        n_around = n_before[self.rows + self.horizon + 1] - n_before[self.rows + 1 - self.lookback]
        return self.take(np.flatnonzero(n_around == 0))

    def known(self) -> list[ForecastInput]:
        return build_forecast_input(self.candles, self.rows, self.lookback, self.horizon)

    def content_hash(self) -> str:
        """Return the start of the SHA-256 of the rows."""
        return hashlib.sha256(np.ascontiguousarray(self.rows, np.int64).data).hexdigest()[:12]

    def _gather(self, offsets: Array) -> Array:
        closes: Array = self.candles.values[self.rows[:, np.newaxis] + offsets, CLOSE].astype(np.float64)
        return closes


def build_forecast_input(candles: CandleSet, rows: Array, lookback: int, horizon: int) -> list[ForecastInput]:
    """Return the known data at each origin: the lookback, which ends with its row, and the times of the horizon."""
    built, many = [], len(candles.symbols) > 1
    for row in rows.tolist():
        symbol = candles.symbol_at(row).symbol if many else ""
        history = candles.frame(row - lookback + 1, row + 1)
        future = candles.timestamps(row + 1, row + 1 + horizon)
        name = f"{symbol} {history.index[-1]:%Y-%m-%d %H:%M}".lstrip()
        built.append(ForecastInput(name, history, future, symbol))
    return built


class ForecastStore:
    """The forecasts of one forecaster on disk. The folder's name has a hash of everything that the forecasts depend on."""

    def __init__(self, folder: Path, forecaster: Forecaster, origins: Origins, n_paths: int, seed: int) -> None:
        clocks = [
            (symbol.offset_rows, symbol.offsets) for symbol in origins.candles.symbols
        ]  # calendar features depend on them
        candles = origins.candles.content_hash(), clocks
        parts: tuple[object, ...] = (
            __version__,
            forecaster.key,
            candles,
            origins.lookback,
            origins.horizon,
            n_paths,
            seed,
        )
        if len(origins.candles.symbols) > 1:
            parts = (*parts, "each symbol draws its own random numbers")
        name = re.sub(r"[^\w.-]+", "_", forecaster.name)  # a run's name is a part of its path
        self.folder = folder / f"{name}-{_hash(parts)}"
        self._shape = n_paths, origins.horizon

    def load(self) -> dict[int, Array]:
        """Return the stored paths (P, H) by the origin's row. Damaged files are deleted."""
        stored: dict[int, Array] = {}
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            group = self._read(path)
            if group is None:
                logger.warning("%s is damaged, or of an earlier version, and is made anew", path)
                path.unlink(missing_ok=True)
            else:
                stored |= dict(zip(group[0].tolist(), group[1]))
        return stored

    def _read(self, path: Path) -> tuple[Array, Array, float] | None:
        """Return rows (N,) and paths (N, P, H) of a file, and the seconds beside it; None if they are not as `save` left them."""
        try:
            if not ends_with_digest(path):
                return None
            with np.load(path, allow_pickle=False) as file:
                rows, paths = file["rows"], file["paths"]
            seconds = read_sealed(path.with_suffix(".json"))["seconds"]
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
        fits = rows.dtype.kind == "i" and paths.dtype == np.float32 and paths.shape == (rows.size, *self._shape)
        return (rows, paths, seconds) if fits and isinstance(seconds, float) else None

    def load_seconds(self, rows: Array) -> float:
        """Return the seconds that the stored forecasts from some origins took."""
        total = 0.0
        for path in self.folder.glob(f"*{SUFFIX}"):
            if group := self._read(path):
                total += float(group[2] * np.isin(group[0], rows).mean())
        return total

    def save(self, rows: Array, paths: Array, seconds: float) -> None:
        """Write the paths (N, P, H) of some origins; and the seconds that they took beside it, which always differ.

        Raises:
            KronosError: the disk is full, or the folder cannot be written to.
        """
        path = self.folder / f"{rows[0]}-{len(rows)}-{rows[-1]}{SUFFIX}"
        write_sealed(path.with_suffix(".json"), {"seconds": seconds})
        with replacing(path) as temporary:
            with temporary.open("wb") as file:
                np.savez(file, rows=rows, paths=paths)
            append_digest(temporary)


@dataclass(frozen=True)
class WalkForward:
    """Make forecasts, n_paths from each origin, and store them in a folder. title: of the progress bar."""

    folder: Path
    n_paths: int
    seed: int
    title: str = "forecasts"

    @timed("forecasts")
    def choose(self, forecaster: Forecaster, origins: Origins, seconds: float | None) -> Origins:
        """Return the origins that can be forecast within a time: all of them, or a random subset.

        Origins are taken in random order, up to the first one without a forecast. Stored forecasts from other evaluations
        therefore do not bias the choice. The choice is written to a file and reused the next time.
        """
        key = self._store(forecaster, origins).folder.name, origins.content_hash(), seconds
        plan = self.folder / "plans" / f"{_hash(key)}.json"
        rows = _read_plan(plan, origins)
        if rows:
            self.prepare(forecaster, origins.take(np.flatnonzero(np.isin(origins.rows, rows))))
        else:
            order = np.random.default_rng(self.seed).permutation(len(origins))
            able = set(self._run(forecaster, origins.take(order), seconds))
            rows = sorted(takewhile(able.__contains__, origins.rows[order].tolist()))
            if PartialState().is_main_process:
                write_sealed(plan, {"key": key, "rows": rows})
        return origins.take(np.flatnonzero(np.isin(origins.rows, rows)))

    @timed("forecasts")
    def prepare(self, forecaster: Forecaster, origins: Origins, is_baseline: bool = False) -> None:
        """Make and store the missing forecasts of a forecaster with a key; all ranks share the work.

        Args:
            is_baseline: whether any error while it forecasts means that it cannot forecast these candles.

        Raises:
            NotApplicable: the forecaster cannot forecast these candles; raised on all ranks.
        """
        if forecaster.key is not None:
            self._run(forecaster, origins, None, is_baseline)

    def forecast(self, forecaster: Forecaster, origins: Origins) -> Array:
        """Return closes (N, P, H) in the candles' units, read from disk if the forecaster has a key.

        Forecasters with a key have n_paths paths, others more: more paths cost them nothing, and reduce sampling noise.
        """
        if forecaster.key is None:
            cheap = min(CHEAP_PATHS, CHEAP_VALUES // max(len(origins) * origins.horizon, 1))
            return forecaster.sample(origins.known(), max(cheap, self.n_paths), self.seed)
        stored = self._store(forecaster, origins).load()
        return np.stack([stored[row] for row in origins.rows.tolist()]).astype(np.float64)

    def measure_seconds(self, forecaster: Forecaster, origins: Origins) -> float:
        """Return the seconds that the stored forecasts took, summed over processes; 0 for a forecaster without a key."""
        return self._store(forecaster, origins).load_seconds(origins.rows) if forecaster.key is not None else 0.0

    def _run(
        self, forecaster: Forecaster, origins: Origins, seconds: float | None, is_baseline: bool = False
    ) -> list[int]:
        """Make this rank's share of the forecasts; return the rows that all ranks have forecast."""
        store, state = self._store(forecaster, origins), PartialState()
        done = set(store.load()) & set(origins.rows.tolist())
        state.wait_for_everyone()  # all ranks must list the files before any rank writes
        missing = origins.take(np.flatnonzero(~np.isin(origins.rows, list(done))))
        made, reason = self._forecast_share(forecaster, missing, store, seconds, is_baseline)
        if reasons := [each for each in gather_object([reason]) if each]:
            raise NotApplicable(reasons[0].texts or reasons[0].code, **reasons[0].values)
        return [*done, *gather_object(made)]

    def _forecast_share(
        self,
        forecaster: Forecaster,
        missing: Origins,
        store: ForecastStore,
        seconds: float | None,
        is_baseline: bool,
    ) -> tuple[list[int], Note | None]:
        """Forecast from this rank's groups; return their rows and, if these candles cannot be forecast, the reason."""
        state, started = PartialState(), time.monotonic()
        made: list[int] = []
        title = Message("{work} of {name}", work=self.title, name=forecaster.name)
        total = len(missing) if seconds is None else None
        is_shown = bool(state.is_main_process and len(missing))
        with Progress(title, total, "origins", shown=is_shown) as progress:
            for group in _groups(missing, state.process_index, state.num_processes):
                since = time.monotonic()
                try:
                    with translate_failures() if is_baseline else nullcontext():
                        paths = forecaster.sample(group.known(), self.n_paths, self.seed)
                except NotApplicable as error:
                    return made, error.reason
                store.save(group.rows, paths.astype(np.float32), time.monotonic() - since)
                made += group.rows.tolist()
                progress.update(len(group) * state.num_processes)
                if seconds is not None and time.monotonic() > started + seconds:
                    break
        return made, None

    def _store(self, forecaster: Forecaster, origins: Origins) -> ForecastStore:
        return ForecastStore(self.folder / "forecasts", forecaster, origins, self.n_paths, self.seed)


def _read_plan(path: Path, origins: Origins) -> list[int]:
    """Return the rows of a plan; empty if the file is missing or damaged, or names other origins."""
    rows = (find_sealed(path) or {}).get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, int) for row in rows):
        return []
    return rows if set(rows) <= set(origins.rows.tolist()) else []


def _hash(parts: Sequence[object]) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _groups(origins: Origins, rank: int, n_ranks: int) -> Iterator[Origins]:
    size = min(choose_group_size(PartialState().device), -(-len(origins) // n_ranks)) or 1
    firsts: Sequence[int] = range(0, len(origins), size)[rank::n_ranks]
    return (origins.take(np.arange(first, min(first + size, len(origins)))) for first in firsts)
