"""The main job as a user runs it, in processes of its own: shipped configs, real candles, kill -9."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import ROOT, invoke

pytestmark = pytest.mark.process


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "train_sequential.py"), *map(str, arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_demo_helps(seed: int, tmp_path: Path) -> None:
    """As shipped, and with other candles and another order of training."""
    candles, script = tmp_path / "season.csv", ROOT / "examples" / "demo_market.py"
    own = [sys.executable, str(script), "--seed", str(seed)]
    subprocess.run([*own, "--out", str(candles)], check=True)
    overrides = [f"data.data_path={candles}", f"training.seed={seed}", f"model_paths.base_path={tmp_path}"]
    done = run("--config", "configs/demo.yaml", *overrides)
    assert "Fine-tuning helped" in done.stdout and not (tmp_path / "demo" / "tokenizer").exists()
    assert len(list((tmp_path / "demo" / "report").glob("forecast_*.png"))) == 4
    assert str(tmp_path / "demo" / "report") in done.stdout
    compared = subprocess.run(
        [*own, "--run", str(tmp_path / "demo")], capture_output=True, text=True, check=True
    ).stdout
    tuned, _, known = map(int, re.findall(r"([+-]\d+)%", compared))  # the second is the LSTM
    assert known < tuned < 0


@pytest.mark.slow
def test_the_demo_on_a_random_walk_shows_no_skill(tmp_path: Path) -> None:
    done = run("--config", "configs/demo_random_walk.yaml", f"model_paths.base_path={tmp_path}")
    assert "No skill shown" in done.stdout and "The model has skill" not in done.stdout


@pytest.mark.slow
def test_the_demo_on_real_candles(real_candles: Path, tmp_path: Path) -> None:
    overrides = [f"data.data_path={real_candles}", f"model_paths.base_path={tmp_path}", "training.epochs=2"]
    done = run("--config", "configs/demo.yaml", *overrides, "evaluation.n_paths=10", "report.n_paths=1")
    assert str(tmp_path / "demo" / "report") in done.stdout


@pytest.mark.slow
def test_kill_9_in_the_middle_of_stage_2(tiny_config: Path, tmp_path: Path) -> None:
    arguments = ["--config", tiny_config, "training.basemodel_epochs=12", "training.save_steps=4", "report.n_origins=0"]
    whole = invoke("train", *arguments, f"model_paths.base_path={tmp_path / 'whole'}")
    assert whole.exit_code == 0, whole.output
    killed = [*arguments, f"model_paths.base_path={tmp_path / 'killed'}", "--skip-existing"]
    run_dir = tmp_path / "killed" / "tiny"
    process = subprocess.Popen(command(*killed), stderr=subprocess.DEVNULL, cwd=ROOT)
    deadline = time.monotonic() + 300
    while not list(run_dir.glob("basemodel/checkpoints/checkpoint-*/complete.json")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not json.loads((run_dir / "basemodel" / "stage.json").read_text())["finished"]
    again = run(*killed)
    assert "tokenizer  finished before, skipped" in again.stderr
    assert "basemodel  interrupted before, resumes from" in again.stderr
    for name in ("tokenizer/best_model", "basemodel/best_model", "basemodel/checkpoints/checkpoint-36"):
        first, second = (
            load_file(d / "tiny" / name / "model.safetensors") for d in (tmp_path / "whole", run_dir.parent)
        )
        assert all(torch.equal(first[key], second[key]) for key in first), name
