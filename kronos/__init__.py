"""Fine-tune the Kronos foundation model on your own K-lines, and see honestly whether it helped."""

from kronos.config import Config, load_config
from kronos.errors import CheckpointError, ConfigError, DataError, KronosError
from kronos.forecast import KronosPredictor
from kronos.model import Kronos, KronosTokenizer
from kronos.version import __version__

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
