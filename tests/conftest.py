"""What all tests share. Everything runs offline, on the CPU, without anything outside the repository."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
REAL_CANDLES = ROOT.parent / "shared" / "data" / "ashare_600977_5min.csv"

torch.set_num_threads(2)


def load_vectors(name: str) -> dict[str, Tensor]:
    """The golden inputs and outputs of one model."""
    return load_file(GOLDEN / name / "vectors.safetensors")


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    """Relative error in the L2 norm, the measure that holds across machines."""
    assert actual.shape == expected.shape
    error = (actual - expected).norm() / expected.norm()
    assert error <= tolerance, f"relative L2 error {error:.2e}"


@pytest.fixture
def real_candles() -> Path:
    if not REAL_CANDLES.exists():
        pytest.skip("the real candles are not at hand")
    return REAL_CANDLES
