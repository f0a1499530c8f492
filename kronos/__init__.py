"""Fine-tune the Kronos foundation model on your own K-lines, and see honestly whether it helped."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kronos.errors import CheckpointError, ConfigError, DataError, KronosError
from kronos.version import __version__
from kronos.waiting import limit_thread_spinning

if TYPE_CHECKING:
    from kronos.config import Config, load_config
    from kronos.forecast import KronosPredictor
    from kronos.model import Kronos, KronosTokenizer

__all__ = [
    "CheckpointError",
    "Config",
    "ConfigError",
    "DataError",
    "Kronos",
    "KronosError",
    "KronosPredictor",
    "KronosTokenizer",
    "__version__",
    "load_config",
]

limit_thread_spinning()

# What is slow to import, PyTorch above all. --help and an error in the YAML should not wait for it, and a program must be
# ready for signals before.
_LAZY = {
    "Config": "kronos.config",
    "Kronos": "kronos.model",
    "KronosPredictor": "kronos.forecast",
    "KronosTokenizer": "kronos.model",
    "load_config": "kronos.config",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
