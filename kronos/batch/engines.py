"""Where partitions are forecast: in this process, in a pool of processes, or by Ray Data."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing import connection
from typing import Any, Literal

import pyarrow as pa
import torch

from kronos.batch.partitions import Done, PartitionWork
from kronos.disk.temporaries import remove_own_temporaries
from kronos.errors import ConfigError, KronosError

Engine = Literal["processes", "ray"]
TRACKED = "ignore:resource_tracker"  # a stopped batch leaves semaphores; Python removes them, and would print a warning


def run_partitions(work: PartitionWork, numbers: Sequence[int], n_workers: int, engine: Engine) -> Iterator[Done]:
    """Forecast partitions, and yield what became of each as it is done.

    Each worker computes in one thread, and a partition is forecast in one piece: the results do not depend on the engine
    or on the number of workers.

    Raises:
        ConfigError: Ray is not installed. KronosError: a worker was killed, or cannot go on.
    """
    if engine == "ray":
        yield from _run_on_ray(work, numbers, n_workers)
    elif n_workers == 1:
        with _one_thread():
            yield from map(work, numbers)
    else:
        yield from _run_on_processes(work, numbers, n_workers)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads(), pa.cpu_count()
    _limit_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        pa.set_cpu_count(before[1])


def _limit_threads() -> None:
    torch.set_num_threads(1)
    pa.set_cpu_count(1)


class _Worker:
    """work: of this process."""

    work: Callable[[int], Done]


def _start_worker(work: PartitionWork) -> None:
    _limit_threads()
    logging.getLogger("kronos").setLevel(logging.ERROR)  # the command has logged what concerns all of them
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _Worker.work = work


def _end_with_parent() -> None:
    """End this process with the one that has started it, which may be killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    remove_own_temporaries()
    os._exit(1)


def _work_on(number: int) -> Done:
    return _Worker.work(number)


def _run_on_processes(work: PartitionWork, numbers: Sequence[int], n_workers: int) -> Iterator[Done]:
    context = multiprocessing.get_context("spawn")
    if TRACKED not in sys.warnoptions:
        sys.warnoptions.append(TRACKED)
    waiting, running = iter(numbers), set[Future[Done]]()
    pool = ProcessPoolExecutor(min(n_workers, len(numbers)), context, _start_worker, (work,))
    try:
        while True:
            running |= {
                pool.submit(_work_on, number) for _, number in zip(range(2 * n_workers - len(running)), waiting)
            }
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for each in done:
                yield each.result()
    except BrokenProcessPool:
        raise KronosError(
            "a worker was killed, probably because memory ran out. Run the same command with fewer workers (--workers), or with "
            "smaller partitions in a new folder (--partition-size); finished partitions are kept."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


class RayWorker:
    """What Ray Data's `map_batches` starts in each of its actors."""

    def __init__(self, work: PartitionWork) -> None:
        _limit_threads()
        logging.getLogger("kronos").setLevel(logging.ERROR)
        self._work = work

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Forecast the partitions of a batch, by their numbers."""
        done = [self._work(int(number)) for number in batch["number"]]
        return {"number": batch["number"], "n_forecast": [each.n_forecast for each in done]}


def _run_on_ray(work: PartitionWork, numbers: Sequence[int], n_workers: int) -> Iterator[Done]:
    if find_spec("ray") is None:
        raise ConfigError("--engine ray needs Ray. Run pip install 'ray[data]', or leave --engine out.")
    import ray

    started_here = not ray.is_initialized()
    if started_here:
        ray.init("local", num_cpus=n_workers, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        items = ray.data.from_items([{"number": number} for number in numbers], override_num_blocks=len(numbers))
        finished = items.map_batches(
            RayWorker,
            fn_constructor_args=(work,),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=n_workers),
        )
        for row in finished.iter_rows():
            done = work.find_done(int(row["number"]))
            assert done is not None
            yield done
    except ray.exceptions.RayError as error:
        raise _find_cause(error) from None
    finally:
        if started_here:
            ray.shutdown()


def _find_cause(error: BaseException) -> KronosError:
    """Return the error of ours that Ray wraps; else one that names Ray's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KronosError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    reason = str(error).strip().splitlines()[-1]
    return KronosError(
        "Ray has stopped: {reason}. Run the same command again; finished partitions are kept.", reason=reason
    )
