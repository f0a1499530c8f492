"""The exceptions that a user can meet; anything else that escapes is a bug of ours.

An error carries an English template and its values, which a catalogue can word in another language:
`DataError("{path}: no such file.", path=path)`.


KronosError
├── ConfigError       the YAML file, an override or an option is wrong
├── DataError         the candles are missing, unreadable or too few
├── CheckpointError   a model folder is missing, damaged or does not fit
└── WriteError        a file cannot be written: the disk is full, or the folder is protected
"""

import errno
import signal
from collections.abc import Sequence
from typing import ClassVar, Self

from kronos.names import Message, Template, fill_template

# Ctrl-C, a cluster or kill, and a terminal that is closed. Windows has no SIGHUP.
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
REMEDIES: dict[int, Template] = {  # if a file cannot be written
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some space of your quota",
    errno.EFBIG: "Raise the limit of the size of files (ulimit -f)",
}


class KronosError(Exception):
    """Something a user can fix; the message says what is wrong, where, and how to fix it.

    Args:
        template: the message in English, with values as in `str.format`. Without values it is the message itself.
        values: what stands in the template, by name.
    """

    def __init__(self, template: Template, /, **values: object) -> None:
        super().__init__(fill_template(template, values))
        self.template = template
        self.values = values

    def within(self, place: Template, /, **values: object) -> Self:
        """Return the same error with its place in front: `error.within("{path}, line {line}", path=path, line=3)`."""
        template = self.template if self.values else self.template.replace("{", "{{").replace("}", "}}")
        return type(self)(f"{place}: {template}", **self.values | values)


class Terminated(BaseException):
    """A signal ended the run in good order; not a KronosError, and passed by whatever catches exceptions.

    Args:
        signum: the signal. where: what the message adds, as " at step 5".

    message: the text, which a catalogue can word.
    """

    is_ending: ClassVar[bool] = False  # a signal has been obeyed; the same signal once more is no news

    def __init__(self, signum: int, where: Message | None = None) -> None:
        self.message = Message("stopped by {signal}{where}", signal=signal.Signals(signum).name, where=where or "")
        super().__init__(self.message)
        self.status = 128 + signum
        Terminated.is_ending = True


class ConfigError(KronosError):
    """The configuration, or the way the program was started, is wrong; errors: one for each line of the message."""

    def __init__(self, template: Template, /, **values: object) -> None:
        super().__init__(template, **values)
        self.errors: tuple[ConfigError, ...] = (self,)

    @classmethod
    def join(cls, errors: Sequence["ConfigError"]) -> "ConfigError":
        """Return one error for several, a line each."""
        if len(errors) == 1:
            return errors[0]
        joined = cls("{lines}", lines=Message.join(errors))
        joined.errors = tuple(each for error in errors for each in error.errors)
        return joined


class DataError(KronosError):
    """The candles are missing, unreadable, malformed or too few."""


class CheckpointError(KronosError):
    """A model folder is missing, damaged, or does not fit what it is used with."""


class WriteError(KronosError):
    """A file cannot be written: the disk is full, or the folder is protected.

    is_full: whether no other file of the disk can be written either.
    """

    is_full = False

    @classmethod
    def about(cls, path: object, error: OSError, key: str = "") -> "WriteError":
        """Return the error for a path that the file system refused to write.

        Args:
            key: the setting or option that chooses the folder.
        """
        refused = cls(
            "{path}: cannot be written: {reason}. {remedy}{by}.",
            path=path,
            reason=error.strerror or error,
            remedy=REMEDIES.get(error.errno or 0, "Check the path and its permissions"),
            by=Message(", or choose another place with {key}", key=key) if key else "",
        )
        refused.is_full = is_full(error)
        return refused


def is_full(error: OSError) -> bool:
    """Whether there is no room for the file, nor for others."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def first_line(error: object) -> str:
    """Return the first line of an error's text, or the error's type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
