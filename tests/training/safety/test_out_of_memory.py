"""Out of memory: what to lower is said, or done."""

import copy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kronos import load_config
from kronos.errors import KronosError
from kronos.model import Kronos
from kronos.stage_record import StageRecord
from kronos.training.pipeline import build_stage, prepare_inputs
from kronos.training.safety import out_of_memory
from kronos.training.safety.out_of_memory import finds_micro_batch, measure_step
from tests.training.runs import Killed, equal, interrupt_at, run, weights


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device on which more than four windows do not fit."""
    forward = Kronos.forward

    def limited(self, s1_ids, *args, **kwargs):
        if self.training and len(s1_ids) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return forward(self, s1_ids, *args, **kwargs)

    monkeypatch.setattr(Kronos, "forward", limited)


def test_what_to_lower_is_said(tiny_config: Path, small_memory: None) -> None:
    with pytest.raises(
        KronosError,
        match=r"basemodel: out of memory\. Set training\.accumulation_steps=2 .*gradient_checkpointing=true",
    ):
        run(tiny_config, stages=["basemodel"])


def test_parts_that_were_found_are_not_proposed_again(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, limits = Kronos.forward, iter([4] * 4)  # two trials that fail, one that succeeds, and a step

    def limited(self, s1_ids, *args, **kwargs):
        if self.training and len(s1_ids) > next(limits, 2):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return forward(self, s1_ids, *args, **kwargs)

    monkeypatch.setattr(Kronos, "forward", limited)
    with pytest.raises(KronosError, match=r"out of memory\. Set training\.accumulation_steps=8: the same result"):
        run(tiny_config, "training.auto_find_batch_size=true", stages=["basemodel"])


@pytest.mark.slow
def test_a_resumed_stage_begins_with_the_parts_that_were_found(
    tiny_config: Path,
    tmp_path: Path,
    small_memory: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with monkeypatch.context() as patched, pytest.raises(Killed):
        interrupt_at(patched, 4)
        run(tiny_config, "training.auto_find_batch_size=true", stages=["basemodel"])
    record = StageRecord.read(tmp_path / "runs/tiny/basemodel")
    assert record and record.n_parts == 4
    caplog.clear()
    with caplog.at_level("INFO", logger="kronos"):
        run(tiny_config, "training.auto_find_batch_size=true", stages=["basemodel"], skip_existing=True)
    assert "resumes from" in caplog.text
    assert "out of memory" not in caplog.text and "parts" not in caplog.text


@pytest.mark.slow
def test_auto_find_batch_size_computes_the_same_batch_in_parts(
    tiny_config: Path, tmp_path: Path, small_memory: None, caplog: pytest.LogCaptureFixture
) -> None:
    run(tiny_config, "training.auto_find_batch_size=true", "training.lr_scheduler=constant", stages=["basemodel"])
    folder = tmp_path / "runs/tiny/basemodel"
    found, record = weights(folder), StageRecord.read(folder)
    run(tiny_config, "training.accumulation_steps=4", "training.lr_scheduler=constant", stages=["basemodel"])
    assert equal(weights(folder), found)  # the trial left nothing behind
    assert record and (record.steps, record.n_parts) == (6, 4)


@pytest.mark.parametrize(
    ("wanted", "device", "finds"),
    [(None, "cuda", True), (None, "cpu", False), (False, "cuda", False), (True, "cpu", True)],
)
def test_a_gpu_finds_its_parts_by_default(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool | None, device: str, finds: bool
) -> None:
    state = SimpleNamespace(device=torch.device(device))
    monkeypatch.setattr(out_of_memory, "PartialState", lambda: state)
    config = load_config(tiny_config).override({"training.auto_find_batch_size": wanted})
    assert finds_micro_batch(config) is finds


def test_measuring_a_step_leaves_nothing_behind(tiny_config: Path) -> None:
    config = load_config(tiny_config, ["training.accumulation_steps=2"])
    inputs = prepare_inputs(config)
    assert inputs.base_model
    stage = build_stage("basemodel", config, inputs, inputs.base_model, inputs.tokenizer)
    before, random_state = copy.deepcopy(stage.model.state_dict()), torch.get_rng_state()
    assert measure_step(config, stage.model, stage.train, stage.prepare_batch) > 0
    assert equal(stage.model.state_dict(), before) and torch.equal(torch.get_rng_state(), random_state)
    assert all(parameter.grad is None for parameter in stage.model.parameters())


def test_not_even_one_window(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self, *args, **kwargs):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Kronos, "forward", forward)
    with pytest.raises(KronosError, match=r"out of memory\. .*lower training\.batch_size or data\.lookback_window"):
        run(tiny_config, "training.auto_find_batch_size=true", stages=["basemodel"])
