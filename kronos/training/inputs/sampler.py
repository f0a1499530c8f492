"""Choose which train windows an epoch takes, and in which order."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from kronos.candles import Array
from kronos.config.data import DataConfig
from kronos.data import WindowDataset


def count_windows(dataset: WindowDataset, data: DataConfig) -> int:
    """Return the maximum number of windows of an epoch: all, or data.windows_per_epoch."""
    return min(len(dataset), data.windows_per_epoch or len(dataset))


class WindowSampler(Sampler[int]):
    """Draws new windows for each epoch, in whole global batches, the same on every rank and after resuming.

    An epoch therefore has the same steps however a batch is split over ranks and parts. The windows left over differ from
    epoch to epoch. (The Trainer's drop_last would shorten the validation too.) With data.balance_symbols each symbol gets
    an equal share; a symbol with fewer windows repeats them.
    """

    def __init__(self, dataset: WindowDataset, data: DataConfig, global_batch: int, seed: int) -> None:
        self._dataset = dataset
        self._balanced = data.balance_symbols
        self._n_windows = count_windows(dataset, data) // global_batch * global_batch
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; accelerate calls this before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._n_windows

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self._seed, self._epoch])
        if self._balanced:
            windows = self._draw_balanced(generator)
        else:
            windows = generator.permutation(len(self._dataset))[: self._n_windows]
        return iter(windows.tolist())

    def _draw_balanced(self, generator: np.random.Generator) -> Array:
        bounds = self._dataset.symbol_bounds
        counts = np.diff(bounds)
        present = np.flatnonzero(counts)
        share, left = divmod(self._n_windows, len(present))
        quotas = share + (generator.permutation(len(present)) < left)
        drawn = [bounds[k] + _draw(generator, counts[k], quota) for k, quota in zip(present, quotas)]
        return generator.permutation(np.concatenate(drawn))


def _draw(generator: np.random.Generator, n: int, quota: int) -> Array:
    """Draw quota numbers below n; no number is drawn two times more often than another."""
    rounds = [generator.permutation(n) for _ in range(-(-quota // n))]
    drawn: Array = np.concatenate([np.empty(0, np.int64), *rounds])[:quota]
    return drawn
