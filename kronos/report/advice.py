"""The warnings about a plan, in words."""

import logging
import shlex

from accelerate import PartialState

from kronos.config import Config
from kronos.names import Message
from kronos.planning.advice import Advice, advise_on_inputs
from kronos.planning.foresee import foresee_seconds
from kronos.report.words.catalogue import Words
from kronos.report.words.messages import translate_into
from kronos.report.words.numbers import format_bytes
from kronos.report.words.times import format_rough_time
from kronos.training.fit.precision import lacks_gpu
from kronos.training.pipeline import RunInputs

logger = logging.getLogger(__name__)

RESUME = "--skip-existing"


def describe_advice(advice: Advice, words: Words) -> str:
    """Describe a warning and its remedy."""
    values = dict(advice.values)
    for name, value in values.items():
        if name == "stage":
            values[name] = words(f"plan.stages.{value}")
        elif name.endswith("_bytes") and isinstance(value, int | float):
            values[name] = format_bytes(value)
        elif isinstance(value, Message):
            values[name] = translate_into(value, words.language)
    return words(f"plan.advice.{advice.code}", **values)


def log_advice(config: Config, inputs: RunInputs, skip_existing: bool = False, command: str = "") -> None:
    """Log the warnings that need no measuring, at the start of a training, and what needs measuring.

    Args:
        command: how the run was launched.
    """
    words = Words(config.report.language)
    if lacks_gpu(config):
        seconds = foresee_seconds(config, inputs, skip_existing)
        logger.warning("%s", _describe_slow_training(config, seconds, command, words))
    for advice in advise_on_inputs(config, inputs, skip_existing):
        logger.warning("%s (%s)", describe_advice(advice, words), advice.code)
    logger.debug("%s", words("plan.not_measured"))


def log_missing_gpu(config: Config) -> None:
    """Log that the configuration asks for a GPU that is not there, and what computes instead."""
    if lacks_gpu(config):
        logger.warning("%s", _describe_missing_gpu(config, Words(config.report.language)))


def _describe_missing_gpu(config: Config, words: Words) -> str:
    device = config.device
    asked = "device.use_cuda: true" if device.use_cuda else f"device.device_id: {device.device_id}"
    return words("plan.no_gpu", asked=asked, device=PartialState().device.type.upper())


def _describe_slow_training(config: Config, seconds: float, command: str, words: Words) -> str:
    """Describe what training without the GPU means: about how long it takes, and how to stop and to resume it."""
    again = command if RESUME in shlex.split(command) else f"{command} {RESUME}"
    resume = words("plan.stop_and_resume", command=again) if command else words("plan.stop")
    parts = _describe_missing_gpu(config, words), words("plan.foreseen", time=format_rough_time(seconds, words)), resume
    return words("verdict.space").join(parts)
