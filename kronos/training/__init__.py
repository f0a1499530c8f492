"""Fine-tuning: one stage mechanism, run for the tokenizer and then for the base model."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kronos.training.pipeline import RunResult, run_pipeline

__all__ = ["RunResult", "run_pipeline"]


def __getattr__(name: str) -> Any:
    if name not in __all__:  # whoever only reads a record does not wait for PyTorch
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("kronos.training.pipeline"), name)
