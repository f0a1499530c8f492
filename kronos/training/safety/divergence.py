"""Losses and gradients that are not finite: stop before anything damaged is saved, and explain the likely cause."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from kronos.candles import Array
from kronos.errors import KronosError
from kronos.names import Message, Template

SKIPPED_STEPS_THRESHOLD = 50  # steps in a row that fp16's loss scaling may skip while it looks for its scale
RATE_THRESHOLD = 50  # times the usual learning rate
GROWTH_THRESHOLD = 1.5  # times the lowest loss
CAUSES: dict[str, Template] = {
    "fp16": "Probably fp16 overflow (its largest value is 65,504). Set training.precision to bf16 or fp32.",
    "rate": (
        "Probably the learning rate is too high. Lower {rate_key} ({usual_rate:.0e} is usual) or raise training.warmup_ratio."
    ),
    "growing loss": (
        "Probably the learning rate is too high: the loss had grown from {lowest:.3g} to {latest:.3g}. Lower {rate_key} "
        "({usual_rate:.0e} is usual) or raise training.warmup_ratio."
    ),
    "candles": (
        "The loss had not grown before. Check the candles of these windows (kronos check); if they are correct, lower {rate_key}."
    ),
}


class Diverged(KronosError):
    """A loss or a gradient is not finite."""


DescribeWindows = Callable[[Array], str]


class _Step(NamedTuple):
    step: int
    learning_rate: float
    losses: list[Tensor]
    windows: list[Array]
    grad_norm: Tensor


@dataclass
class HealthCheck:
    """Collects each step's loss and gradient norm on the device until `check`; no step waits for the device.

    Attributes:
        stage: its name, for the message.
        rate_key: the YAML key of its learning rate.
        usual_rate: a learning rate known to work.
        fp16: whether training computes in float16, whose scaling skips steps with infinite gradients.
        describe: describes the windows that begin at the given rows of the candles.
    """

    stage: str
    rate_key: str
    usual_rate: float
    fp16: bool
    describe: DescribeWindows

    def __post_init__(self) -> None:
        self._steps: list[_Step] = []
        self._losses: list[Tensor] = []
        self._windows: list[Array] = []
        self._lowest, self._latest = float("inf"), float("inf")
        self._n_skipped = 0

    def add_loss(self, loss: Tensor, windows: Array) -> None:
        """Record the loss of a part of a batch."""
        self._losses.append(loss)
        self._windows.append(windows)

    def end_step(self, step: int, learning_rate: float, grad_norm: Tensor) -> None:
        """Record the gradient norm of a step, before the weights change."""
        self._steps.append(_Step(step, learning_rate, self._losses, self._windows, grad_norm.detach()))
        self._losses, self._windows = [], []

    def check(self) -> None:
        """Check the steps recorded since the last call. All ranks must call this.

        Raises:
            Diverged: a loss or a gradient is not finite.
        """
        steps, self._steps = self._steps, []
        if not steps:
            return
        losses = torch.stack([torch.stack(step.losses).sum() for step in steps])
        norms = torch.stack([step.grad_norm.to(losses.device) for step in steps])
        figures = _mean_over_ranks(torch.stack([losses, norms.to(losses.dtype)])).cpu().numpy()
        for step, loss, norm in zip(steps, figures[0].tolist(), figures[1].tolist()):
            finite_norm = np.isfinite(norm)
            self._n_skipped = 0 if finite_norm else self._n_skipped + 1
            if not np.isfinite(loss) or self._n_skipped > (SKIPPED_STEPS_THRESHOLD if self.fp16 else 0):
                raise self._explain(step, loss)
            self._latest = loss
            self._lowest = min(self._lowest, loss)

    def _explain(self, step: _Step, loss: float) -> "Diverged":
        return Diverged(
            "{stage}: the {quantity} is not a finite number at step {step} (learning rate {learning_rate:.1e}). "
            f"{self._choose_cause(step)} "
            "Windows of that step: {windows}. The best model so far and the last checkpoint are kept.",
            stage=self.stage,
            quantity=Message("gradient" if np.isfinite(loss) else "loss"),
            step=step.step,
            learning_rate=step.learning_rate,
            rate_key=self.rate_key,
            usual_rate=self.usual_rate,
            lowest=self._lowest,
            latest=self._latest,
            windows=self.describe(_gather_windows(np.concatenate(step.windows))),
        )

    def _choose_cause(self, step: _Step) -> Template:
        if self.fp16:
            return CAUSES["fp16"]
        if self._latest > GROWTH_THRESHOLD * self._lowest:
            return CAUSES["growing loss"]
        return CAUSES["rate" if step.learning_rate > RATE_THRESHOLD * self.usual_rate else "candles"]


def _mean_over_ranks(figures: Tensor) -> Tensor:
    """Average over the ranks; the result is not finite if any rank's figure is not."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(figures)
        figures /= dist.get_world_size()
    return figures


def _gather_windows(windows: Array) -> Array:
    if not (dist.is_available() and dist.is_initialized()):
        return windows
    parts: list[Array] = [windows] * dist.get_world_size()
    dist.all_gather_object(parts, windows)
    return np.concatenate(parts)
