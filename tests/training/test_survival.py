"""Runs that are interrupted, in processes of their own: signals, a full disk, other numbers of processes."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.training.runs import equal, read_figures, run, weights
from tests.training.saved.test_checkpoints import small_disk  # noqa: F401
from tests.training.test_distributed import ENVIRONMENT, TORCHRUN, launch

TRAIN = [sys.executable, ROOT / "train_sequential.py"]
ONLY_BASE = "experiment.train_tokenizer=false"
LONG = ["report.n_origins=0", "training.basemodel_epochs=60", "training.save_steps=20", ONLY_BASE]  # 180 steps


def start(*command: object, **options: object) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([str(part) for part in command], text=True, env=ENVIRONMENT, **pipes | options)


def wait_for_step(process: subprocess.Popen[str], folder: Path, step: int) -> None:
    """Wait until a running training has logged a step."""

    def is_logged() -> bool:
        return any(f'"step": {step}, ' in line for line in read_lines(folder / "metrics.jsonl"))

    wait_for(process, is_logged)
    assert is_logged()


def wait_for(process: subprocess.Popen[str], is_reached: Callable[[], bool]) -> None:
    """Wait until something is reached or the process ends. A process that stalls is killed."""
    deadline = time.monotonic() + 200
    while process.poll() is None and not is_reached():
        if time.monotonic() > deadline:
            process.kill()
            pytest.fail("the training stalls")
        time.sleep(0.01)


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def count_logged(folder: Path) -> int:
    """Lines of figures that a run's stages have logged so far."""
    return sum(len(read_lines(path)) for path in folder.glob("*/metrics.jsonl"))


def last_step(folder: Path) -> int:
    return max(int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoints/checkpoint-*"))


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_at_its_step(
    tiny_config: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "runs/tiny/basemodel"
    settings = [*LONG, "training.basemodel_epochs=30"]
    process = start(*TRAIN, "--config", tiny_config, *settings)
    wait_for_step(process, folder, 27)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    step = last_step(folder)
    assert re.search(rf"stopped by SIGTERM .*at step {step}; run the same command with --skip-existing", said), said
    assert "Traceback" not in said
    assert step >= 27 and not json.loads((folder / "stage.json").read_text())["finished"]
    with caplog.at_level("INFO", logger="kronos"):
        run(tiny_config, *settings, stages=["basemodel"], skip_existing=True)
    assert f"resumes from {folder}/checkpoints/checkpoint-{step}" in caplog.text
    run(tiny_config, *settings, f"model_paths.base_path={tmp_path}/whole", stages=["basemodel"])
    assert equal(weights(folder), weights(tmp_path / "whole/tiny/basemodel"))
    assert read_figures(folder) == read_figures(tmp_path / "whole/tiny/basemodel")


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [
        pytest.param(TRAIN, id="alone"),
        pytest.param([*TORCHRUN, ROOT / "train_sequential.py"], id="torchrun"),
    ],
)
def test_sigterm_to_all_processes_and_their_workers(tiny_config: Path, tmp_path: Path, launcher: list) -> None:
    """As a cluster sends it; more than one, too."""
    process = start(
        *launcher,
        "--config",
        tiny_config,
        *LONG,
        "training.num_workers=2",
        "training.batch_size=4",
        start_new_session=True,
    )
    folder = tmp_path / "runs/tiny/basemodel"
    wait_for_step(process, folder, 5)
    for _ in range(2 if launcher is TRAIN else 1):
        os.killpg(process.pid, signal.SIGTERM)
        time.sleep(0.05)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 if launcher is TRAIN else process.returncode
    assert said.count("stopped by SIGTERM") == 1, said
    assert "DataLoader worker" not in said and (launcher is not TRAIN or "Traceback" not in said)
    assert (folder / f"checkpoints/checkpoint-{last_step(folder)}/complete.json").is_file()


@pytest.mark.slow
def test_sigterm_outside_the_training(tiny_config: Path) -> None:
    process = start(*TRAIN, "--config", tiny_config, "report.n_paths=3000", "report.n_origins=20")
    assert process.stderr
    while "basemodel  done" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "stopped by SIGTERM" in said and "Traceback" not in said


@pytest.mark.slow
def test_sigterm_to_one_of_two_ranks_stops_both_at_the_same_step(tiny_config: Path, tmp_path: Path) -> None:
    process = start(*TORCHRUN, ROOT / "train_sequential.py", "--config", tiny_config, *LONG, "training.batch_size=8")
    folder = tmp_path / "runs/tiny/basemodel"
    wait_for_step(process, folder, 5)
    ranks = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(ranks[-1]), signal.SIGTERM)
    _, said = process.communicate(timeout=100)
    assert process.returncode and len(re.findall("stopped by SIGTERM .*at step", said)) == 1, said
    files = {path.name for path in (folder / f"checkpoints/checkpoint-{last_step(folder)}").iterdir()}
    assert {"rng_state_0.pth", "rng_state_1.pth", "complete.json"} <= files


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_another_number_of_processes(tiny_config: Path, tmp_path: Path, before: int, after: int) -> None:
    """The same windows at the same steps; not bit for bit, which is said."""
    launchers = {1: TRAIN, 2: [*TORCHRUN, ROOT / "train_sequential.py"]}
    sizes = {1: "training.batch_size=16", 2: "training.batch_size=8"}
    arguments = ["--config", tiny_config, *LONG, "training.basemodel_epochs=8", "training.predictor_learning_rate=1e-4"]
    whole = launch(*launchers[before], *arguments, sizes[before], f"model_paths.base_path={tmp_path}/whole")
    assert whole.returncode == 0, whole.stderr
    folder = tmp_path / "runs/tiny/basemodel"
    process = start(*launchers[before], *arguments, sizes[before])
    wait_for_step(process, folder, 8)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=100)
    again = launch(
        *launchers[after], *arguments, sizes[before], "--skip-existing"
    )  # batch_size as it was, for the other
    assert again.returncode == 0, again.stderr
    assert (
        f"was started on {before} process" in again.stderr and "not identical to an uninterrupted run" in again.stderr
    )
    first, second = weights(tmp_path / "whole/tiny/basemodel"), weights(folder)
    for key in first:
        assert (first[key] - second[key]).norm() <= 1e-3 * first[key].norm() + 1e-4, key
    steps = [[figures[0] for figures in read_figures(path)] for path in (tmp_path / "whole/tiny/basemodel", folder)]
    assert steps[0] == steps[1]


