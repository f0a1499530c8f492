"""Running out of memory: said with what to lower, or avoided by computing a batch in more parts."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState

from kronos.config import Config
from kronos.errors import KronosError

logger = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the GPU's or the machine's memory does not suffice."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in str(error) or "out of memory" in str(error))
    )


@contextmanager
def memory_explained(config: Config, stage: str) -> Iterator[None]:
    """Turn running out of memory into what to lower.

    Raises:
        KronosError: the body ran out of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise KronosError(
            f"{stage}: out of memory. {'; '.join(_remedies(config))}. The last checkpoint, if any, is kept: the same command "
            f"with --skip-existing goes on from it. ({str(error).strip().splitlines()[0] if str(error) else 'MemoryError'})"
        ) from error


def _remedies(config: Config) -> list[str]:
    training = config.training
    remedies = []
    if training.accumulation_steps < training.batch_size:
        finer = next_accumulation(config)
        remedies.append(
            f"Set training.accumulation_steps={finer} (or training.auto_find_batch_size=true): batches of "
            f"{training.batch_size} in smaller parts, with the same result"
        )
    if not training.gradient_checkpointing:
        remedies.append("set training.gradient_checkpointing=true (the same result, more time)")
    if training.precision == "fp32":
        remedies.append("set training.precision=auto")
    remedies.append("lower training.batch_size or data.lookback_window, or take a smaller model")
    return remedies


def next_accumulation(config: Config) -> int:
    """Return the next larger number of equal parts that a batch can be computed in."""
    training = config.training
    larger = range(training.accumulation_steps + 1, training.batch_size + 1)
    return next(
        (n for n in larger if training.batch_size % n == 0 and n >= 2 * training.accumulation_steps),
        training.batch_size,
    )


def fit_batch(config: Config, stage: str, try_part: Callable[[int], None]) -> Config:
    """Raise accumulation_steps until a part of a batch fits into memory on every process.

    Args:
        try_part: computes forward and backward of so many windows.

    Raises:
        KronosError: not even one window fits.
    """
    while not _fits_everywhere(config.training.batch_size // config.training.accumulation_steps, try_part):
        if config.training.accumulation_steps == config.training.batch_size:
            with memory_explained(config, stage):
                raise MemoryError("a part of one window does not fit")
        finer = config.training.model_copy(update={"accumulation_steps": next_accumulation(config)})
        config = config.model_copy(update={"training": finer})
        logger.info("%s  out of memory: tries training.accumulation_steps=%d", stage, finer.accumulation_steps)
    return config


def _fits_everywhere(n_windows: int, try_part: Callable[[int], None]) -> bool:
    state = PartialState()
    fits = True
    try:
        try_part(n_windows)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        fits = False
    if state.num_processes > 1:
        vote = torch.tensor(float(fits), device=state.device)
        torch.distributed.all_reduce(vote, torch.distributed.ReduceOp.MIN)
        fits = bool(vote.item())
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return fits
