"""What is not finite stops the run before it is saved."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from kronos.errors import KronosError
from kronos.model import KronosTokenizer
from kronos.training.safety.divergence import SKIPPED_STEPS_THRESHOLD, HealthCheck
from kronos.training.saved.checkpoints import newest_checkpoint
from tests.training.runs import run, weights


def make(fp16: bool = False) -> HealthCheck:
    return HealthCheck(
        "basemodel", "training.predictor_learning_rate", 4e-5, fp16, lambda rows: f"rows {rows.tolist()}"
    )


def step(health: HealthCheck, number: int, loss: float, norm: float = 1.0, rate: float = 4e-5) -> None:
    health.add_loss(torch.tensor(loss), np.array([number * 10]))
    health.end_step(number, rate, torch.tensor(norm))


@pytest.mark.parametrize(
    ("loss", "norm", "what"), [(math.nan, 1.0, "loss"), (math.inf, 1.0, "loss"), (1.0, math.nan, "gradient")]
)
def test_the_step_and_its_windows_are_named(loss: float, norm: float, what: str) -> None:
    health = make()
    step(health, 1, 2.0)
    step(health, 2, loss, norm)
    step(health, 3, math.nan)
    with pytest.raises(KronosError, match=rf"the {what} is not a finite number at step 2 .*rows \[20\]"):
        health.check()


def test_the_likely_cause() -> None:
    health = make()
    for number, loss in enumerate([2.0, 1.0, 5.0]):
        step(health, number, loss)
    step(health, 9, math.nan)
    with pytest.raises(KronosError, match=r"learning rate is too high.* had grown from 1 to 5"):
        health.check()
    health = make()
    step(health, 1, math.nan, rate=1.0)
    with pytest.raises(KronosError, match="learning rate is too high"):
        health.check()
    health = make()
    step(health, 1, 2.0)
    step(health, 2, math.nan)
    with pytest.raises(KronosError, match="Check the candles of these windows"):
        health.check()


def test_fp16_may_skip_some_steps_while_it_looks_for_its_scale() -> None:
    health = make(fp16=True)
    for number in range(SKIPPED_STEPS_THRESHOLD):
        step(health, number, 2.0, math.inf)
    health.check()
    step(health, 98, 2.0)
    for number in range(100, 100 + SKIPPED_STEPS_THRESHOLD + 1):
        step(health, number, 2.0, math.inf)
    with pytest.raises(KronosError, match=r"fp16 overflow"):
        health.check()


def test_a_run_keeps_what_was_good(tiny_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fifth step's loss is not a number: no weight, no checkpoint and no best model is touched by it."""
    forward, n_steps = KronosTokenizer.forward, 0

    def fail(self, candles, bit_mean=None):
        nonlocal n_steps
        output = forward(self, candles, bit_mean)
        n_steps += self.training
        if self.training and n_steps == 5:
            output.loss = output.loss * math.nan
        return output

    monkeypatch.setattr(KronosTokenizer, "forward", fail)
    with pytest.raises(KronosError, match=r"at step 5 .*Windows of that step: candles from 2024-01-0\d .* and 11 more"):
        run(tiny_config, "training.save_steps=2", stages=["tokenizer"])
    folder = tmp_path / "runs/tiny/tokenizer"
    assert newest_checkpoint(folder / "checkpoints").name == "checkpoint-4"
    assert all(tensor.isfinite().all() for tensor in weights(folder).values())


@pytest.mark.slow
def test_no_step_waits_for_the_device(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between log lines no tensor is read back: on a GPU each reading would stop the pipeline."""
    from torch.utils._python_dispatch import TorchDispatchMode

    from kronos.training.trainer import KronosTrainer

    class Counting(TorchDispatchMode):
        n_read = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            if function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
                Counting.n_read += 1
            return function(*args, **(kwargs or {}))

    training_step = KronosTrainer.training_step

    def counted(self, *args, **kwargs):
        with Counting():
            return training_step(self, *args, **kwargs)

    monkeypatch.setattr(KronosTrainer, "training_step", counted)
    for stage in ("tokenizer", "basemodel"):
        run(tiny_config, stages=[stage])
    assert Counting.n_read == 0
    with Counting():
        torch.ones(1).item()
    assert Counting.n_read == 1
