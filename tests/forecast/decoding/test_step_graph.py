"""When a step is captured. What a real graph does is tested on a GPU."""

import logging
from collections.abc import Callable

import pytest
import torch

from kronos.forecast.decoding import step_graph
from kronos.forecast.decoding.step_graph import REPAYS, WARM_UP, StepGraph


class Recorder:
    """Records what ran: the step itself, its capture, or its replay."""

    def __init__(self, fails: bool = False) -> None:
        self.events: list[str] = []
        self._fails = fails

    def step(self) -> None:
        self.events.append("plain")

    def capture(self, step: Callable[[], None], device: torch.device) -> Callable[[], None]:
        self.events.append("capture")
        if self._fails:
            raise RuntimeError("operation not permitted when stream is capturing\nmore lines")
        return lambda: self.events.append("replay")


def run(recorder: Recorder, monkeypatch: pytest.MonkeyPatch, device: str, *horizons: int) -> list[str]:
    monkeypatch.setattr(step_graph, "capture_graph", recorder.capture)
    graph = StepGraph(recorder.step, torch.device(device))
    for horizon in horizons:
        for left in range(horizon, 0, -1):
            graph.run(left)
    return recorder.events


def test_a_graph_is_captured_after_warm_up_and_replayed_in_later_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    events = run(Recorder(), monkeypatch, "cuda", WARM_UP + REPAYS, 3)
    assert events == ["plain"] * WARM_UP + ["capture"] + ["replay"] * (REPAYS + 3)


def test_a_call_too_short_to_repay_the_capture_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "capture" not in run(Recorder(), monkeypatch, "cuda", REPAYS + 1)
    assert "capture" not in run(Recorder(), monkeypatch, "cpu", 100)


def test_where_the_capture_fails_steps_stay_plain_and_a_warning_tells(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "kronos"):
        events = run(Recorder(fails=True), monkeypatch, "cuda", 20, 20)
    assert events.count("capture") == 1 and events.count("plain") == 40
    assert caplog.messages == [
        "The decoding step cannot be captured as a CUDA graph (operation not permitted when stream is capturing). "
        "Forecasts work, but more slowly."
    ]
