"""Choose which train windows an epoch takes, and in which order."""

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from kronos.candles import Array
from kronos.config.data import DataConfig
from kronos.data import WindowDataset
from kronos.data.windows.splits import count_epoch_windows, spread_evenly
from kronos.training.inputs.replay import ReplayDataset


class WindowSampler(Sampler[int]):
    """Draws new windows for each epoch, in whole global batches, the same on every rank and after resuming.

    An epoch therefore has the same steps however a batch is split over ranks and parts. The windows left over differ from
    epoch to epoch. (The Trainer's drop_last would shorten the validation too.) With data.balance_symbols each symbol gets
    an equal share; a symbol with fewer windows repeats them. With data.windows_per_epoch=independent the windows of an epoch
    are spread over all candles: neighbouring windows are almost the same, and do not count as new data. With data.replay a
    share of an epoch's windows is drawn from other candles.
    """

    def __init__(self, dataset: WindowDataset, data: DataConfig, global_batch: int, seed: int) -> None:
        self._dataset = dataset
        self._balanced = data.balance_symbols
        self._spread = data.windows_per_epoch == "independent"
        self._n_windows = count_epoch_windows(len(dataset), data, global_batch) // global_batch * global_batch
        self._n_replayed = round(self._n_windows * data.replay_share) if isinstance(dataset, ReplayDataset) else 0
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; accelerate calls this before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._n_windows

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self._seed, self._epoch])
        n_own = self._n_windows - self._n_replayed
        if self._balanced:
            windows = self._draw_balanced(generator, n_own)
        elif self._spread:
            chosen = spread_evenly(len(self._dataset), n_own, [self._seed, self._epoch])
            windows = generator.permutation(chosen)
        else:
            windows = generator.permutation(len(self._dataset))[:n_own]
        if isinstance(self._dataset, ReplayDataset):
            replayed = len(self._dataset) + _draw(generator, len(self._dataset.other), self._n_replayed)
            windows = generator.permutation(np.concatenate([windows, replayed]))
        return iter(windows.tolist())

    def _draw_balanced(self, generator: np.random.Generator, n_windows: int) -> Array:
        bounds = self._dataset.symbol_bounds
        counts = np.diff(bounds)
        present = np.flatnonzero(counts)
        share, left = divmod(n_windows, len(present))
        quotas = share + (generator.permutation(len(present)) < left)
        drawn = [bounds[k] + _draw(generator, counts[k], quota) for k, quota in zip(present, quotas)]
        return generator.permutation(np.concatenate(drawn))


def _draw(generator: np.random.Generator, n: int, quota: int) -> Array:
    """Draw quota numbers below n; no number is drawn two times more often than another."""
    rounds = [generator.permutation(n) for _ in range(-(-quota // n))]
    drawn: Array = np.concatenate([np.empty(0, np.int64), *rounds])[:quota]
    return drawn
