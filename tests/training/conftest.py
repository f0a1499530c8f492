"""What tests of training share."""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from accelerate import PartialState

from kronos.config import load_config
from kronos.training import RunResult
from tests.conftest import write_tiny_config
from tests.training.runs import run


@pytest.fixture(autouse=True)
def on_cpu() -> None:
    PartialState(cpu=True)


@pytest.fixture
def run_dir(tiny_config: Path) -> Path:
    return load_config(tiny_config).model_paths.base_save_path


@dataclass(frozen=True)
class FinishedRun:
    """Both stages of the tiny configuration, trained once for all tests that only read the result."""

    config_path: Path
    run_dir: Path
    result: RunResult
    messages: list[str]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    PartialState(cpu=True)
    config_path, messages = write_tiny_config(tmp_path_factory.mktemp("finished")), []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger("kronos")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        result = run(config_path)
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return FinishedRun(config_path, load_config(config_path).model_paths.base_save_path, result, messages)


@pytest.fixture
def finished_copy(finished: FinishedRun, run_dir: Path) -> Path:
    """A copy of the finished run, in the folder that the test's own configuration names."""
    return Path(shutil.copytree(finished.run_dir, run_dir))
