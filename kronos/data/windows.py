"""Chronological split, and windows gathered in batches from one contiguous array."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor
from torch.utils.data import Dataset

from kronos.candles import Array
from kronos.config.schema import DataConfig
from kronos.data.normalize import Statistics
from kronos.data.read import Candles
from kronos.errors import DataError

SplitName = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Split:
    """Rows start..stop of the candles, from which horizons may be taken; windows begin at the rows window_starts."""

    name: SplitName
    start: int
    stop: int
    window_starts: range


def split_rows(n_rows: int, config: DataConfig, source: str) -> dict[SplitName, Split]:
    """Split rows in order of time into train, val and, where its ratio is not 0, test.

    A train window lies within the train rows. A val or test window's horizon lies within its split, while its
    lookback may reach back into earlier rows, which a forecast would know too.

    Raises:
        DataError: a split is too short for a single window; says how many rows there are and are needed.
    """
    splits = _bounds(n_rows, config)
    for split in splits:
        if not split.window_starts:
            needs = _needs(split.name, config)
            enough = next(n for n in itertools.count(n_rows) if all(s.window_starts for s in _bounds(n, config)))
            ratio = getattr(config, f"{split.name}_ratio")
            raise DataError(
                f"{source}: {n_rows} rows, of which {split.name} gets {split.stop - split.start} ({split.name}_ratio "
                f"{ratio:g}), but it needs at least {needs}. Use a file of at least {enough} rows, a larger "
                f"{split.name}_ratio, or shorter windows."
            )
    return {split.name: split for split in splits}


def _bounds(n_rows: int, config: DataConfig) -> list[Split]:
    train_stop = round(n_rows * config.train_ratio)
    val_stop = round(n_rows * (config.train_ratio + config.val_ratio))
    bounds: list[tuple[SplitName, int, int]] = [("train", 0, train_stop), ("val", train_stop, val_stop)]
    if config.test_ratio:
        bounds.append(("test", val_stop, n_rows))
    firsts = [max(start - config.lookback_window, 0) for _, start, _ in bounds]
    return [
        Split(name, start, stop, range(first, stop - config.window + 1))
        for (name, start, stop), first in zip(bounds, firsts)
    ]


def _needs(name: SplitName, config: DataConfig) -> str:
    if name != "train":
        return f"{config.predict_window} (predict_window)"
    return f"{config.window} (lookback_window {config.lookback_window} + predict_window {config.predict_window})"


class WindowDataset(Dataset[dict[str, Tensor]]):
    """The windows of a split. A batch is one gather, normalised by each window's own lookback.

    A batch of B windows is a dict of
        candles (B, T, 6) float32, in standard deviations of the lookback;
        stamp (B, T, 5) float32, the calendar rows;
        window (B,) int64, the row of the candles at which each begins.
    """

    def __init__(self, candles: Candles, window_starts: range, config: DataConfig) -> None:
        self._starts = np.asarray(window_starts)
        self._lookback = config.lookback_window
        self._clip = config.clip
        # Views, nothing is copied until a batch is gathered; (features, windows, T), so that sums run along memory.
        self._values = sliding_window_view(candles.values.T, config.window, axis=1)
        self._calendar = sliding_window_view(candles.calendar.T, config.window, axis=1)

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {key: value[0] for key, value in self.__getitems__([index]).items()}

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Return a whole batch; torch's DataLoader calls this where a dataset has it."""
        starts = self._starts[np.asarray(indices)]
        candles = self._values[:, starts].transpose(1, 2, 0)
        statistics = Statistics.compute(candles[:, : self._lookback])
        batch: dict[str, Array] = {
            "candles": np.ascontiguousarray(statistics.normalise(candles, self._clip)),
            "stamp": np.ascontiguousarray(self._calendar[:, starts].transpose(1, 2, 0)),
            "window": starts,
        }
        return {key: torch.from_numpy(value) for key, value in batch.items()}


def keep_batch(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The collate function for a dataset that returns whole batches."""
    return batch
