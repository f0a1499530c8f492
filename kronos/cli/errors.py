"""How a command ends when something goes wrong: one line on stderr and an exit status."""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import typer

from kronos.disk.temporaries import name_complete
from kronos.errors import KronosError, Terminated

logger = logging.getLogger("kronos")

WAIT_FOR_RANK_0_SECONDS = 5


@contextmanager
def translate_errors(advice: str) -> Iterator[None]:
    """Turn a KronosError into one message on stderr and exit status 1. Any other exception is a bug and keeps its traceback.

    Args:
        advice: what the log line about a signal adds, for example how to resume.
    """
    rank = os.environ.get("RANK", "0")
    try:
        yield
    except Terminated as stop:
        if rank == "0":
            logger.critical("%s; %s", stop, advice)
        _leave(stop.status)
    except KronosError as error:
        _report(error, rank)
        _leave(1)
    except OSError as error:  # a full disk, or a folder in place of a file
        logger.critical("error: %s", f"{_name_file(error.filename)}: {error.strerror}" if error.filename else error)
        _leave(1)
    except KeyboardInterrupt:  # of a program that was not started by us (kronos.cli.start)
        if rank == "0":
            logger.critical("stopped by SIGINT; %s", advice)
        _leave(130)


def _name_file(name: object) -> object:
    return name_complete(Path(name)) if isinstance(name, str) else name


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
