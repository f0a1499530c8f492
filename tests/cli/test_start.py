"""Signals at any moment, and output that cannot be written, of programs in processes of their own."""

import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import FAST, ROOT
from tests.training.test_distributed import TORCHRUN
from tests.training.test_survival import LONG, TRAIN, last_step, start, wait_for, wait_for_step

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs the signals of POSIX"),
]
KRONOS = [sys.executable, "-m", "kronos"]
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def run_in_shell(line: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment, cwd=ROOT, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [
        (">/dev/full", 1, "error: the output cannot be written: No space left on device. All else is done.\n"),
        (">/dev/full 2>/dev/full", 1, ""),
        ("| true; exit ${PIPESTATUS[0]}", 0, ""),
        (">&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
    ],
)
def test_output_that_cannot_be_written(redirection: str, status: int, said: str) -> None:
    done = run_in_shell(f"{shlex.join(KRONOS)} --help {redirection}")
    assert (done.returncode, done.stderr) == (status, said)


@pytest.mark.parametrize("option", ["", "-u"])
def test_a_line_is_written_at_once(option: str) -> None:
    """PYTHONUNBUFFERED and -u, as containers set them, must not delay what is logged."""
    script = "import sys, time; from kronos.cli import start; start.prepare(); print('line', file=sys.stderr); time.sleep(60)"
    process = start(sys.executable, *filter(None, [option]), "-c", script)
    try:
        assert process.stderr and process.stderr.readline() == "line\n"
    finally:
        process.kill()
        _, rest = process.communicate()
    assert process.returncode == -signal.SIGKILL and not rest


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["2>/dev/full", ">&- 2>&-", "2>&1 | head -1; exit ${PIPESTATUS[0]}"])
def test_training_survives_a_console_that_cannot_be_written(
    tiny_config: Path, tmp_path: Path, redirection: str
) -> None:
    done = run_in_shell(f"{shlex.join(map(str, [*TRAIN, '--config', tiny_config, *FAST]))} {redirection}")
    run = tmp_path / "runs/tiny"
    assert done.returncode == 0 and (run / "report/metrics.json").is_file(), done.stderr
    assert "time  Total" in (run / "logs/train.log").read_text().splitlines()[-1]


