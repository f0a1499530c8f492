"""What tests of training share."""

from pathlib import Path

import pytest
from accelerate import PartialState

from kronos.config import load_config


@pytest.fixture(autouse=True)
def on_cpu() -> None:
    PartialState(cpu=True)


@pytest.fixture
def run_dir(tiny_config: Path) -> Path:
    return load_config(tiny_config).model_paths.base_save_path
