"""The Trainer's methods that ours relies on: the list in trainer.py is complete, and transformers still has each."""

import inspect
import os
import re
import signal
from pathlib import Path

import pytest
from transformers import Trainer, TrainerCallback

from kronos import load_config
from kronos.errors import Terminated
from kronos.training import run_pipeline, trainer
from kronos.training.trainer import KronosTrainer
from tests.training.conftest import FinishedRun
from tests.training.runs import equal, read_figures, run, weights


def listed() -> set[str]:
    return set(re.findall(r"^    (\w+) +\S", trainer.__doc__ or "", re.MULTILINE))


def test_each_listed_hook_exists() -> None:
    source = inspect.getsource(Trainer)
    assert len(listed()) > 15
    for name in listed():
        assert hasattr(Trainer, name) or f"self.{name}" in source, name


def test_all_that_is_overridden_or_private_is_listed() -> None:
    own = set(vars(KronosTrainer))
    overridden = {name for name in own if hasattr(Trainer, name) and not name.startswith("__")}
    source = inspect.getsource(KronosTrainer)
    used = {name for name in re.findall(r"self\.(_\w+)", source) if name not in own} & (
        set(dir(Trainer)) | set(re.findall(r"self\.(_\w+)", inspect.getsource(Trainer)))
    )
    assert overridden | used == listed()


class StopInValidation(TrainerCallback):
    """Sends SIGTERM to this process in the validation after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_prediction_step(self, args, state, control, **kwargs) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 4])  # of the untouched model; in the middle of the stage
def test_sigterm_in_a_validation_changes_no_result(
    tiny_config: Path, run_dir: Path, finished: FinishedRun, step: int
) -> None:
    config = load_config(tiny_config, ["experiment.train_basemodel=false"])
    n_steps = finished.result.records["tokenizer"].steps
    step = step and n_steps // 2
    with pytest.raises(Terminated, match=f"in the validation at step {step}"):
        run_pipeline(config, False, [StopInValidation(step)])
    names = sorted(path.name for path in (run_dir / "tokenizer" / "checkpoints").glob("*"))
    assert names == ([f"checkpoint-{step}"] if step else [])
    if step:  # again, now in the validation that comes before the first step of the resumed run
        with pytest.raises(Terminated, match=f"in the validation at step {step}"):
            run_pipeline(config, True, [StopInValidation(step)])
    run(tiny_config, stages=["tokenizer"], skip_existing=True)
    assert equal(weights(run_dir / "tokenizer"), weights(finished.run_dir / "tokenizer"))
    assert read_figures(run_dir / "tokenizer") == read_figures(finished.run_dir / "tokenizer")
