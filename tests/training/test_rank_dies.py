"""A rank that is killed in the middle of training ends the whole run, soon and with a message."""

import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.training.test_distributed import ENVIRONMENT, TORCHRUN

ENDS_WITHIN_SECONDS = 60


def wait_for_step(log: Path, launcher: subprocess.Popen[bytes], step: int) -> None:
    deadline = time.monotonic() + 120
    while not log.is_file() or f"step {step}/" not in log.read_text():
        assert launcher.poll() is None
        assert time.monotonic() < deadline, "training never came so far"
        time.sleep(0.2)


def rank_process(launcher: subprocess.Popen[bytes], rank: int) -> psutil.Process:
    children = psutil.Process(launcher.pid).children()
    return next(child for child in children if child.environ().get("RANK") == str(rank))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_the_run(tiny_config: Path, tmp_path: Path, rank: int) -> None:
    log = tmp_path / "stderr.txt"
    settings = ["training.batch_size=8", "training.tokenizer_epochs=10000"]
    command = [*TORCHRUN, ROOT / "train_sequential.py", "--config", tiny_config, *settings]
    with log.open("wb") as stderr:
        launcher = subprocess.Popen([str(part) for part in command], stderr=stderr, env=ENVIRONMENT)
    try:
        wait_for_step(tmp_path / "runs/tiny/logs/train.log", launcher, 20)
        survivor = rank_process(launcher, 1 - rank)
        rank_process(launcher, rank).kill()
        assert launcher.wait(ENDS_WITHIN_SECONDS) != 0
        assert not survivor.is_running()
    finally:
        for process in [*psutil.Process(launcher.pid).children(), launcher] if launcher.poll() is None else []:
            process.kill()
    said = log.read_text()
    assert "SIGKILL" in said  # torchrun's own account
    assert f"rank      : {rank}" in said
