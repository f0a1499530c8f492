"""Fine-tune the Kronos foundation model on your own K-lines, and see honestly whether it helped."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kronos.errors import CheckpointError, ConfigError, DataError, KronosError
from kronos.version import __version__
from kronos.waiting import limit_thread_spinning

if TYPE_CHECKING:
    from kronos.api.checks import check
    from kronos.api.runs import Run, evaluate, finetune, load_run
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
    "Run",
    "__version__",
    "check",
    "evaluate",
    "finetune",
    "load_config",
    "load_run",
]

limit_thread_spinning()

# What is slow to import, PyTorch above all. --help and an error in the YAML should not wait for it, and a program must be
# ready for signals before.
_LAZY = {
    "Config": "kronos.config",
    "Kronos": "kronos.model",
    "KronosPredictor": "kronos.forecast",
    "KronosTokenizer": "kronos.model",
    "Run": "kronos.api.runs",
    "check": "kronos.api.checks",
    "evaluate": "kronos.api.runs",
    "finetune": "kronos.api.runs",
    "load_config": "kronos.config",
    "load_run": "kronos.api.runs",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return __all__
