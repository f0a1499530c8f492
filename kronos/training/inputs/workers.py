"""Loader processes that outlive a signal to all processes."""

import signal
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from torch.utils.data import DataLoader

from kronos.errors import STOP_SIGNALS

WORKER_SECONDS = 30  # that a loader process lives on after a signal


def keep_workers_alive(loader: DataLoader[Any]) -> DataLoader[Any]:
    """Keep the loader's processes alive while a signal to all processes makes this one write its checkpoint."""
    started_from = getattr(loader, "base_dataloader", loader)  # accelerate's loader wraps PyTorch's
    started_from.worker_init_fn = partial(_start_worker, started_from.worker_init_fn)
    return loader


def _start_worker(start: Callable[[int], None] | None, number: int) -> None:
    for signum in STOP_SIGNALS:
        signal.signal(signum, _live_on)
    if start is not None:
        start(number)


def _live_on(signum: int, frame: FrameType | None) -> None:
    if sys.platform != "win32":  # there, processes that load windows end with the one that started them
        signal.alarm(WORKER_SECONDS)
