"""The exceptions that a user can meet; anything else that escapes is a bug of ours.

KronosError
├── ConfigError       the YAML file, an override or an option is wrong
├── DataError         the candles are missing, unreadable or too few
└── CheckpointError   a model folder is missing, damaged or does not fit
"""


class KronosError(Exception):
    """Something a user can put right; the message says what is wrong, where, and what to do."""


class Terminated(BaseException):
    """SIGTERM ended the run in good order; not a KronosError, and passed by whatever catches exceptions."""


class ConfigError(KronosError):
    """The configuration, or the way the program was started, is wrong."""


class DataError(KronosError):
    """The candles are missing, unreadable, malformed or too few."""


class CheckpointError(KronosError):
    """A model folder is missing, damaged, or does not fit what it is used with."""
