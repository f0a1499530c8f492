"""How a program begins: with output that cannot fail, and with signals that end it in good order.

All of this happens before anything slow is imported, so no signal is lost. A signal ends the program at once, with one
line that names the next command; nothing needs to be unwound, because files are written whole or not at all. Training
sets handlers of its own meanwhile (`kronos.training.safety.stopping`), which leave a checkpoint first.
"""

import atexit
import contextlib
import errno
import io
import os
import re
import select
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from kronos.errors import STOP_SIGNALS, Terminated
from kronos.names import Message
from kronos.urls import mask_secrets

Report = Callable[[Message], object]

PROGRAMS = ("kronos", "kline")  # project.scripts in pyproject.toml
SCRIPTS = ("train_sequential.py", "finetune_tokenizer.py", "finetune_base_model.py")
COMMANDS = (
    *("demo", "check", "init", "train", "finetune", "tune"),
    *("evaluate", "compare", "predict", "batch", "export"),
    *("serve", "mcp", "score", "watch", "refresh"),
    *("download", "push", "doctor"),
)
COMMAND = re.compile(rf"(?<![\w./-])(?<!-m )kronos(?= (?:{'|'.join(COMMANDS)})\b)")


def main() -> None:
    """Run `kronos`."""
    prepare()
    from kronos.cli.main import app

    run_app(app)


def run_script(command: str) -> None:
    """Run a function, "module:name", as the one command of a script."""
    prepare()
    from kronos.cli.session import run_command

    module, _, name = command.partition(":")
    run_command(getattr(import_module(module), name))


def run_app(app: Callable[[], object]) -> None:
    """Run a Typer app to its end. The exit status is 1 if what it printed is lost, except to a reader that has left."""
    from kronos.cli.logs import make_stdout_unicode_safe
    from kronos.cli.usage import word_usage_errors

    make_stdout_unicode_safe()
    word_usage_errors()
    try:
        app()
    except SystemExit as end:
        lost = _find_lost_output()
        if lost is None or lost.errno == errno.EPIPE or end.code:
            raise
        from kronos.cli.language import translate

        template = "error: the output cannot be written: {reason}. All else is done."
        write_stderr(translate(Message(template, reason=lost.strerror)))
        sys.exit(1)


def prepare() -> None:
    """Make the output and the signals of this process safe; a second time does nothing."""
    if _program.process == os.getpid():
        return
    _program.process = os.getpid()
    _open_missing_files()
    sys.stdout, sys.stderr = _survive(sys.stdout), _survive(sys.stderr)
    for signum in STOP_SIGNALS:
        if signal.getsignal(signum) != signal.SIG_IGN:  # as nohup and & leave them
            signal.signal(signum, _receive)
    atexit.register(_ignore_signals)  # as the first one, so it is called last


def _ignore_signals() -> None:
    """Ignore signals once all is done: Python itself would end by them while it shuts down."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)


def set_advice(advice: Message, report: Report) -> None:
    """Set what the line about a signal adds, for example how to resume, and what writes this line."""
    _program.advice, _program.report = advice, report


@contextmanager
def report_signals(report: Report) -> Iterator[None]:
    """Let a function write the line about a signal during the block."""
    before, _program.report = _program.report, report
    try:
        yield
    finally:
        _program.report = before


def format_command_line(*more: str) -> str:
    """Return the command as it was typed, without the launcher and its options, and without the secrets of URLs.

    Args:
        more: options to add, if they are not there.
    """
    name, given = Path(sys.argv[0]).name, sys.argv[1:]
    program = f"python {name}" if name in SCRIPTS else name_program()
    return (
        f"{program} {shlex.join([*map(mask_secrets, given), *(each for each in more if each not in given)])}".rstrip()
    )


def name_program() -> str:
    """Return what starts this program on this machine: the command that was typed, or `python -m kronos`."""
    path = Path(sys.argv[0])
    if path.stem in PROGRAMS:  # kronos, kline.exe
        return path.stem
    as_module = path.name in SCRIPTS or path.parts[-2:] == ("kronos", "__main__.py")
    return "python -m kronos" if as_module else PROGRAMS[0]


def name_commands(text: str) -> str:
    """Return a text whose commands, such as `kronos check`, begin as this program was started.

    Another package installs a command named kronos, too, and `python -m kronos` works where no command is on the path.
    """
    program = name_program()
    return COMMAND.sub(program, text) if program != PROGRAMS[0] else text


def write_stderr(line: str) -> None:
    """Write a line to stderr even while it is being written to."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode(errors="backslashreplace"))


def end_process(status: int) -> NoReturn:
    """End this process and those it has started, without unwinding."""
    if multiprocessing := sys.modules.get("multiprocessing"):
        for child in multiprocessing.active_children():
            child.kill()
    if temporaries := sys.modules.get("kronos.disk.temporaries"):
        temporaries.remove_own_temporaries()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # it may be in use
            stream.flush()
    os._exit(status)


class _Program:
    """What a signal finds. process: the one that handles signals; a copy of it that was forked does not."""

    process: int | None = None
    advice: Message | None = None
    report: Report = staticmethod(write_stderr)


_program = _Program()


def _receive(signum: int, frame: FrameType | None) -> None:
    if os.getpid() != _program.process:
        os._exit(128 + signum)
    launched = os.environ.get("WORLD_SIZE", "1") != "1"  # torchrun repeats what the terminal has sent to all processes
    if Terminated.is_ending and (launched or signum != signal.SIGINT):
        return
    stop = Terminated(signum)
    advice = _program.advice or Message("run the same command again: {command}", command=format_command_line())
    if os.environ.get("RANK", "0") == "0":
        _program.report(Message("{stop}; {advice}", stop=stop.message, advice=advice))
    end_process(stop.status)


def _open_missing_files() -> None:
    """Open stdin, stdout and stderr if they are closed; otherwise the next file to be opened takes their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class _SurvivingFile(io.FileIO):
    """A file whose writes do not fail: once it cannot be written, what is written is dropped."""

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        rest = memoryview(data).cast("B")
        try:
            while rest:
                n_bytes = super().write(rest)
                if n_bytes is None:  # the terminal does not wait, and has no room yet
                    select.select([], [self], [])
                rest = rest[n_bytes or 0 :]
        except OSError as error:
            self.error = error
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())  # libraries write there, too
        return memoryview(data).nbytes


def _survive(stream: Any) -> Any:
    """Return a stream to the same file that cannot fail."""
    if stream is None:  # it was closed
        return Path(os.devnull).open("w")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    file = _SurvivingFile(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        file if stream.write_through else io.BufferedWriter(file),  # as python -u does
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _find_lost_output() -> OSError | None:
    if not isinstance(sys.stdout, io.TextIOWrapper):
        return None
    sys.stdout.flush()
    raw = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
    return raw.error if isinstance(raw, _SurvivingFile) else None
