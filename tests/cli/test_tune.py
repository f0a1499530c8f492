"""`kronos tune` as a user types it."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kronos import load_config
from kronos.cli import tune as tune_module
from kronos.cli.main import app

SHORT = ("training.max_steps=2", "experiment.train_tokenizer=false")


@pytest.fixture(autouse=True)
def same_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text("training.predictor_learning_rate: {low: 1.0e-4, high: 0.1, log: true}\n")
    return path


def invoke(config: Path, space: Path, *arguments: object) -> Result:
    words = ["tune", "--config", config, "--space", space, *SHORT, *arguments]
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_search_and_its_continuation(tiny_config: Path, space: Path, tmp_path: Path) -> None:
    done = invoke(tiny_config, space, "--trials", 2)
    assert done.exit_code == 0, done.output
    lines = done.stderr.splitlines()
    assert len(lines) == 2, "one line a trial, and no other"
    assert re.match(
        r"trial 0  done    loss \d\.\d{5}  0:0.*predictor_learning_rate=0.01  best .* \(trial 0\)", lines[0]
    )
    assert "the best of 2 trials" in done.stdout and "as configured" in done.stdout
    best = tmp_path / "runs" / "tiny" / "tune" / "best.yaml"
    assert f"kronos train --config {best}" in done.stdout
    assert load_config(best).model_paths.base_save_path == tmp_path / "runs" / "tiny-best"
    log = (best.parent / "trial-0001" / "logs" / "train.log").read_text()
    assert "basemodel  done" in log and "trial" not in (best.parent / "trial-0001/logs/train.log").name
    again = invoke(tiny_config, space, "--trials", 3)
    assert again.exit_code == 0 and again.stderr.startswith("trial 2  ") and len(again.stderr.splitlines()) == 1
    late = invoke(tiny_config, space, "--trials", 9, "--timeout-minutes", 0)
    assert late.exit_code == 0 and "the time is up after 3 of 9 trials" in late.stdout


def test_bad_input(tiny_config: Path, space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("training.learning_rate: {low: 1, high: 2}\n")
    done = invoke(tiny_config, wrong)
    assert done.exit_code == 1 and "wrong.yaml:1: unknown key training.learning_rate" in done.stderr
    assert invoke(tiny_config, space, "--trials", 0).exit_code == 2
    assert invoke(tiny_config, space, "--stage", "none").exit_code == 2
    with monkeypatch.context() as patched:
        patched.setattr(tune_module, "find_spec", lambda name: None)
        done = invoke(tiny_config, space)
        assert done.exit_code == 1 and "pip install optuna" in done.stderr
    for name, value in {
        "WORLD_SIZE": "2",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "x",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    done = invoke(tiny_config, space)
    assert done.exit_code == 1 and "start the same command several times" in done.stderr
    assert not (tmp_path / "runs").exists()
