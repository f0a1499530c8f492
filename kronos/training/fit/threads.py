"""How many threads compute a stage on a CPU: chosen once, when the stage starts, because rounding depends on it."""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import torch
from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kronos.config import Config
from kronos.stage_record import StageRecord
from kronos.threads import StepThreads, choose_number
from kronos.waiting import is_number_given

logger = logging.getLogger(__name__)

ENOUGH_TOKENS = 1024  # of a batch that shows how the threads of a larger one share the work


def take_small_batch(config: Config) -> Config:
    """Return the configuration with a batch that is large enough to choose the threads by."""
    window = config.data.lookback_window + config.data.predict_window
    n_windows = min(config.training.batch_size // config.training.accumulation_steps, ENOUGH_TOKENS // window)
    return config.override({"training.batch_size": max(n_windows, 1), "training.accumulation_steps": 1})


def settle_threads(
    record: StageRecord, measure_step: Callable[[], float], resumes: bool = False
) -> tuple[StageRecord, int | None]:
    """Return the record of a stage with the number of threads chosen for it, and the number to use now.

    The number is chosen when a stage starts, and not when it resumes. On a GPU, with several processes, or if the user has
    set OMP_NUM_THREADS, it is None: the number stays as it is.

    Args:
        measure_step: measures the seconds of a step.
    """
    state = PartialState()
    if state.device.type != "cpu" or state.num_processes > 1 or is_number_given():
        return record, None
    if record.threads or resumes:
        return record, record.threads
    allowed = torch.get_num_threads()
    threads = choose_number(measure_step)
    if threads < allowed:
        logger.debug(
            "%s  %d of %d threads compute: more were not faster just now. OMP_NUM_THREADS sets another number.",
            *(record.stage, threads, allowed),
        )
    return record.model_copy(update={"threads": threads}), threads


class ThreadsCallback(TrainerCallback):
    """Train on a number of threads, and let them spin or sleep while they wait, whichever makes the steps faster.

    Args:
        threads: the number; None leaves it as it is.
    """

    def __init__(self, threads: int | None) -> None:
        self._threads = threads

    def __enter__(self) -> Self:
        self._before = torch.get_num_threads()
        if self._threads:
            torch.set_num_threads(self._threads)
        self._steps = StepThreads(PartialState().device)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._steps.__exit__(kind, error, trace)
        if torch.get_num_threads() != self._before:
            torch.set_num_threads(self._before)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._steps.begin(state.max_steps - state.global_step, fewer=False)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._steps.start_step()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._steps.end_step()
