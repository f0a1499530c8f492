"""What all tests share. Everything runs offline, on the CPU, without anything outside the repository."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["OMP_NUM_THREADS"] = (
    "1"  # for models this small; and threads that wait for each other on a busy machine crawl
)

import pytest
from safetensors.torch import load_file
from torch import Tensor

ROOT = Path(__file__).parents[1]
GOLDEN = Path(__file__).parent / "golden"
REAL_CANDLES = ROOT.parent / "shared" / "data" / "ashare_600977_5min.csv"


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


TINY_CONFIG = """
data:
  data_path: {candles}
  lookback_window: 16
  predict_window: 8
  max_context: 24
  train_ratio: 0.7
  val_ratio: 0.2
  test_ratio: 0.1
  cache_dir: {base_path}/cache
training:
  tokenizer_epochs: 2
  basemodel_epochs: 2
  batch_size: 16
  log_interval: 1
  precision: fp32
  seed: 1
  tokenizer_learning_rate: 0.01
  predictor_learning_rate: 0.01
model_paths:
  pretrained_tokenizer: {golden}/tokenizer
  pretrained_predictor: {golden}/predictor
  exp_name: tiny
  base_path: {base_path}
evaluation:
  enabled: false
report:
  n_origins: 2
  n_paths: 2
"""


def write_tiny_config(folder: Path) -> Path:
    """A YAML with which both stages take seconds: 120 synthetic candles, the golden models, no dropout."""
    candles = folder / "candles.csv"
    candles.write_text("".join((ROOT / "data" / "synthetic_5min.csv").open().readlines()[:121]))
    path = folder / "tiny.yaml"
    path.write_text(TINY_CONFIG.format(candles=candles, golden=GOLDEN, base_path=folder / "runs"))
    return path


@pytest.fixture
def tiny_config(tmp_path: Path) -> Path:
    """`write_tiny_config`, in a folder of the test's own."""
    return write_tiny_config(tmp_path)
