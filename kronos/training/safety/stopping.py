"""SIGTERM: all ranks stop at the same step and leave a checkpoint."""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
import torch.distributed as dist

from kronos.errors import KronosError, Terminated

LOST_CONNECTION = re.compile(
    r"gloo|NCCL|Connection (closed|reset|refused)|Broken pipe|[Tt]imed out|aborted|socket", re.IGNORECASE
)


class StopRequest:
    """Whether the run must stop; every rank gets the same answer at the same step.

    Ranks receive a signal at different moments. At each step they start to sum their votes, in a separate group on the CPU,
    and read the sum one step later. Nothing waits, and a rank that died is noticed.
    """

    def __init__(self) -> None:
        self.signalled = False
        self._group = dist.new_group(backend="gloo") if _is_distributed() else None
        self._votes: torch.Tensor | None = None
        self._work: dist.Work | None = None

    def receive(self, signum: int, frame: FrameType | None) -> None:
        """Record a signal; this is the signal handler."""
        self.signalled = True

    def agreed(self) -> bool:
        """Whether all ranks stop now. Each rank must call this equally often."""
        if self._group is None:
            return self.signalled
        stop = self._read_votes()
        self._votes = torch.tensor(float(self.signalled))
        self._work = dist.all_reduce(self._votes, group=self._group, async_op=True)
        return stop

    def close(self) -> None:
        """Wait for the last vote, and leave the group."""
        self._read_votes()
        if self._group is not None:
            dist.destroy_process_group(self._group)
            self._group = None

    def _read_votes(self) -> bool:
        if self._work is None or self._votes is None:
            return False
        self._work.wait()
        self._work = None
        return bool(self._votes > 0)


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


@contextmanager
def translate_lost_peers() -> Iterator[None]:
    """Translate what PyTorch raises when another rank is gone.

    Raises:
        KronosError: another rank died while the body ran.
    """
    try:
        yield
    except RuntimeError as error:  # dist.DistBackendError is one too
        if not _is_distributed() or not LOST_CONNECTION.search(str(error)):
            raise
        raise KronosError(
            "rank {rank} of {n_ranks} lost the connection to another process of the run, which has ended or was killed "
            "(perhaps for lack of memory). Look for its message above. The last checkpoint is kept. ({reason})",
            rank=dist.get_rank(),
            n_ranks=dist.get_world_size(),
            reason=str(error).strip().splitlines()[0],
        ) from error


@contextmanager
def stop_on_sigterm() -> Iterator[StopRequest]:
    """Let SIGTERM request a stop while the body runs.

    Raises:
        Terminated: the signal came too late for the body to act on it.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # Python allows handlers there only
        yield request
        return
    before = signal.signal(signal.SIGTERM, request.receive)
    try:
        yield request
    finally:
        signal.signal(signal.SIGTERM, before)
    if request.signalled:
        raise Terminated("stopped by SIGTERM")
