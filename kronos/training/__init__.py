"""Fine-tuning: one stage mechanism, run for the tokenizer and then for the base model."""

from kronos.training.pipeline import RunResult, run_pipeline

__all__ = ["RunResult", "run_pipeline"]
