"""Measure the speed and the memory of a stage, with a few real steps of its own Trainer."""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from accelerate import PartialState
from accelerate.utils import gather_object, set_seed
from torch.utils.data import Subset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from kronos.config import Config
from kronos.disk.temporaries import temporary_folder
from kronos.errors import KronosError
from kronos.training.arguments import build_arguments
from kronos.training.device_use import measure_memory_mb
from kronos.training.fit.compiling import CompileChoice, choose_compiling
from kronos.training.safety.out_of_memory import find_micro_batch, finds_micro_batch
from kronos.training.stage import Stage, build_trainer, hold_stage
from kronos.training.step_counts import check_batch_fits, count_steps
from kronos.training.trainer import KronosTrainer

N_STEPS = 6  # the first one warms up and is not timed
N_VALIDATION_BATCHES = 3  # the first one warms up here, too
BUDGET_SECONDS = 60.0  # after which two steps are enough
SAMPLING_SECONDS = 0.005


@dataclass(frozen=True)
class Measurement:
    """What a few steps took; with several processes, the longest times and the largest memory.

    step_seconds, validation_batch_seconds: medians. n_steps: steps timed.
    memory_mb: the peak, allocated on a GPU, or of the process on a CPU. growth_mb: its increase during the steps.
    compiling: whether the model will be compiled. checkpoint_bytes: weights and optimizer. model_bytes: the weights.
    """

    step_seconds: float
    n_steps: int
    validation_batch_seconds: float
    memory_mb: float
    growth_mb: float
    compiling: CompileChoice
    checkpoint_bytes: int
    model_bytes: int


class _Timer(TrainerCallback):
    """Measures the time of steps and validation batches, including the loading of their windows."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.batches: list[float] = []
        self._last = 0.0

    def _tick(self, args: TrainingArguments) -> float:
        if args.device.type != "cpu":
            torch.accelerator.synchronize()
        last, self._last = self._last, time.perf_counter()
        return self._last - last

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._tick(args)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.batches.append(self._tick(args))

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._tick(args)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.steps.append(self._tick(args))
        # All ranks must stop at the same step; the slowest decides.
        if len(self.steps) >= 3 and max(gather_object([sum(self.steps)])) > BUDGET_SECONDS:
            control.should_training_stop = True


def measure_stage(config: Config, stage: Stage) -> Measurement:
    """Validate a few batches and train a few steps of a stage. Nothing is kept, but the model is changed.

    Raises:
        DataError: fewer train windows than one step takes.
        KronosError: the steps do not fit into the GPU's memory, or the model is damaged.
    """
    check_batch_fits(config, stage.train)
    n_steps = count_steps(config, stage.name, stage.train)
    few_steps, timer = _limit_to_few_steps(config), _Timer()
    stage = hold_stage(config, stage)
    if finds_micro_batch(config):
        few_steps = find_micro_batch(few_steps, stage.name, stage.model, stage.train, stage.prepare_batch)
    with temporary_folder() as folder, _watch_memory(PartialState().device) as memory:
        trainer = build_trainer(few_steps, stage, _build_arguments(few_steps, stage, folder), [timer])
        n_validated = N_VALIDATION_BATCHES * trainer.args.eval_batch_size * trainer.args.world_size
        trainer.eval_dataset = Subset(stage.val, range(min(n_validated, len(stage.val))))
        set_seed(config.training.seed, device_specific=True)
        try:
            trainer.train()
        except torch.OutOfMemoryError:
            raise KronosError(
                "the {stage} stage does not fit into the GPU's memory with {windows} windows at a time. Raise "
                "training.accumulation_steps (the same result, computed in smaller parts), or lower training.batch_size or "
                "data.lookback_window.",
                stage=stage.name,
                windows=few_steps.training.batch_size // few_steps.training.accumulation_steps,
            ) from None
    measurement = _summarize(trainer, timer, memory, config, n_steps)
    del trainer
    gc.collect()
    return measurement


def _limit_to_few_steps(config: Config) -> Config:
    """Return the configuration for a few steps that leave nothing and that no tracker sees."""
    return config.override(
        {
            "training.max_steps": N_STEPS,
            "training.early_stopping_patience": None,
            "training.best_by": "loss",
            "training.token_cache": False,
            "experiment.use_comet": False,
            "experiment.trackers": (),
        }
    )


def _build_arguments(config: Config, stage: Stage, folder: Path) -> TrainingArguments:
    """Build the stage's own arguments, with one validation before the first step, and no checkpoint."""
    arguments = build_arguments(config, stage.name, folder, evaluate_first=True)
    arguments.eval_strategy, arguments.save_strategy = IntervalStrategy.NO, SaveStrategy.NO
    return arguments


def _summarize(trainer: KronosTrainer, timer: _Timer, memory: list[float], config: Config, n_steps: int) -> Measurement:
    """Summarize a measurement; n_steps: of the whole stage."""
    own = (_take_median(timer.steps), _take_median(timer.batches), max(memory), max(memory) - memory[0])
    step, batch, peak, growth = (max(values) for values in zip(*gather_object([own])))
    tensors = trainer.model.state_dict().values()
    model_bytes = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return Measurement(
        step_seconds=step,
        n_steps=max(len(timer.steps) - 1, 1),
        validation_batch_seconds=batch,
        memory_mb=peak,
        growth_mb=growth,
        compiling=choose_compiling(config, trainer.model, step, n_steps),
        checkpoint_bytes=model_bytes + _measure_optimizer_bytes(trainer),
        model_bytes=model_bytes,
    )


def _take_median(seconds: list[float]) -> float:
    return statistics.median(seconds[1:] or seconds)


def _measure_optimizer_bytes(trainer: KronosTrainer) -> int:
    states = trainer.optimizer.state.values() if trainer.optimizer else ()
    tensors = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@contextmanager
def _watch_memory(device: torch.device) -> Iterator[list[float]]:
    """Sample the memory (MB) within the body: CUDA reports a peak, but resident memory must be watched."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    samples, done = [measure_memory_mb(device)], threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLING_SECONDS):
            samples[1:] = [max(*samples, measure_memory_mb(device))]

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield samples
    finally:
        done.set()
        watcher.join()
        samples.append(measure_memory_mb(device))


def measure_capacity_mb() -> float:
    """Return the memory (MB) available to a process: of its GPU, or its share of the free memory of the machine."""
    state = PartialState()
    if state.device.type == "cuda":
        return float(torch.cuda.get_device_properties(state.device).total_memory) / 2**20
    return float(psutil.virtual_memory().available / state.num_processes + psutil.Process().memory_info().rss) / 2**20


def name_device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
