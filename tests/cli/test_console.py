"""What a run shows: few lines that fit the terminal, one bar at a time, and the details in the log file."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from rich.cells import cell_len

from kronos.cli.output.ending import LABEL_WIDTH
from tests.conftest import FAST, ROOT, FinishedRun, invoke

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
MOST_LINES = 40


def test_a_run_shows_few_lines_and_the_log_file_has_the_rest(finished_run: FinishedRun) -> None:
    shown = finished_run.output.output
    warnings = re.findall(r"\([a-z_]+\)$", shown, re.MULTILINE)  # each with its code: few candles, few steps, …
    assert len(shown.splitlines()) - len(warnings) <= MOST_LINES, shown
    first, second, *_ = shown.splitlines()
    assert first.startswith("tiny: train the tokenizer ") and str(finished_run.candles) in first
    assert second == "loading PyTorch …"
    log = (finished_run.path / "logs" / "train.log").read_text(encoding="utf-8")
    for detail in ("recipe published: ", "step 3/3  epoch", "(before training)", "verdict: ", "time  Training steps"):
        assert detail in log and detail not in shown, detail
    *_, title, forecast, judge = shown.splitlines()
    assert title == "Next: forecast from the last candle, judge the model on later candles"
    assert forecast.strip().endswith(f"kronos predict --run {finished_run.path}")
    assert "kronos evaluate --run " in judge and " --since " in judge


def test_verbose_shows_the_details(tiny_config: Path) -> None:
    few = ["--skip-tokenizer", "report.n_origins=0", "training.max_steps=1"]
    done = invoke("train", "--config", tiny_config, *few, "-v")
    assert done.exit_code == 0 and "basemodel  step 1/1  epoch" in done.stderr, done.output


def run_in_terminal(command: list[str], columns: int, folder: Path | None = None) -> str:
    """Return what a command writes to a terminal of a width."""
    terminal, own = pty.openpty()
    fcntl.ioctl(own, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    process = subprocess.Popen(
        command, stdin=own, stdout=own, stderr=own, env=environment | {"TERM": "xterm"}, cwd=folder
    )
    os.close(own)
    written = b""
    try:
        while block := os.read(terminal, 1 << 16):
            written += block
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    assert process.wait(timeout=60) == 0, written.decode()
    return ANSI.sub("", written.decode()).replace("\r\n", "\n")


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(("columns", "language"), [(80, "en"), (200, "zh")])
def test_lines_fit_the_terminal(tiny_config: Path, columns: int, language: str) -> None:
    words = ["--config", str(tiny_config), *FAST, "--skip-tokenizer", f"report.language={language}"]
    shown = run_in_terminal([sys.executable, str(ROOT / "train_sequential.py"), *words], columns)
    lines = shown.split("\n")
    drawn = [part for line in lines for part in line.split("\r")]
    texts = {part[LABEL_WIDTH:] for part in drawn if cell_len(part) > columns}
    broken = {text for text in texts if " " in text.strip() and "kronos " not in text}
    assert not broken and all("/" in text for text in texts), "only paths and commands stay whole"
    bars = [part for part in drawn if "%|" in part]
    assert any(part.startswith("basemodel") for part in bars)
    assert not [line for line in lines if "%|" in line.rpartition("\r")[2]], "a bar is gone when a line follows"


@pytest.mark.slow
@pytest.mark.process
def test_the_demo_fits_on_forty_lines(tmp_path: Path) -> None:
    shown = run_in_terminal([sys.executable, "-m", "kronos", "demo"], 80, tmp_path)
    lines = [line.rpartition("\r")[2] for line in shown.rstrip("\n").split("\n")]
    assert len(lines) <= MOST_LINES, "\n".join(lines)
    assert any("kronos predict --run finetuned/demo" in line for line in lines), "a command is never broken"
