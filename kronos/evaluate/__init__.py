"""How good forecasts are: figures of sampled paths against what came."""

from kronos.evaluate.validation_score import ValidationScore

__all__ = ["ValidationScore"]
