"""What every command does before its own work: environment, log lines, errors, configuration, GPU, lock.

Nothing below kronos.cli reads environment variables, except kronos.waiting.
"""

import gc
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, NamedTuple

import psutil
import typer

from kronos.cli.errors import translate_errors
from kronos.cli.language import settle_language, start_language
from kronos.cli.logs import start_logging
from kronos.cli.start import format_command_line, prepare, run_app, set_advice
from kronos.config import Config
from kronos.config.schema import Language
from kronos.disk.shipped import shorten
from kronos.errors import ConfigError
from kronos.names import Message, Template
from kronos.report.words.catalogue import Words
from kronos.timing import run_clock
from kronos.urls import CandleSource

GPU_KEYS = ("device.use_cuda", "device.device_id")
MAX_RANK_DIGITS = 6
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}
RENDEZVOUS = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")

logger = logging.getLogger(__name__)

LanguageOption = Annotated[
    Language | None,
    typer.Option(
        "--language",
        help="Language of everything printed, drawn and written for people.",
        show_default="report.language",
    ),
]


VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show what only the log file has, too.")]


class Process(NamedTuple):
    """This process among those launched together."""

    rank: int = 0
    world_size: int = 1


@contextmanager
def start_session(
    advice: Template,
    language: Language | None = None,
    option: str = "",
    distributed: bool = False,
    verbose: bool = False,
) -> Iterator[Process]:
    """Start a command: show log lines, and turn errors into one line and an exit status.

    Args:
        advice: what the log line about a signal adds: which command to run next.
        language: of --language.
        option: one that this next command needs.
        distributed: whether torchrun may launch the command as several processes.
        verbose: show details too.
    """
    next_step = Message(advice)
    if os.environ.get("WORLD_SIZE", "1") == "1":  # otherwise the command has a launcher, which is not known here
        command = format_command_line(*filter(None, [option]))
        next_step = Message(f"{advice}: {{command}}", command=command)
    start_language(language)
    with translate_errors(next_step), run_clock(find_start()):
        _loading.is_told = False
        start_logging(verbose=verbose)  # before the environment is read, to show its errors
        set_advice(next_step, logger.critical)
        process = read_process() if distributed else Process()
        start_logging(process.rank, verbose)
        yield process


def load_session_config(
    load: Callable[[Sequence[str]], Config],
    overrides: Sequence[str] | None,
    process: Process,
    language: Language | None = None,
) -> Config:
    """Load the configuration of a command, and let the process see the GPU that it names.

    Args:
        load: loads a configuration with overrides, section.key=value each.
        language: of --language, which overrides report.language.

    Raises:
        ConfigError: the configuration is wrong, or there is no such GPU.
    """
    wanted = [f"report.language={language}"] if language else []
    config = load([*read_backend_override(), *(overrides or []), *wanted])
    select_cuda_device(config.device.device_id, process)
    spoken = settle_language(config)
    check_gpu_if_typed(config, overrides or [])
    return config if config.report.language == spoken else config.override({"report.language": spoken})


def announce(config: Config, key: str, candles: CandleSource | None = None, **values: object) -> None:
    """Log what a command is going to do, in its first second: `start.{key}` of the words.

    Args:
        candles: by default those of the configuration.
    """
    sources = [candles] if candles is not None else config.data.data_path
    more = f" (+{len(sources) - 1})" if len(sources) > 1 else ""
    shown = {name: str(value) for name, value in values.items()} | {"candles": f"{shorten(str(sources[0]))}{more}"}
    logger.info("%s", Words(config.report.language)(f"start.{key}", **shown))


def check_gpu_if_typed(config: Config, overrides: Sequence[str]) -> None:
    """Check that there is the GPU that the command line asks for. One that a YAML asks for may be on another machine.

    Raises:
        ConfigError: there is none.
    """
    if {override.partition("=")[0] for override in overrides}.intersection(GPU_KEYS):
        with loading_libraries():
            from kronos.training.arguments import check_gpu

        check_gpu(config)


def find_start() -> float:
    """Return when this process started, of time.monotonic()."""
    created = psutil.Process().create_time()
    age = time.time() - created
    if sys.platform == "linux":  # where psutil knows the time of boot in whole seconds only
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - (created - psutil.boot_time())
    return time.monotonic() - age


class _Loading:
    """is_told: whether this command has logged that PyTorch is being loaded."""

    is_told = False


_loading = _Loading()


@contextmanager
def loading_libraries() -> Iterator[None]:
    """Log that PyTorch is being loaded, which takes seconds, and import it in the block.

    The garbage collector would take a fifth of that time, and later as much again whenever it visits what was imported.
    """
    if not _loading.is_told:
        logger.info("loading PyTorch …")
    _loading.is_told = True
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def read_process() -> Process:
    """Read what torchrun, or another launcher, tells this process.

    Raises:
        ConfigError: there are several processes, but they cannot find each other.
    """
    world_size = _read_integer("WORLD_SIZE", 1)
    missing = [name for name in RENDEZVOUS if name not in os.environ]
    if world_size == 1:
        for name in RENDEZVOUS if missing else ():  # leftovers, which would make accelerate wait for other processes
            os.environ.pop(name, None)
        return Process()
    if missing:
        raise ConfigError(
            "WORLD_SIZE is {world_size}, but this is not set: {missing}. The processes cannot find each other. Launch with "
            "torchrun, or unset WORLD_SIZE to run one process.",
            world_size=world_size,
            missing=", ".join(missing),
        )
    rank = _read_integer("RANK", 0)
    if rank >= world_size:
        raise ConfigError(
            "RANK is {rank}, but WORLD_SIZE is {world_size}, and ranks count from 0. Launch with torchrun.",
            rank=rank,
            world_size=world_size,
        )
    return Process(rank, world_size)


def _read_integer(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_RANK_DIGITS):
        raise ConfigError(
            "The environment variable {name} is {text!r}. Set it to a whole number below 1,000,000, or unset it.",
            name=name,
            text=text,
        )
    return int(text)


def read_backend_override() -> list[str]:
    """Return DIST_BACKEND, which upstream's launch lines set, as an override of the configuration."""
    backend = os.environ.get("DIST_BACKEND", "").lower()
    return [f"distributed.backend={backend}"] if backend else []


def select_cuda_device(device_id: int, process: Process) -> None:
    """Let a single process see one GPU only. With torchrun, each process uses the GPU of its local rank."""
    if process.world_size > 1:
        return
    visible = os.environ["CUDA_VISIBLE_DEVICES"].split(",") if "CUDA_VISIBLE_DEVICES" in os.environ else None
    if visible == [""]:  # the usual way to hide all GPUs
        return
    if visible and device_id >= len(visible):
        raise ConfigError(
            "device.device_id is {device_id}, but CUDA_VISIBLE_DEVICES lists only {n} devices, which count from 0.",
            device_id=device_id,
            n=len(visible),
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = visible[device_id] if visible else str(device_id)


def run_command(command: Callable[..., None]) -> None:
    """Run a function as the one command of a script."""
    prepare()
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(context_settings=HELP_OPTIONS)(command)
    run_app(app)
