"""Gather batches of windows from one array of candles."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch.utils.data import Dataset

from kronos.candles import Array
from kronos.config.data import DataConfig
from kronos.data.windows.candle_set import CandleSet
from kronos.data.windows.normalize import Statistics
from kronos.data.windows.splits import WindowStarts

Batch = dict[str, Any]  # tensors; "window", the rows at which the windows begin, is an array and stays on the CPU
# From a batch of windows to the model's inputs; the step is None in validation.
PrepareBatch = Callable[[Batch, int | None], Batch]

N_DESCRIBED = 5
ORIGIN_SHARES = (0.5, 0.625, 0.75, 0.875, 1.0)  # of the lookback, where windows with many origins have theirs


class WindowDataset(Dataset[dict[str, Any]]):
    """The windows of a split. A batch is one gather, normalised by each window's own lookback.

    A batch of B windows is a dict of
        candles (B, T, 6) float32, in standard deviations of the lookback;
        scale (B, 6) float32, these deviations in the units of the candles;
        stamp (B, T, 5) float32, the calendar rows;
        window (B,) int64, the row of the candles at which each begins; an array, which stays on the CPU.

    symbol_bounds: (S + 1,) bounds of each symbol's windows; by default all are of one symbol.
    many_origins: a window is normalised by its first n_known candles, its entry (B,) in the batch: those before an origin of
        its own within the lookback. Nothing of what follows the origin is then in the normalisation.
    """

    def __init__(
        self,
        candles: CandleSet,
        starts: WindowStarts,
        config: DataConfig,
        symbol_bounds: Array | None = None,
        many_origins: bool = False,
    ) -> None:
        self.candles = candles
        self.starts = starts
        self.config = config
        self.symbol_bounds = np.array([0, len(starts)]) if symbol_bounds is None else symbol_bounds
        self.many_origins = many_origins
        # Views, nothing is copied until a batch is gathered; (windows, features, T).
        self._values = sliding_window_view(candles.values, config.window, axis=0)
        self._calendar = sliding_window_view(candles.calendar, config.window, axis=0)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arrays behind the views, for processes that are not forked; views would be written out in full."""
        return WindowDataset, (self.candles, self.starts, self.config, self.symbol_bounds, self.many_origins)

    def with_many_origins(self) -> "WindowDataset":
        """Return the same windows with many origins."""
        return WindowDataset(self.candles, self.starts, self.config, self.symbol_bounds, many_origins=True)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        """Return a whole batch; torch's DataLoader calls this if a dataset has it."""
        starts = self.starts.take(np.asarray(indices, np.int64))
        candles = np.ascontiguousarray(self._values[starts]).transpose(0, 2, 1)  # sums then run along memory
        statistics = self._compute_statistics(candles, starts)
        normalised = np.ascontiguousarray(statistics.normalise(candles, self.config.clip))
        scale = torch.from_numpy(statistics.scale[:, 0].astype(np.float32))
        return {"candles": torch.from_numpy(normalised), "scale": scale, **self._gather_places(starts)}

    def _compute_statistics(self, candles: Array, starts: Array) -> Statistics:
        """Return the statistics of windows (B, T, F) that begin at rows starts (B,)."""
        if not self.many_origins:
            return Statistics.compute(candles[:, : self.config.lookback_window])
        mean, scale = (np.empty((len(candles), 1, candles.shape[2])) for _ in range(2))
        n_known = choose_origins(starts, self.config.lookback_window)
        for n in np.unique(n_known):
            chosen = n_known == n
            statistics = Statistics.compute(candles[chosen, :n])
            mean[chosen], scale[chosen] = statistics.mean, statistics.scale
        return Statistics(mean, scale)

    def _gather_places(self, starts: Array) -> dict[str, Any]:
        """Return a batch's entries about the times of its windows: stamp, window and, with many origins, n_known."""
        stamp = np.ascontiguousarray(self._calendar[starts].transpose(0, 2, 1), np.float32)
        places: dict[str, Any] = {"stamp": torch.from_numpy(stamp), "window": starts}
        if self.many_origins:
            places["n_known"] = torch.from_numpy(choose_origins(starts, self.config.lookback_window))
        return places

    def describe(self, rows: Array) -> str:
        """Describe the windows that begin at rows (B,)."""
        return describe_windows(self.candles, rows)

    def content_hash(self) -> str:
        """Return a SHA-256 of everything that determines the normalised candles: the same windows, the same hash."""
        config, starts = self.config, self.starts
        sizes: tuple[object, ...] = (config.lookback_window, config.predict_window, config.clip, starts.stride)
        sizes += ("many origins",) if self.many_origins else ()
        digest = hashlib.sha256(repr((self.candles.content_hash(), *sizes)).encode())
        for rows in (starts.first, starts.count):
            digest.update(np.ascontiguousarray(rows, np.int64).data)
        return digest.hexdigest()


def choose_origins(rows: Array, lookback: int) -> Array:
    """Return the candles before the origin (B,) of windows that begin at rows (B,): always the same for a window.

    The rows are mixed by Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4), because
    neighbouring windows should have different origins.
    """
    mixed = (rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    origins = np.maximum(np.round(lookback * np.array(ORIGIN_SHARES)), min(2, lookback)).astype(np.int64)
    chosen: Array = origins[mixed % np.uint64(len(origins))]
    return chosen


def describe_windows(candles: CandleSet, rows: Array) -> str:
    """Describe the windows that begin at rows (B,): symbol and time of the first few."""
    parts = []
    for row in rows[:N_DESCRIBED].tolist():
        symbol = candles.symbol_at(row)
        parts.append(f"{symbol.symbol} from {candles.timestamps(row, row + 1)[0]:%Y-%m-%d %H:%M}")
    more = len(rows) - N_DESCRIBED
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")


def keep_batch(batch: dict[str, Any]) -> dict[str, Any]:
    """The collate function for a dataset that returns whole batches."""
    return batch
