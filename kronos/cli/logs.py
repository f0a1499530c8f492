"""Log lines on the screen and in the run's log file, and a stdout that takes any character."""

import codecs
import io
import logging
import os
import sys
import warnings
from copy import copy
from pathlib import Path

from tqdm import tqdm

from kronos.cli.language import translate_line
from kronos.cli.output.text import find_width, wrap
from kronos.cli.start import name_commands, write_stderr
from kronos.names import Message, make_printable
from kronos.progress.log_file import open_log_file
from kronos.run_folder import RunFolder

logger = logging.getLogger("kronos")

# What stands for a character that the encoding of the output lacks.
ASCII_FALLBACK = {
    "−": "-",
    "–": "-",
    "•": "*",
    "…": "...",
    "→": "->",
    "↓": "v",
    "↑": "^",
}


def make_stdout_unicode_safe() -> None:
    """Keep a command from failing on a character that stdout cannot encode.

    ASCII becomes UTF-8; other encodings print a plain character or ? instead. Python chooses ASCII where LANG is C, and a
    Windows code page where the output is piped.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("plain", _write_plain)
        ascii_only = codecs.lookup(sys.stdout.encoding).name == "ascii"
        sys.stdout.reconfigure(encoding="utf-8" if ascii_only else None, errors="plain")


def _write_plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(ASCII_FALLBACK.get(each, "?") for each in error.object[error.start : error.end]), error.end


class _Formatter(logging.Formatter):
    """Words what is logged, and makes it safe to show: a name from outside begins no line, and moves no cursor."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return make_printable(name_commands(super().formatMessage(record)), keep="\n\t")

    def format(self, record: logging.LogRecord) -> str:
        record = copy(record)
        if isinstance(record.args, tuple):
            record.msg, record.args = translate_line(record.msg, tuple(map(_make_safe, record.args)))
        return super().format(record)


def _make_safe(value: object) -> object:
    return make_printable(str(value)) if isinstance(value, str | Path) and not isinstance(value, Message) else value


class _ConsoleHandler(logging.Handler):
    """Writes to stderr without breaking a progress bar; on a terminal, lines end between words."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if width := find_width(sys.stderr):
            text = "\n".join(wrap(line, width, indent="  ") for line in text.split("\n"))
        try:
            tqdm.write(text, file=sys.stderr)
        except RuntimeError:  # a signal came while something was written
            write_stderr(text)


def start_logging(rank: int = 0, verbose: bool = False) -> None:
    """Show the log lines of rank 0 on stderr.

    Args:
        verbose: show the details too, those of level DEBUG; they are always in the log file.
    """
    logger.setLevel(logging.DEBUG if rank == 0 else logging.CRITICAL)
    logger.propagate = False
    console = _ConsoleHandler(logging.DEBUG if verbose else logging.INFO)
    console.setFormatter(_Formatter())
    logger.handlers[:] = [console]
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # report/fonts.py warns about missing fonts
    if not verbose:  # what libraries tell their developers
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        warnings.filterwarnings("ignore", module=r"(torch|accelerate|transformers|peft|huggingface_hub)\b.*")


def log_to_file(run: RunFolder, rank: int = 0) -> None:
    """Write the log lines of rank 0 to the run's log file too, each with its time.

    Raises:
        WriteError: the file cannot be written.
    """
    if rank == 0:
        logger.handlers.insert(0, open_log_file(run.log, _Formatter))  # an error is the last line on the screen
