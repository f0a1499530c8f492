"""What surrounds a command: environment variables, log lines, errors. Nothing below cli looks at these."""

import codecs
import io
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple, NoReturn

import typer
from filelock import FileLock, Timeout
from tqdm import tqdm

from kronos.errors import ConfigError, KronosError, Terminated
from kronos.run_folder import RunFolder

logger = logging.getLogger("kronos")

ASCII_FALLBACK = {
    "−": "-",
    "–": "-",
    "•": "*",
    "…": "...",
    "→": "->",
    "↓": "v",
    "↑": "^",
}  # where the output knows no better
RENDEZVOUS = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
ANOTHER_RANK_SPEAKS_SECONDS = 5


class Process(NamedTuple):
    """This process among those launched together."""

    rank: int
    world_size: int


def limit_thread_spinning() -> None:
    """Let PyTorch's CPU threads soon sleep while they wait for each other; to be called before PyTorch is imported.

    By default they spin for milliseconds, and one other busy program makes small models crawl
    (benchmarks/busy_machine.py).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def make_stdout_unicode_safe() -> None:
    """Let no character that stdout's encoding lacks end a command: ASCII becomes UTF-8, others get a plain one or ?.

    Python chooses ASCII where LANG is C, and a Windows code page where the output is piped.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("plain", _write_plain)
        ascii_only = codecs.lookup(sys.stdout.encoding).name == "ascii"
        sys.stdout.reconfigure(encoding="utf-8" if ascii_only else None, errors="plain")


def _write_plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(ASCII_FALLBACK.get(each, "?") for each in error.object[error.start : error.end]), error.end


def read_process() -> Process:
    """Read what torchrun, or another launcher, says about this process.

    Raises:
        ConfigError: several processes are announced, but not how they find each other.
    """
    world_size = _read_integer("WORLD_SIZE", 1)
    missing = [name for name in RENDEZVOUS if name not in os.environ]
    if world_size == 1:
        for name in RENDEZVOUS if missing else ():  # leftovers, which would make accelerate wait for others
            os.environ.pop(name, None)
        return Process(0, 1)
    if missing:
        raise ConfigError(
            f"WORLD_SIZE is {world_size}, but {', '.join(missing)} not set, so the processes cannot find each other: launch "
            "with torchrun, or unset WORLD_SIZE to run alone."
        )
    rank = _read_integer("RANK", 0)
    if rank >= world_size:
        raise ConfigError(f"RANK is {rank}, but WORLD_SIZE {world_size}: ranks count from 0. Launch with torchrun.")
    return Process(rank, world_size)


def _read_integer(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise ConfigError(f"the environment variable {name} is {text!r}; it must be a whole number, or not set.")
    return int(text)


def read_backend_override() -> list[str]:
    """DIST_BACKEND, as upstream's launch lines set it, as a configuration override."""
    backend = os.environ.get("DIST_BACKEND", "").lower()
    return [f"distributed.backend={backend}"] if backend else []


def select_cuda_device(device_id: int, process: Process) -> None:
    """Let a process that runs alone see one GPU only; torchrun's processes take the one of their local rank."""
    if process.world_size > 1:
        return
    visible = os.environ["CUDA_VISIBLE_DEVICES"].split(",") if "CUDA_VISIBLE_DEVICES" in os.environ else None
    if visible == [""]:  # the usual way to hide all GPUs
        return
    if visible and device_id >= len(visible):
        raise ConfigError(
            f"device.device_id is {device_id}, but CUDA_VISIBLE_DEVICES lists only {len(visible)} devices."
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = visible[device_id] if visible else str(device_id)


class _ConsoleHandler(logging.Handler):
    """Writes to stderr without tearing a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stderr)


class _FileHandler(logging.FileHandler):
    """Stops writing where it cannot, as on a full disk: the log is not worth a training."""

    def handleError(self, record: logging.LogRecord) -> None:
        logger.removeHandler(self)
        logger.warning("%s: cannot be written to any more; the log goes on without it", self.baseFilename)


def start_logging(rank: int = 0) -> None:
    """Show our log lines; one copy, rank 0's."""
    logger.setLevel(logging.INFO if rank == 0 else logging.CRITICAL)
    logger.propagate = False
    logger.handlers[:] = [_ConsoleHandler()]
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # fonts.py says what matters
    warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\..*|accelerate\..*")


def log_to_file(run: RunFolder, rank: int) -> None:
    """Write the same lines to the run's log file, each with its time.

    Raises:
        KronosError: the folder cannot be written to.
    """
    if rank:
        return
    path = run.log
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise KronosError(
            f"{path}: cannot be written: {error.strerror}. Choose another place with model_paths.base_path."
        ) from None
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s"))
    logger.addHandler(handler)


@contextmanager
def lock_run_folder(run: RunFolder, rank: int) -> Iterator[None]:
    """Keep a second run out of a folder that one is writing to; the lock goes with the process, however it ends.

    Raises:
        KronosError: another run holds the folder.
    """
    if rank:
        yield
        return
    lock = FileLock(run.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise KronosError(
            f"{run.path}: another run is writing here; wait for it, or choose another place with model_paths.exp_name."
        ) from None
    try:
        yield
    finally:
        lock.release()


def _terminate(signum: int, frame: FrameType | None) -> None:
    if not isinstance(sys.exception(), Terminated):  # one is enough; the run is on its way out
        raise Terminated("stopped by SIGTERM")


def _leave(status: int) -> NoReturn:
    """End the command; one of several processes at once, since taking leave of a group that may be broken can hang."""
    distributed = sys.modules.get("torch.distributed")  # not imported for this
    if distributed is not None and distributed.is_initialized():
        sys.stderr.flush()
        os._exit(status)
    raise typer.Exit(status) from None


@contextmanager
def translate_errors(on_interrupt: str) -> Iterator[None]:
    """Turn a KronosError into its message on stderr and exit status 1; anything else is a bug and keeps its traceback."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminate)  # the training puts its own handler over this one
    try:
        yield
    except Terminated as stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.environ.get("RANK", "0") == "0":
            logger.critical("%s; %s", stop, on_interrupt)
        _leave(143)
    except KronosError as error:
        rank = os.environ.get("RANK", "0")
        if rank != "0":
            # Most errors strike every rank, and rank 0's exit ends the others; only an error of one rank alone is left.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            time.sleep(ANOTHER_RANK_SPEAKS_SECONDS)
        logger.critical("error: %s" if rank == "0" else f"error on rank {rank}: %s", error)
        _leave(1)
    except BrokenPipeError:  # as with | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(1)
    except OSError as error:  # a full disk, a folder where a file should be
        logger.critical("error: %s", f"{error.filename}: {error.strerror}" if error.filename else error)
        _leave(1)
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            logger.critical("interrupted; %s", on_interrupt)
        _leave(130)


def run_command(command: Callable[..., None]) -> None:
    """Run a function as a script's one command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    make_stdout_unicode_safe()
    app()