def test_a_signal_during_the_imports() -> None:
    """The program is ready for signals before it imports anything slow."""
    script = "import os, signal, kronos.cli.start as s; s.prepare(); os.kill(os.getpid(), signal.SIGINT)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 130 and done.stderr.startswith("stopped by SIGINT; run the same command again: kronos")
    slow = "import sys, kronos.cli.start; sys.exit(' '.join({'torch', 'pydantic', 'pandas', 'typer'} & set(sys.modules)) or 0)"
    done = subprocess.run([sys.executable, "-c", slow], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_an_ignored_signal_stays_ignored() -> None:
    script = "import os, signal, kronos.cli.start as s; s.prepare(); os.kill(os.getpid(), signal.SIGHUP); print('here')"
    done = subprocess.run(
        ["nohup", sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0 and done.stdout == "here\n"


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_closed_terminal_leave_a_checkpoint(
    tiny_config: Path, tmp_path: Path, signum: signal.Signals
) -> None:
    process = start(*TRAIN, "--config", tiny_config, *LONG, start_new_session=True)
    folder = tmp_path / "runs/tiny/basemodel"
    wait_for_step(process, folder, 3)
    os.killpg(process.pid, signum)
    _, said = process.communicate(timeout=60)
    assert process.returncode == STATUS[signum] and "Traceback" not in said
    step = last_step(folder)
    command = shlex.join(["python", "train_sequential.py", "--config", str(tiny_config), *LONG, "--skip-existing"])
    line = said.splitlines()[-1].replace("in the validation ", "")
    assert line == (
        f"stopped by {signum.name} at step {step}; run the same command with --skip-existing to resume from the last "
        f"checkpoint: {command}"
    )


@pytest.mark.slow
def test_a_second_ctrl_c_quits_at_once(tiny_config: Path) -> None:
    """While the first one waits for the end of a step that takes forever."""
    script = (
        "import sys, time; from kronos.cli import start; from kronos.training import trainer\n"
        "trainer.KronosTrainer.training_step = lambda *given: (print('step', flush=True), "
        "[time.sleep(0.01) for _ in range(100000)])\n"
        f"sys.argv = {['train_sequential.py', '--config', str(tiny_config), *LONG]!r}\n"
        "start.run_script('kronos.cli.commands.train:train_command')"
    )
    process = start(sys.executable, "-c", script)
    assert process.stdout and process.stdout.readline() == "step\n"
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in said and said.count("stopped by SIGINT;") == 1


@pytest.mark.slow
def test_ctrl_c_under_torchrun(tiny_config: Path, tmp_path: Path) -> None:
    """The terminal sends it to all processes, and torchrun once more to its own."""
    words = ["--config", tiny_config, *LONG, "training.batch_size=8"]
    process = start(*TORCHRUN, ROOT / "train_sequential.py", *words, start_new_session=True)
    folder = tmp_path / "runs/tiny/basemodel"
    wait_for_step(process, folder, 5)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert process.returncode and said.count("stopped by SIGINT") == 1, said
    assert (folder / f"checkpoints/checkpoint-{last_step(folder)}/complete.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "check", "dry run"])
def test_a_signal_at_any_moment(tiny_config: Path, copied_run: Path, command: str) -> None:
    """From the first import to the last picture: one line, the usual exit status, no process left."""
    words = {
        "train": [*TRAIN, "--config", tiny_config, *FAST],
        "evaluate": [*KRONOS, "evaluate", "--run", copied_run, "evaluation.rivals=[last_close]"],
        "predict": [*KRONOS, "predict", "--run", copied_run, "--out", copied_run / "out"],
        "check": [*KRONOS, "check", "--config", tiny_config],
        "dry run": [*TRAIN, "--config", tiny_config, "--dry-run"],
    }[command]
    began = time.monotonic()
    whole = start(*words)
    _, said = whole.communicate(timeout=200)
    assert not whole.returncode, said
    took, generator, n_stopped = time.monotonic() - began, random.Random(command), 0
    for signum in 2 * [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]:
        process = start(*words, start_new_session=True)
        wait_for(process, partial(handles_signals, process.pid))
        time.sleep(generator.uniform(0, took))
        if process.poll() is None:
            os.killpg(process.pid, signum)
        _, said = process.communicate(timeout=60)
        if process.returncode == 0:  # it ended before
            took /= 2
            continue
        n_stopped += 1
        assert process.returncode == STATUS[signum], said
        assert said.count(f"stopped by {signum.name}") == 1 and "Traceback" not in said, said
        assert said.splitlines()[-1].startswith(f"stopped by {signum.name}") and " command " in said
    assert n_stopped


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_a_trial_begins(tiny_config: Path, tmp_path: Path, signum: signal.Signals) -> None:
    """The trial's log lines go to a file; the line about the signal goes to the terminal, too."""
    space = "training.predictor_learning_rate: {low: 1.0e-4, high: 0.1}"
    words = ["tune", "--config", tiny_config, "--space", space, "experiment.train_tokenizer=false", "--trials", 2]
    process = start(*KRONOS, *words, start_new_session=True)
    logs = (tmp_path / "runs/tiny/tune").glob
    wait_for(process, lambda: bool(list(logs("trial-*/logs/train.log"))))
    os.killpg(process.pid, signum)
    _, said = process.communicate(timeout=60)
    assert process.returncode == STATUS[signum] and said.count(f"stopped by {signum.name}") == 1, said
    assert "run the same command to continue the search: python -m kronos tune" in said and "Traceback" not in said
    again = start(*KRONOS, *words)
    _, said = again.communicate(timeout=200)
    assert again.returncode == 0, said


def handles_signals(process: int) -> bool:
    """Whether a process has set its handlers: before, Python itself is starting."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it has ended
        return True
    (caught,) = re.findall(r"SigCgt:\s*([0-9a-f]+)", status)
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
