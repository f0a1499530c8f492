"""How many threads train: chosen once, kept when a stage is resumed, left alone if the user has set it."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from kronos import load_config
from kronos.stage_record import StageRecord
from kronos.threads import StepThreads, choose_number
from kronos.training.fit import threads
from kronos.training.fit.threads import ThreadsCallback, settle_threads, take_small_batch
from tests.training.runs import Killed, equal, interrupt_at, run, weights

RECORD = StageRecord(stage="basemodel", settings={})


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "is_number_given", lambda: False)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({8: 1.0, 4: 2.0}, 8),  # idle
        ({8: 1.0, 4: 0.9}, 8),  # not clearly faster
        ({8: 1.0, 4: 0.5, 2: 0.6}, 4),
        ({8: 9.0, 4: 5.0, 2: 3.0, 1: 1.0}, 1),
    ],
)
def test_threads_are_halved_as_long_as_that_is_clearly_faster(seconds: dict[int, float], expected: int) -> None:
    torch.set_num_threads(8)
    assert choose_number(lambda: seconds[torch.get_num_threads()]) == expected
    assert torch.get_num_threads() == 8


def test_one_thread_is_no_choice() -> None:
    torch.set_num_threads(1)
    assert choose_number(lambda: pytest.fail("measured")) == 1


@pytest.mark.parametrize(
    ("batch_size", "parts", "window", "expected"), [(32, 1, 120, 8), (4, 2, 120, 2), (8, 1, 2048, 1)]
)
def test_a_small_batch_is_measured(tiny_config: Path, batch_size: int, parts: int, window: int, expected: int) -> None:
    settings = {"training.batch_size": batch_size, "training.accumulation_steps": parts, "data.max_context": window}
    settings |= {"data.lookback_window": window - 8, "data.predict_window": 8}
    small = take_small_batch(load_config(tiny_config).override(settings))
    assert (small.training.batch_size, small.training.accumulation_steps) == (expected, 1)


def test_a_resumed_stage_keeps_its_number() -> None:
    first, number = settle_threads(RECORD, lambda: {1: 1.0, 2: 2.0}[torch.get_num_threads()])
    assert first.threads == number == 1
    assert settle_threads(first, lambda: pytest.fail("measured"), resumes=True) == (first, 1)
    assert settle_threads(RECORD, lambda: pytest.fail("measured"), resumes=True) == (RECORD, None)


def test_a_number_that_the_user_has_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "is_number_given", lambda: True)
    record = RECORD.model_copy(update={"threads": 1})
    assert settle_threads(record, lambda: pytest.fail("measured")) == (record, None)  # kept for the next time


@pytest.mark.parametrize(("device", "num_processes"), [("cuda", 1), ("cpu", 2)])
def test_a_gpu_or_several_processes_choose_no_number(
    monkeypatch: pytest.MonkeyPatch, device: str, num_processes: int
) -> None:
    state = SimpleNamespace(device=torch.device(device), num_processes=num_processes)
    monkeypatch.setattr(threads, "PartialState", lambda: state)
    settle_threads(RECORD, lambda: pytest.fail("measured"))


def test_the_callers_number_is_restored_even_after_an_error() -> None:
    with pytest.raises(ValueError, match="broken"), ThreadsCallback(1):
        assert torch.get_num_threads() == 1
        raise ValueError("broken")
    assert torch.get_num_threads() == 2


@pytest.mark.slow
def test_a_stage_trains_on_the_number_in_its_record(
    tiny_config: Path, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is chosen at the start, and the resumed stage ends in the same weights; so does spinning and sleeping."""
    used = []
    end_step = StepThreads.end_step

    def note(steps: StepThreads) -> None:
        used.append(torch.get_num_threads())
        end_step(steps)

    monkeypatch.setattr(StepThreads, "end_step", note)
    monkeypatch.setattr(threads, "choose_number", lambda measure: measure() and 2)
    whole = run(tiny_config, f"model_paths.base_path={tmp_path / 'whole'}", stages=["basemodel"])
    assert whole.records["basemodel"].threads == 2
    with monkeypatch.context() as patch:
        interrupt_at(patch, 4)
        with pytest.raises(Killed):
            run(tiny_config, stages=["basemodel"])
    torch.set_num_threads(1)  # the number in the record counts
    monkeypatch.setattr(threads, "choose_number", lambda measure: pytest.fail("chosen again"))
    run(tiny_config, stages=["basemodel"], skip_existing=True)
    assert torch.get_num_threads() == 1
    assert set(used) == {2}
    assert equal(weights(run_dir / "basemodel"), weights(tmp_path / "whole/tiny/basemodel"))
