"""The learning-rate range test: how the loss goes while the rate grows from step to step (arXiv 1506.01186, section 3.3)."""

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import set_seed
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from kronos.candles import Array
from kronos.config import Config
from kronos.config.training import StageName
from kronos.errors import ConfigError
from kronos.training.arguments import build_arguments
from kronos.training.pipeline import load_stage
from kronos.training.safety.divergence import Diverged
from kronos.training.stage import build_trainer, check_batch_fits

SMOOTHING = 0.8  # weight of what came before, in the moving average of the loss; it lags 4 steps behind
EXPLODED_THRESHOLD = 4.0  # times the lowest smoothed loss: the test ends
RISEN_THRESHOLD = 1.1  # times the lowest smoothed loss: learning is undone, where the start is passed, too
CLEAR_THRESHOLD = (
    4  # standard deviations: the lowest of a hundred averages of noise alone lies about 3 below their mean
)
MIN_STEPS = 20
SAFETY = 10  # the rate of divergence over this is the highest to be suggested

OnStep = Callable[[int, float, float], None]  # steps done, rate, smoothed loss


@dataclass(frozen=True)
class LrRange:
    """What a range test found.

    Attributes:
        rates, losses, smoothed: (n,) the rate of each step, the loss of its windows before it, the moving average of that.
        configured: the rate that the configuration has.
        steepest: where the smoothed loss falls fastest over the logarithm of the rate; None where it does not fall clearly.
        diverged: the rate from which on learning is undone; None where the test did not get there.
    """

    stage: StageName
    rates: Array
    losses: Array
    smoothed: Array
    configured: float
    steepest: float | None
    diverged: float | None

    @property
    def upper_bound(self) -> float | None:
        """A tenth of the rate of divergence."""
        return None if self.diverged is None else self.diverged / SAFETY

    @property
    def suggested(self) -> float | None:
        """Where the loss falls fastest, but no more than the upper bound; None where the loss does not fall."""
        rates = [rate for rate in (self.steepest, self.upper_bound) if rate is not None]
        return min(rates) if self.steepest is not None else None


def measure_lr_range(
    config: Config, stage_name: StageName, low: float, high: float, n_steps: int, on_step: OnStep
) -> LrRange:
    """Train a stage for a few steps from its beginning while the rate grows exponentially; keep nothing of it.

    Args:
        config: as for training; its schedule, epochs and rate count for nothing here.
        stage_name: which stage.
        low: the first step's rate.
        high: the last step's, which a loss that explodes or is not finite does not let it come to.
        n_steps: how many.
        on_step: told after each.

    Raises:
        ConfigError: the rates or the steps make no sense.
        KronosError: the candles or models cannot be read.
    """
    _check_bounds(low, high, n_steps)
    stage = load_stage(config, stage_name)
    check_batch_fits(config, stage)
    ramp = _Ramp(np.geomspace(low, high, n_steps), on_step)
    with tempfile.TemporaryDirectory() as folder:  # the Trainer wants one
        trainer = build_trainer(config, stage, _build_arguments(config, stage_name, Path(folder), n_steps), [ramp])
        set_seed(config.training.seed, device_specific=True)
        try:
            trainer.train()
        except Diverged:  # the loss is not finite: the end of the range
            if not ramp.losses:
                raise
            ramp.finite = False
    configured = config.training.rate_of(stage_name)
    return read_range(stage_name, ramp.rates[: len(ramp.losses)], np.array(ramp.losses), configured, ramp.finite)


def _check_bounds(low: float, high: float, n_steps: int) -> None:
    if not 0 < low < high or not math.isfinite(high):
        raise ConfigError(f"--from {low:g} --to {high:g}: the rates must be more than 0 and grow.")
    if n_steps < MIN_STEPS:
        raise ConfigError(f"--steps {n_steps}: at least {MIN_STEPS} are needed to see how the loss goes.")


def _build_arguments(config: Config, stage: StageName, folder: Path, n_steps: int) -> TrainingArguments:
    """Build the stage's own arguments but for the schedule, and for what would be measured or written besides."""
    changed = config.override(
        {
            "training.max_steps": n_steps,
            "training.lr_scheduler": "constant",
            "training.lr_scheduler_kwargs": {},
            "training.log_interval": 1,
            "training.warmup_ratio": 0.0,
            "experiment.use_comet": False,
            "experiment.trackers": (),
        }
    )
    arguments = build_arguments(changed, stage, folder, evaluate_first=False)
    arguments.eval_strategy = IntervalStrategy.NO
    arguments.save_strategy = SaveStrategy.NO
    return arguments


class _Ramp(TrainerCallback):
    """Sets the rate of each step, keeps its loss, and ends the test where that explodes."""

    def __init__(self, rates: Array, on_step: OnStep) -> None:
        self.rates = rates
        self.losses: list[float] = []
        self.finite = True
        self._on_step = on_step

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        for group in kwargs["optimizer"].param_groups:
            group["lr"] = float(self.rates[state.global_step])

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        loss = kwargs["logs"].get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            self.finite = False
            control.should_training_stop = True
            return
        self.losses.append(loss)
        smoothed = smooth(np.array(self.losses))
        self._on_step(state.global_step, float(self.rates[state.global_step - 1]), float(smoothed[-1]))
        if smoothed[-1] > EXPLODED_THRESHOLD * smoothed.min():
            control.should_training_stop = True


def smooth(losses: Array) -> Array:
    """Average exponentially, (n,) to (n,), unbiased at the start as Adam's moments (arXiv 1412.6980, section 3)."""
    averages, average = np.empty_like(losses), 0.0
    for n, loss in enumerate(losses):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        averages[n] = average / (1 - SMOOTHING ** (n + 1))
    return averages


def read_range(stage: StageName, rates: Array, losses: Array, configured: float, finite: bool = True) -> LrRange:
    """Find in the losses (n,) at the rates (n,) where they fall fastest and where learning is undone.

    Args:
        finite: whether the loss after these was, too, or there was none.
    """
    smoothed = smooth(losses)
    start = float(losses[: 2 * _settled(len(losses))].mean())
    ceiling = max(start, RISEN_THRESHOLD * float(smoothed.min()))
    calm = int(np.flatnonzero(smoothed <= ceiling)[-1])  # the last step at which something of the learning was left
    diverged = float(rates[min(calm + 1, len(rates) - 1)]) if calm + 1 < len(rates) or not finite else None
    return LrRange(stage, rates, losses, smoothed, configured, _find_steepest(rates, losses, smoothed, start), diverged)


def _settled(n_steps: int) -> int:
    """Return after how many steps the moving average no longer leans on the first losses."""
    return max(n_steps // 10, 5)


def _find_steepest(rates: Array, losses: Array, smoothed: Array, start: float) -> float | None:
    """Return where the smoothed loss falls fastest, or None where it falls no more than its own noise."""
    lowest, settled = int(smoothed.argmin()), _settled(len(losses))
    if lowest <= settled:
        return None
    # A moving average of independent losses has this share of their standard deviation.
    noise = float(np.std(losses[: lowest + 1] - smoothed[: lowest + 1])) * math.sqrt((1 - SMOOTHING) / (1 + SMOOTHING))
    if start - smoothed[lowest] < CLEAR_THRESHOLD * noise:
        return None
    slope = np.gradient(smoothed[: lowest + 1], np.log(rates[: lowest + 1]))
    half = max(lowest // 20, 2)
    even = np.convolve(np.pad(slope, half, mode="edge"), np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")
    return float(rates[settled + int(even[settled:].argmin())])
