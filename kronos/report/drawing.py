"""Draw pictures, in other processes while this one goes on."""

import gc
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kronos.errors import STOP_SIGNALS, KronosError

logger = logging.getLogger(__name__)

MOST_PROCESSES = 4  # each takes the memory of a few pictures
PATIENCE_SECONDS = 300.0  # for one process; drawing takes seconds
ENDING_SECONDS = 10.0  # for one that has drawn, or whose pictures are not needed any more

Picture = Callable[[], None]


class _Worker(NamedTuple):
    """A process that draws its pictures. result: receives None, or the error that ended it."""

    process: BaseProcess
    result: Connection
    pictures: Sequence[Picture]


@contextmanager
def draw_meanwhile(pictures: Sequence[Picture]) -> Iterator[None]:
    """Draw pictures in other processes during the block. All are there at its end.

    Without a second CPU, or on systems where a process cannot be forked safely, draw them before the block. What another
    process could not draw is drawn by this one. The processes end by themselves: no queue keeps them, or the lock on the
    folder of the run that they inherit, alive if this process is killed.

    Raises:
        KronosError: a picture cannot be written.
    """
    n = _count_processes(len(pictures))
    workers: list[_Worker] = []
    try:
        for share in [pictures[k::n] for k in range(n)]:
            if worker := _start(share):
                workers.append(worker)
            else:
                _draw_all(share)
        if n == 0:
            _draw_all(pictures)
        yield
        for worker in workers:
            _finish(worker)
    finally:
        for worker in workers:
            worker.process.join(ENDING_SECONDS)
            worker.process.kill()  # if it has not ended
            worker.process.join()


def _count_processes(n_pictures: int) -> int:
    """Return how many processes draw; 0 if this one does."""
    if sys.platform != "linux" or multiprocessing.current_process().daemon:
        return 0
    n_cpus = len(os.sched_getaffinity(0))
    return min(n_pictures, n_cpus, MOST_PROCESSES) if n_cpus > 1 else 0


def _start(pictures: Sequence[Picture]) -> _Worker | None:
    """Start a process that draws pictures; None if the system starts no more processes."""
    if sys.platform == "win32":  # it has no fork; there, this process draws
        return None
    context = multiprocessing.get_context("fork")  # nothing is imported or copied again
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(pictures, sender), daemon=True)
    try:
        process.start()
    except OSError:
        return None
    sender.close()  # if the process dies, receiving ends
    return _Worker(process, receiver, pictures)


def _work(pictures: Sequence[Picture], sender: Connection) -> None:
    gc.disable()  # what belongs to the GPU can be freed by the parent only
    for signum in STOP_SIGNALS:  # this process's parent obeys them, and ends this one
        signal.signal(signum, signal.SIG_DFL if signum == signal.SIGTERM else signal.SIG_IGN)
    parent = os.getppid()
    try:
        for picture in pictures:
            if os.getppid() == parent:  # otherwise nobody waits for it
                picture()
    except KronosError as error:
        sender.send(error)
    else:  # with any other error the process ends, and this one's parent meets the error itself
        sender.send(None)


def _finish(worker: _Worker) -> None:
    """Wait for a process; draw its pictures here if it died or does not end."""
    try:
        error = worker.result.recv() if worker.result.poll(PATIENCE_SECONDS) else EOFError()
    except EOFError as end:  # the process died
        error = end
    if isinstance(error, EOFError):
        worker.process.kill()
        logger.warning("a process that drew pictures has ended too early. They are drawn again.")
        _draw_all(worker.pictures)
    elif error is not None:
        raise error


def write_png(figure: Figure, path: Path) -> None:
    """Draw a figure as a PNG picture at its own resolution. `savefig` would draw it twice, first to find its layout."""
    FigureCanvasAgg(figure).print_png(path)  # type: ignore[no-untyped-call]


def _draw_all(pictures: Sequence[Picture]) -> None:
    for draw in pictures:
        draw()
