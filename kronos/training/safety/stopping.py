"""Ctrl-C, SIGTERM and SIGHUP: all ranks stop at the same step and leave a checkpoint."""

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist

from kronos.errors import STOP_SIGNALS, KronosError, Terminated

LOST_CONNECTION = re.compile(
    r"gloo|NCCL|Connection (closed|reset|refused)|Broken pipe|[Tt]imed out|aborted|socket", re.IGNORECASE
)
REPEATED_SECONDS = 3.0


class LostPeerError(KronosError):
    """Another process of the run has ended or was killed."""


class StopRequest:
    """Which signal stops the run, or none; every rank gets the same answer at the same step.

    Ranks receive a signal at different moments. At each step they begin to exchange what they have received, in a separate
    group on the CPU, and read it one step later. Nothing waits, and a rank that died is noticed.
    """

    def __init__(self) -> None:
        self.signum = 0
        self._since = 0.0
        self._handlers: dict[int, Any] = {}
        self._group = dist.new_group(backend="gloo") if _is_distributed() else None
        self._votes: torch.Tensor | None = None
        self._work: dist.Work | None = None

    def listen(self) -> None:
        """Handle the signals that are not ignored. This thread must be the main one."""
        for signum in STOP_SIGNALS:
            if (handler := signal.getsignal(signum)) not in (signal.SIG_IGN, None):
                self._handlers[signum] = handler
                signal.signal(signum, self.receive)

    def unlisten(self) -> None:
        """Handle signals as before."""
        for signum, handler in self._handlers.items():
            signal.signal(signum, handler)

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Record a signal; this is the signal handler. A second Ctrl-C quits at once."""
        if self.signum and signum == signal.SIGINT and not self._is_repeated():
            self.unlisten()
            signal.raise_signal(signum)
        elif not self.signum:
            self.signum, self._since = signum, time.monotonic()

    def _is_repeated(self) -> bool:
        """Whether torchrun may have sent the same signal once more, after the terminal sent it to all processes."""
        return _is_distributed() and time.monotonic() - self._since < REPEATED_SECONDS

    def agreed(self) -> int:
        """Return the signal for which all ranks stop now, or 0. Each rank must call this equally often."""
        if self._group is None:
            return self.signum
        stop = self._read_votes()
        self._votes = torch.tensor(float(self.signum))
        self._work = dist.all_reduce(self._votes, dist.ReduceOp.MAX, group=self._group, async_op=True)
        return stop

    def close(self) -> None:
        """Wait for the last vote, and leave the group."""
        self._read_votes()
        if self._group is not None:
            dist.destroy_process_group(self._group)
            self._group = None

    def _read_votes(self) -> int:
        if self._work is None or self._votes is None:
            return 0
        self._work.wait()
        self._work = None
        return int(self._votes)


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextmanager
def translate_lost_peers() -> Iterator[None]:
    """Translate what PyTorch raises when another rank is gone.

    Raises:
        LostPeerError: another rank died while the body ran.
    """
    try:
        yield
    except RuntimeError as error:  # dist.DistBackendError is one too
        if not _is_distributed() or not LOST_CONNECTION.search(str(error)):
            raise
        raise LostPeerError(
            "rank {rank} of {n_ranks} lost the connection to another process of the run, which has ended or was killed "
            "(perhaps for lack of memory). Look for its message above. The last checkpoint is kept. ({reason})",
            rank=dist.get_rank(),
            n_ranks=dist.get_world_size(),
            reason=str(error).strip().splitlines()[0],
        ) from error


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Let a signal request a stop while the body runs.

    Raises:
        Terminated: the signal came too late for the body to act on it.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there only
        yield request
        return
    request.listen()
    try:
        yield request
    finally:
        request.unlisten()
    if request.signum:
        raise Terminated(request.signum)
