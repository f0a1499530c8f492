"""The log file of a run."""

import logging
import sys
from contextlib import suppress
from pathlib import Path

from kronos.errors import WriteError

logger = logging.getLogger("kronos")


def open_log_file(path: Path, formatter: type[logging.Formatter] = logging.Formatter) -> logging.Handler:
    """Return a handler that appends log lines to a file, each with its time.

    Raises:
        WriteError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = _FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise WriteError.about(path, error, "model_paths.base_path") from None
    handler.setFormatter(formatter("%(asctime)s  %(message)s"))
    return handler


class _FileHandler(logging.FileHandler):
    """Stops writing when it cannot, for example because the disk is full; the training goes on."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exception(), OSError):  # a signal came while something was written
            return
        logger.handlers = [each for each in logger.handlers if each is not self]  # others are being called meanwhile
        with suppress(OSError):
            self.close()
        logger.warning("%s: cannot be written any more. Logging continues on the screen only.", self.baseFilename)
