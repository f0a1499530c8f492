"""Forecasts from one origin after another, as they would have been made at the time; kept on disk as they come."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from accelerate import PartialState
from accelerate.utils import gather_object
from tqdm import tqdm

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.data import CandleSet
from kronos.evaluate.forecasters import Forecaster, Known
from kronos.files import replacing, write_json

CLOSE = CANDLE_COLUMNS.index("close")
GROUP = 16  # origins forecast, then written, together
SUFFIX = ".npz"
PLAN_NAME = "plan.json"


@dataclass(frozen=True, eq=False)
class Origins:
    """Where forecasts are made from. rows: (N,) the last known candles, counted over all symbols."""

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
    def truth(self) -> Array:
        """The closes that came (N, H), float64."""
        return self._gather(np.arange(1, self.horizon + 1))

    @property
    def starts(self) -> Array:
        """The instants (N,) of the last known candles, microseconds since 1970."""
        return np.asarray(self.candles.instants[self.rows])

    @property
    def ends(self) -> Array:
        """The instants (N,) of the last candles forecast."""
        return np.asarray(self.candles.instants[self.rows + self.horizon])

    def take(self, indices: Array) -> "Origins":
        """Return some of them."""
        return Origins(self.candles, self.rows[indices], self.lookback, self.horizon)

    def known(self) -> list[Known]:
        return build_known(self.candles, self.rows, self.lookback, self.horizon)

    def name(self, row: int) -> str:
        return self.take(np.flatnonzero(self.rows == row)).known()[0].name

    def content_hash(self) -> str:
        """Return a SHA-256 of where they are: the same rows, the same hash."""
        return hashlib.sha256(np.ascontiguousarray(self.rows, np.int64).data).hexdigest()[:12]

    def _gather(self, offsets: Array) -> Array:
        closes: Array = self.candles.values[self.rows[:, np.newaxis] + offsets, CLOSE].astype(np.float64)
        return closes


def build_known(candles: CandleSet, rows: Array, lookback: int, horizon: int) -> list[Known]:
    """Return what is known at each origin: the lookback up to and with its row, and the times, not the candles, to come."""
    built, many = [], len(candles.symbols) > 1
    for row in rows.tolist():
        symbol = f"{candles.symbol_at(row).symbol} " if many else ""
        history = candles.frame(row - lookback + 1, row + 1)
        future = candles.timestamps(row + 1, row + 1 + horizon)
        built.append(Known(f"{symbol}{history.index[-1]:%Y-%m-%d %H:%M}", history, future))
    return built


class ForecastStore:
    """The forecasts of one forecaster on disk, in files of some origins each, found again by all that decides them."""

    def __init__(self, folder: Path, forecaster: Forecaster, origins: Origins, n_paths: int, seed: int) -> None:
        parts = (forecaster.key, origins.candles.content_hash(), origins.lookback, origins.horizon, n_paths, seed)
        self.folder = folder / f"{forecaster.name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:12]}"

    def load(self) -> dict[int, Array]:
        """Return the paths (P, H) that are there, by the origin's row; a damaged file counts as none."""
        found: dict[int, Array] = {}
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                with np.load(path, allow_pickle=False) as file:
                    found |= dict(zip(file["rows"].tolist(), file["paths"]))
            except (OSError, ValueError, KeyError, EOFError, BadZipFile):
                path.unlink(missing_ok=True)
        return found

    def save(self, rows: Array, paths: Array) -> None:
        """Write the paths (N, P, H) of some origins.

        Raises:
            KronosError: the disk is full, or the folder cannot be written to.
        """
        with (
            replacing(self.folder / f"{rows[0]}-{len(rows)}-{rows[-1]}{SUFFIX}") as temporary,
            temporary.open("wb") as file,
        ):
            np.savez(file, rows=rows, paths=paths)


@dataclass(frozen=True)
class WalkForward:
    """How forecasts are made. folder: where they are kept."""

    folder: Path
    n_paths: int
    seed: int

    def choose(self, forecaster: Forecaster, origins: Origins, seconds: float | None) -> Origins:
        """Return those origins that can be forecast from in a time: all, or else ones chosen at random.

        They are noted in plan.json, so that the next time they are the same.
        """
        plan = self.folder / PLAN_NAME
        key = [self._store(forecaster, origins).folder.name, origins.content_hash(), seconds]
        rows = _read_plan(plan, key)
        if rows is None:
            order = np.random.default_rng(self.seed).permutation(len(origins))
            rows = sorted(self._run(forecaster, origins.take(order), seconds))
            if PartialState().is_main_process:
                write_json(plan, {"key": key, "rows": rows})
        return origins.take(np.flatnonzero(np.isin(origins.rows, rows)))

    def prepare(self, forecaster: Forecaster, origins: Origins) -> None:
        """Make the forecasts that are worth keeping and not on disk; all ranks share the work."""
        if forecaster.key is not None:
            self._run(forecaster, origins, None)

    def forecast(self, forecaster: Forecaster, origins: Origins) -> Array:
        """Return closes (N, n_paths, H) in the candles' units, from the disk where they are kept."""
        if forecaster.key is None:
            return forecaster.sample(origins.known(), self.n_paths, self.seed)
        found = self._store(forecaster, origins).load()
        return np.stack([found[row] for row in origins.rows.tolist()]).astype(np.float64)

    def _run(self, forecaster: Forecaster, origins: Origins, seconds: float | None) -> list[int]:
        """Make this rank's share of the forecasts; return the rows that all ranks have."""
        store, state = self._store(forecaster, origins), PartialState()
        done = set(store.load()) & set(origins.rows.tolist())
        state.wait_for_everyone()  # until all have looked, so that all share out the same rest
        missing = origins.take(np.flatnonzero(~np.isin(origins.rows, list(done))))
        until = None if seconds is None else time.monotonic() + seconds
        made: list[int] = []
        with tqdm(
            desc=f"forecasts of {forecaster.label['en']}",
            total=len(missing) if until is None else None,
            unit="origin",
            disable=None if state.is_main_process and len(missing) else True,
            leave=False,
        ) as progress:
            for group in _groups(missing, state.process_index, state.num_processes):
                store.save(group.rows, forecaster.sample(group.known(), self.n_paths, self.seed).astype(np.float32))
                made += group.rows.tolist()
                progress.update(len(group) * state.num_processes)
                if until is not None and time.monotonic() > until:
                    break
        state.wait_for_everyone()
        return [*done, *gather_object(made)]

    def _store(self, forecaster: Forecaster, origins: Origins) -> ForecastStore:
        return ForecastStore(self.folder / "forecasts", forecaster, origins, self.n_paths, self.seed)


def _read_plan(path: Path, key: Sequence[object]) -> list[int] | None:
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        return [int(row) for row in plan["rows"]] if plan["key"] == list(key) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _groups(origins: Origins, rank: int, n_ranks: int) -> Iterator[Origins]:
    size = min(GROUP, -(-len(origins) // n_ranks)) or 1
    firsts: Sequence[int] = range(0, len(origins), size)[rank::n_ranks]
    return (origins.take(np.arange(first, min(first + size, len(origins)))) for first in firsts)
