"""Score sampled paths against the actual candles, and compare forecasters."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kronos.evaluation.validation_score import ValidationScore

__all__ = ["ValidationScore"]


def __getattr__(name: str) -> Any:
    if name not in __all__:  # reading results alone does not import PyTorch
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("kronos.evaluation.validation_score"), name)
