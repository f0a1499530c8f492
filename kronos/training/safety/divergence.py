"""Losses and gradients that are not numbers: found before they spoil what is saved, and explained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from kronos.candles import Array
from kronos.errors import KronosError

FP16_PATIENCE = 50  # steps in a row that fp16's loss scaling may skip while it looks for its scale

FAR_THRESHOLD = 50  # times the usual learning rate


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
    """Keeps each step's loss and gradient norm on the device until `check`, so that no step waits for the device.

    Attributes:
        stage: its name, for the message.
        rate_key: the YAML key of its learning rate.
        usual_rate: a learning rate known to work.
        fp16: computing in float16, whose scaling skips steps with infinite gradients.
        describe: says which candles windows are of, from the rows at which they begin.
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
        """Note the loss of a part of a batch."""
        self._losses.append(loss)
        self._windows.append(windows)

    def end_step(self, step: int, learning_rate: float, grad_norm: Tensor) -> None:
        """Note the gradient norm of a step, before the weights change."""
        self._steps.append(_Step(step, learning_rate, self._losses, self._windows, grad_norm.detach()))
        self._losses, self._windows = [], []

    def check(self) -> None:
        """Look at the steps noted since the last call; all ranks call this together.

        Raises:
            Diverged: a loss or a gradient is not finite.
        """
        steps, self._steps = self._steps, []
        if not steps:
            return
        losses = torch.stack([torch.stack(step.losses).sum() for step in steps])
        norms = torch.stack([step.grad_norm.to(losses.device) for step in steps])
        figures = _sum_over_ranks(torch.stack([losses, norms.to(losses.dtype)])).cpu().numpy()
        for step, loss, norm in zip(steps, figures[0].tolist(), figures[1].tolist()):
            finite_norm = np.isfinite(norm)
            self._n_skipped = 0 if finite_norm else self._n_skipped + 1
            if not np.isfinite(loss) or self._n_skipped > (FP16_PATIENCE if self.fp16 else 0):
                raise Diverged(self._explain(step, loss))
            self._latest = loss
            self._lowest = min(self._lowest, loss)

    def _explain(self, step: _Step, loss: float) -> str:
        what = "loss" if not np.isfinite(loss) else "gradient"
        windows = self.describe(_gather_windows(np.concatenate(step.windows)))
        return (
            f"{self.stage}: the {what} is not a finite number at step {step.step} (learning rate {step.learning_rate:.1e}). "
            f"{self._likely_cause(step)} Windows of that step: {windows}. The best model so far and the last checkpoint are kept."
        )

    def _likely_cause(self, step: _Step) -> str:
        if self.fp16:
            return "Most likely fp16, whose numbers end at 65504: set training.precision to bf16 or fp32."
        grown = self._latest > 1.5 * self._lowest
        if grown or step.learning_rate > FAR_THRESHOLD * self.usual_rate:
            before = f" The loss had grown from {self._lowest:.3g} to {self._latest:.3g} before." if grown else ""
            return (
                f"Most likely the learning rate is too high: lower {self.rate_key} ({self.usual_rate:.0e} is usual), or lengthen "
                f"training.warmup_ratio.{before}"
            )
        return (
            "The loss had not grown before, so look at the candles of these windows (kronos check); if they are sound, lower "
            f"{self.rate_key}."
        )


def _sum_over_ranks(figures: Tensor) -> Tensor:
    """Sum what is on the ranks: not finite where one of them is not."""
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