@pytest.mark.slow
def test_a_full_disk_loses_nothing(tiny_config: Path, tmp_path: Path, small_disk: Path) -> None:  # noqa: F811
    arguments = ["--config", tiny_config, *LONG, "training.save_total_limit=100"]
    run_dir = small_disk / "tiny" / "basemodel"
    subprocess.run(["mount", "-o", "remount,size=6m", small_disk], check=True)
    full = launch(*TRAIN, *arguments, f"model_paths.base_path={small_disk}")
    assert full.returncode == 1 and "cannot be written" in full.stderr, full.stderr
    assert "Traceback" not in full.stderr and "--skip-existing to resume from the last checkpoint" in full.stderr
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    again = launch(*TRAIN, *arguments, f"model_paths.base_path={small_disk}", "--skip-existing")
    assert again.returncode == 0 and "resumes from" in again.stderr, again.stderr
    whole = launch(*TRAIN, *arguments, f"model_paths.base_path={tmp_path}/whole")
    assert whole.returncode == 0
    assert equal(weights(run_dir), weights(tmp_path / "whole/tiny/basemodel"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_kill_9_again_and_again(tiny_config: Path, tmp_path: Path, seed: int) -> None:
    """Killed at random moments of either stage until it ends: the same weights."""
    arguments = ["--config", tiny_config, "report.n_origins=0", "training.epochs=30", "training.save_steps=7"]
    arguments += ["training.tokenizer_epochs=20", "training.basemodel_epochs=30"]
    assert launch(*TRAIN, *arguments, f"model_paths.base_path={tmp_path}/whole").returncode == 0
    generator = random.Random(seed)
    n_killed = 0
    while True:
        n_lines = count_logged(tmp_path / "runs/tiny") + generator.randint(8, 40)  # of 150 steps; one saves every 7
        with (tmp_path / "output.txt").open("w") as output:  # nobody reads a pipe meanwhile
            process = start(*TRAIN, *arguments, "--skip-existing", stdout=output, stderr=output)
        wait_for(process, lambda n_lines=n_lines: count_logged(tmp_path / "runs/tiny") >= n_lines)
        time.sleep(generator.uniform(0, 0.5))
        process.kill()
        process.wait()
        if process.returncode != -signal.SIGKILL:
            break
        n_killed += 1
        assert n_killed < 60
    assert process.returncode == 0 and n_killed, (tmp_path / "output.txt").read_text()
    for stage in ("tokenizer", "basemodel"):
        assert equal(weights(tmp_path / "runs/tiny" / stage), weights(tmp_path / "whole/tiny" / stage))
