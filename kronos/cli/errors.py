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
from kronos.errors import REMEDIES, KronosError, Terminated, WriteError
from kronos.names import Message

logger = logging.getLogger("kronos")

WAIT_FOR_RANK_0_SECONDS = 5


@contextmanager
def translate_errors(advice: Message) -> Iterator[None]:
    """Turn a KronosError into one message on stderr and exit status 1. Any other exception is a bug and keeps its traceback.

    Args:
        advice: what the log line about a signal adds, for example how to resume.
    """
    rank = os.environ.get("RANK", "0")
    try:
        yield
    except Terminated as stop:
        if rank == "0":
            logger.critical("%s; %s", stop.message, advice)
        _leave(stop.status)
    except (KronosError, OSError) as error:
        _report(_explain(error, advice), rank)
        _leave(1)
    except KeyboardInterrupt:  # of a program that was not started by us (kronos.cli.start)
        if rank == "0":
            logger.critical("stopped by SIGINT; %s", advice)
        _leave(130)


def _explain(error: KronosError | OSError, advice: Message) -> KronosError | Message:
    """Return the message of an error. If a file could not be written, the same command helps once the disk has room."""
    if isinstance(error, OSError):
        error = name_path_in_error(error)
    if not isinstance(error, WriteError):
        return error
    return Message("{error} {again}", error=error, again=advice.as_sentence())


def name_path_in_error(error: OSError) -> KronosError:
    """Return an error of the operating system as one of ours, with its path."""
    path = name_complete(Path(error.filename)) if isinstance(error.filename, str) else None
    if error.errno in REMEDIES:
        return WriteError.about(path or "a file", error)
    if path is None:
        return KronosError("{error}", error=error)
    return KronosError("{path}: {reason}. Check the path and its permissions.", path=path, reason=error.strerror)


def _report(error: KronosError | Message, rank: str) -> None:
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
