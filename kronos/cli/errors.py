"""How a command ends when something goes wrong: one line on stderr and an exit status."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import typer

from kronos.errors import KronosError, Terminated

logger = logging.getLogger("kronos")

WAIT_FOR_RANK_0_SECONDS = 5


@contextmanager
def translate_errors(on_interrupt: str) -> Iterator[None]:
    """Turn a KronosError into one message on stderr and exit status 1. Any other exception is a bug and keeps its traceback.

    Args:
        on_interrupt: what the log line about an interruption adds, for example how to resume.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)  # training replaces this handler by its own
    rank = os.environ.get("RANK", "0")
    try:
        yield
    except Terminated as stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if rank == "0":
            logger.critical("%s; %s", stop, on_interrupt)
        _leave(143)
    except KronosError as error:
        _report(error, rank)
        _leave(1)
    except BrokenPipeError:  # as with | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(1)
    except OSError as error:  # a full disk, or a folder in place of a file
        logger.critical("error: %s", f"{error.filename}: {error.strerror}" if error.filename else error)
        _leave(1)
    except KeyboardInterrupt:
        if rank == "0":
            logger.critical("interrupted; %s", on_interrupt)
        _leave(130)


def _terminate(signum: int, frame: FrameType | None) -> None:
    if not isinstance(sys.exception(), Terminated):  # a second signal while the run is ending
        raise Terminated("stopped by SIGTERM")


def _report(error: KronosError, rank: str) -> None:
    if rank == "0":
        logger.critical("error: %s", error)
        return
    # Most errors occur on every rank. Rank 0 reports them, and its exit ends the others; what is left after the wait is an
    # error of this rank alone.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(WAIT_FOR_RANK_0_SECONDS)
    logger.critical("error on rank %s: %s", rank, error)


def _leave(status: int) -> NoReturn:
    """End the command. A process of a group exits at once: leaving a group that may be broken can hang."""
    distributed = sys.modules.get("torch.distributed")  # without importing PyTorch
    if distributed is not None and distributed.is_initialized():
        sys.stderr.flush()
        os._exit(status)
    raise typer.Exit(status) from None
