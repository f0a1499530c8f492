"""What every function does around its own work: errors worded for Python, signals, and the caller's process left as it was."""

import logging
import random
import re
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from accelerate.state import AcceleratorState, PartialState
from transformers.utils import logging as transformers_logging

from kronos.errors import KronosError, Terminated
from kronos.progress.log_file import open_log_file

logger = logging.getLogger(__name__)

# What errors name that is of commands, and what stands for it in Python.
ARGUMENTS = {
    "without --skip-existing": "with resume=False",
    "with --skip-existing": "with resume=True",
    "--skip-existing": "resume=True",
    "--skip-tokenizer": "train_tokenizer=False",
    "--skip-basemodel": "train_basemodel=False",
    "on the command line": "as an argument",
    **{f"--{name}": name for name in ("run", "model", "tokenizer", "data", "since")},
}
OPTION = re.compile("|".join(rf"(?<![\w-]){re.escape(words)}(?![\w-])" for words in ARGUMENTS))
EVALUATE = re.compile(r"kronos evaluate --run ('[^']*'|[^\s']+)")


@contextmanager
def called_from_python() -> Iterator[None]:
    """Run a function for Python.

    Raises:
        KronosError: with the names of arguments in place of those of options.
        KeyboardInterrupt: Ctrl-C during training, after a checkpoint.
    """
    try:
        with _unchanged_process(), _worded_log_lines():
            yield
    except Terminated as stop:
        _pass_on(stop)
    except KronosError as error:
        error.args = (_word(str(error)),)
        raise


@contextmanager
def _worded_log_lines() -> Iterator[None]:
    """Word log lines for Python, too; they go where the caller sends them: warnings to stderr, if nothing is set up."""
    log = logging.getLogger("kronos")
    words = _WordingHandler(log.handlers[:], log.propagate)
    log.handlers[:], log.propagate = [words], False
    try:
        yield
    finally:
        log.handlers[:], log.propagate = words.own, words.propagate


@contextmanager
def writing_log(path: Path) -> Iterator[None]:
    """Write all log lines to a file, too, within `called_from_python`. The caller gets those that it asks for, as before.

    Raises:
        WriteError: the file cannot be written.
    """
    log, handler = logging.getLogger("kronos"), open_log_file(path)
    (words,), level = log.handlers, log.level
    words.setLevel(log.getEffectiveLevel())
    log.handlers[:] = [handler, words]
    log.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        log.setLevel(level)
        handler.close()


class _WordingHandler(logging.Handler):
    """Hands worded log lines to the handlers of the caller."""

    def __init__(self, own: list[logging.Handler], propagate: bool) -> None:
        super().__init__()
        self.own, self.propagate = own, propagate

    def emit(self, record: logging.LogRecord) -> None:
        record.msg, record.args = _word(record.getMessage()), ()
        for handler in self.own:
            if record.levelno >= handler.level:
                handler.handle(record)
        if self.propagate:
            logging.getLogger().handle(record)


def _word(message: str) -> str:
    message = EVALUATE.sub(lambda found: f"kronos.evaluate({shlex.split(found[1])[0]!r})", message)
    return OPTION.sub(lambda found: ARGUMENTS[found[0]], message)


def _pass_on(stop: Terminated) -> None:
    """Let a signal that training has obeyed do what it does to this process otherwise."""
    message = f"{stop}. Call it again (finetune: with resume=True) to go on from there."
    if stop.status != 128 + signal.SIGINT:
        logger.warning("%s", message)
        signal.raise_signal(stop.status - 128)
    raise KeyboardInterrupt(message) from None


@contextmanager
def _unchanged_process() -> Iterator[None]:
    """Restore what training sets for the whole process: random states, threads, libraries' verbosity and device."""
    shared = [state._shared_state for state in (PartialState, AcceleratorState)]
    before = [dict(state) for state in shared]
    for state in shared:  # the device of an earlier run is not that of this one
        state.clear()
    verbosity, n_threads = transformers_logging.get_verbosity(), torch.get_num_threads()
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)
        torch.set_num_threads(n_threads)
        transformers_logging.set_verbosity(verbosity)
        for state, values in zip(shared, before):
            state.clear()
            state.update(values)
