"""The main job as a user runs it, in processes of its own: shipped configs, real candles, kill -9."""

import json
import os
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
@pytest.mark.parametrize("candles", ["synthetic", "real"])
def test_the_demo(candles: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """configs/demo.yaml as shipped, but for fewer epochs and paths."""
    overrides = ["training.epochs=4", f"model_paths.base_path={tmp_path}", "evaluation.n_paths=10", "report.n_paths=1"]
    if candles == "real":
        overrides.append(f"data.data_path={request.getfixturevalue('real_candles')}")
    done = run("--config", "configs/demo.yaml", *overrides)
    record = json.loads((tmp_path / "demo" / "basemodel" / "stage.json").read_text())
    assert record["finished"] and not (tmp_path / "demo" / "tokenizer").exists()
    assert len(list((tmp_path / "demo" / "report").glob("forecast_*.png"))) == 4
    assert str(tmp_path / "demo" / "report") in done.stdout


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
