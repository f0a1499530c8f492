"""Tests of what runs on a GPU. Each runs on the CPU too, where it checks the same code without a graph."""

import pytest
import torch

CUDA = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
)


@pytest.fixture(params=["cpu", CUDA])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, then the first CUDA device if there is one."""
    return torch.empty(0, device=request.param).device


def skip_on_cpu(device: torch.device, covered_by: str) -> None:
    """Leave a slow test to the GPU; covered_by tests the same on a CPU."""
    if device.type == "cpu":
        pytest.skip(f"slow on a CPU, and covered by {covered_by}")
