"""An evaluation that is killed, stopped, out of disk, or shared by two processes."""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from kronos.evaluation.invented_drift.walks import N_WALKS
from kronos.evaluation.results import Evaluation
from tests.cli.test_evaluate import evaluate, figures, read, stamps, write_candles
from tests.conftest import FAST, ROOT, FinishedRun
from tests.training.saved.test_checkpoints import small_disk  # noqa: F401
from tests.training.test_distributed import TORCHRUN, launch
from tests.training.test_survival import start

EVALUATE = [sys.executable, "-m", "kronos", "evaluate", "--run"]
pytestmark = pytest.mark.process
MANY = [
    "evaluation.invented_drift=false",
    "evaluation.stride=1",
    "evaluation.n_paths=30",
    "evaluation.rivals=[pretrained, drift]",
]


@pytest.fixture
def command(finished_run: FinishedRun, tmp_path: Path) -> tuple[Path, list[object]]:
    """A copy of the shared run before its evaluation, and the command that evaluates it on candles for 65 origins."""
    run = tmp_path / "run"
    shutil.copytree(finished_run.path, run, ignore=shutil.ignore_patterns("report", "evaluation", "checkpoints"))
    newer = write_candles(tmp_path / "newer.csv", 0, 180)
    return run, [*EVALUATE, run, "--data", newer, *MANY]


def wait_for_forecasts(process: subprocess.Popen[str], run: Path, n: int) -> None:
    deadline = time.monotonic() + 200
    while len(list(run.rglob("forecasts/*/[0-9]*.npz"))) < n:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_in_the_middle(command: tuple[Path, list[object]]) -> None:
    run, words = command
    process = start(*words)
    wait_for_forecasts(process, run, 2)
    process.kill()
    process.communicate()
    before = stamps(run)
    assert 2 <= len(before) < 10 and not (run / "report-newer").exists()
    again = launch(*words)
    assert again.returncode == 0, again.stderr
    after = stamps(run)
    assert before.items() <= after.items() and len(after) == 2 * 5 and read(run / "report-newer").n_origins == 65
    shutil.rmtree(run / "evaluation")
    whole = figures(run / "report-newer")
    assert launch(*words).returncode == 0 and figures(run / "report-newer") == whole  # as if it had not been killed


@pytest.mark.slow
def test_stopped_by_sigterm(command: tuple[Path, list[object]]) -> None:
    run, words = command
    process = start(*words)
    wait_for_forecasts(process, run, 1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in said, said
    assert (
        "stopped by SIGTERM; finished forecasts are kept; run the same command to resume: python -m kronos evaluate --run"
        in said
    )


@pytest.mark.slow
def test_a_full_disk(command: tuple[Path, list[object]], small_disk: Path) -> None:  # noqa: F811
    subprocess.run(["mount", "-o", "remount,size=2m", small_disk], check=True)
    run = small_disk / "run"
    shutil.copytree(command[0], run)
    models = {path: path.read_bytes() for path in run.rglob("best_model/*")}
    words = [*EVALUATE, run, *command[1][len(EVALUATE) + 1 :], "evaluation.n_paths=2000"]
    full = launch(*words)
    assert full.returncode == 1 and "Traceback" not in full.stderr, full.stderr
    errors = [line for line in full.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "No space left on device" in errors[0] and str(run / "evaluation") in errors[0]
    assert models and all(path.read_bytes() == content for path, content in models.items())
    kept = stamps(run)
    subprocess.run(["mount", "-o", "remount,size=100m", small_disk], check=True)
    again = launch(*words)
    assert again.returncode == 0 and kept.items() <= stamps(run).items(), again.stderr


@pytest.mark.slow
def test_two_processes_find_what_one_finds(tiny_config: Path, tmp_path: Path) -> None:
    words = [*FAST, "training.batch_size=8", "evaluation.stride=1"]
    two = launch(*TORCHRUN, ROOT / "train_sequential.py", "--config", tiny_config, *words)
    assert two.returncode == 0, two.stderr
    run = tmp_path / "runs/tiny"
    found = read(run / "report")
    log = (run / "logs" / "train.log").read_text(encoding="utf-8")
    assert two.stdout.count(found.headline) == log.count(found.headline) == 1, "printed and logged by one process"
    assert two.stdout.count("report    ") == 1 and log.count("forecasting from") == 1
    assert found.environment["processes"] == "2" and len(stamps(run)) == 2 * 2  # a share each
    shutil.rmtree(run / "evaluation")
    one = evaluate(run)
    assert one.exit_code == 0, one.output
    assert_same(found, read(run / "report"))


@pytest.mark.slow
def test_two_processes_evaluate(command: tuple[Path, list[object]]) -> None:
    run = command[0]
    words = ["--all-origins", "evaluation.invented_drift=true"]
    two = launch(
        *TORCHRUN, "-m", "--", "kronos", "evaluate", "--run", run, *words
    )  # without --, torchrun takes --run for its own
    assert two.returncode == 0, two.stderr
    (report,) = run.glob("report-with-*")
    found = read(report)
    assert two.stdout.count(found.headline) == 1
    assert found.environment["processes"] == "2"
    shutil.rmtree(run / "evaluation")
    assert evaluate(run, *words).exit_code == 0
    again = read(report)
    assert_same(found, again)
    for mine, theirs in zip(found.invented_drift, again.invented_drift, strict=True):
        assert mine.n_walks == theirs.n_walks == N_WALKS
        assert mine.drift.overall == pytest.approx(theirs.drift.overall, rel=1e-3)
    assert len(found.invented_drift) == 2


def assert_same(one: Evaluation, other: Evaluation) -> None:
    """But for rounding, which depends on which origins are forecast together."""
    assert one.headline == other.headline and one.examples[0].row == other.examples[0].row
    for mine, theirs in zip(one.forecasters, other.forecasters, strict=True):
        for name in ("crps", "mae"):
            mine_by, theirs_by = mine.log_return[name].by_horizon, theirs.log_return[name].by_horizon
            assert mine_by == pytest.approx(theirs_by, rel=1e-3, abs=1e-7), name
    for first, second in zip(one.comparisons, other.comparisons, strict=True):
        assert first.outcome == second.outcome and first.skill == pytest.approx(second.skill, rel=1e-3, abs=1e-4)


@pytest.mark.slow
def test_the_progress_bar_is_for_terminals(command: tuple[Path, list[object]]) -> None:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    words = command[1]
    process = subprocess.Popen([*map(str, words)], stdout=subprocess.DEVNULL, stderr=slave, cwd=ROOT)
    os.close(slave)
    said = b""
    while True:
        try:
            said += os.read(master, 4096)
        except OSError:  # all is said
            break
    assert process.wait(timeout=100) == 0 and b"forecasts of finetuned" in said, said
