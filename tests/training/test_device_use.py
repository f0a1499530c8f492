"""What metrics.jsonl says of the processor."""

import pytest
import torch

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
