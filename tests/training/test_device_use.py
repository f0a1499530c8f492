"""What metrics.jsonl says of the processor."""

from types import SimpleNamespace

import pytest
import torch

from kronos.training import device_use
from kronos.training.device_use import measure_gpu, measure_memory_mb


def test_a_cpu_has_memory_only() -> None:
    cpu = torch.device("cpu")
    assert measure_gpu(cpu) == {} and measure_memory_mb(cpu) > 10


def test_a_driver_that_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "utilization", lambda device: 87)
    monkeypatch.setattr(torch.cuda, "temperature", lambda device: 61)
    assert measure_gpu(torch.device("cuda")) == {"gpu_utilisation_percent": 87, "gpu_temperature_c": 61}


@pytest.mark.parametrize("error", [ModuleNotFoundError("pynvml"), RuntimeError("Insufficient permissions")])
def test_a_driver_that_does_not(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(device: torch.device) -> int:
        raise error

    monkeypatch.setattr(torch.cuda, "utilization", refuse)
    assert measure_gpu(torch.device("cuda")) == {}


@pytest.mark.parametrize(("device", "expected"), [("cuda:1", [torch.device("cuda:1")]), ("cpu", [])])
def test_only_the_own_gpu_is_set_up(monkeypatch: pytest.MonkeyPatch, device: str, expected: list[torch.device]) -> None:
    state, forked = SimpleNamespace(device=torch.device(device)), []
    monkeypatch.setattr(device_use, "PartialState", lambda: state)
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices, device_type=None: forked.append(devices))
    device_use.fork_random_state()
    assert forked == [expected]


def test_the_random_state_is_as_before() -> None:
    before = torch.get_rng_state()
    with device_use.fork_random_state():
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
