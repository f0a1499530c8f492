"""The warnings about a plan, in words."""

import logging

from kronos.config import Config
from kronos.planning.advice import Advice, advise_on_inputs
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import format_bytes
from kronos.training.pipeline import RunInputs

logger = logging.getLogger(__name__)


def describe_advice(advice: Advice, words: Words) -> str:
    """Describe a warning and its remedy."""
    values = dict(advice.values)
    for name, value in values.items():
        if name == "stage":
            values[name] = words(f"plan.stages.{value}")
        elif name.endswith("_bytes") and isinstance(value, int | float):
            values[name] = format_bytes(value)
    return words(f"plan.advice.{advice.code}", **values)


def log_advice(config: Config, inputs: RunInputs, skip_existing: bool = False) -> None:
    """Log the warnings that need no measuring, at the start of a training, and what needs measuring."""
    words = Words(config.report.language)
    for advice in advise_on_inputs(config, inputs, skip_existing):
        logger.warning("%s (%s)", describe_advice(advice, words), advice.code)
    logger.info("%s", words("plan.not_measured"))
