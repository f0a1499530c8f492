"""The two networks. This package knows tensors only.

Shape legend, used in comments and docstrings throughout:
    B  batch                 T  time (candles)          F  candle features, 6
    C  calendar fields, 5    D  d_model                 H  attention heads
    K  head width, D / H     Q  code bits, s1_bits + s2_bits
    S  series                P  paths sampled from each series
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kronos.model.base_model import BaseModelOutput, Kronos
    from kronos.model.presets import PRESETS
    from kronos.model.tokenizer import KronosTokenizer, TokenizerOutput

__all__ = ["PRESETS", "BaseModelOutput", "Kronos", "KronosTokenizer", "TokenizerOutput"]

# PyTorch takes seconds to import. Who reads the record of a model (stored/identity.py) should not wait for it.
_LAZY = {
    "BaseModelOutput": "kronos.model.base_model",
    "Kronos": "kronos.model.base_model",
    "KronosTokenizer": "kronos.model.tokenizer",
    "PRESETS": "kronos.model.presets",
    "TokenizerOutput": "kronos.model.tokenizer",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
