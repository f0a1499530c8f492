"""`kronos tune` as a user types it."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kronos.cli.commands import tune as tune_module
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


def invoke(config: Path, space: object, *arguments: object) -> Result:
    words = ["tune", "--config", config, "--space", space, *SHORT, *arguments]
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.mark.slow
def test_a_search_and_its_continuation(tiny_config: Path, space: Path, tmp_path: Path) -> None:
    done = invoke(tiny_config, space, "--trials", 1)
    assert done.exit_code == 0, done.output
    first, second, *lines = done.stderr.splitlines()
    assert first.startswith("tiny: search better settings, 1 trials, on ") and second == "loading PyTorch …"
    assert len(lines) == 1, "one line for each trial, and no other"
    assert re.match(
        r"trial 0  done    loss \d\.\d{5}  0:0.*predictor_learning_rate=0.01  best .* \(trial 0\)", lines[0]
    )
    assert "The best of 1 trials" in done.stdout and "as configured" in done.stdout
    tune_dir = tmp_path / "runs" / "tiny" / "tune"
    assert f"kronos train --config {tune_dir / 'best.yaml'}" in done.stdout
    assert f"picture        {tune_dir / 'curve.png'}" in done.stdout
    assert "basemodel  done" in (tune_dir / "trial-0000" / "logs" / "train.log").read_text()
    english = (tune_dir / "curve.png").read_bytes()
    again = invoke(tiny_config, f"\n{space.read_text()}", "--trials", 2, "--language", "zh")
    assert again.exit_code == 0 and [line[:8] for line in again.stderr.splitlines()[2:]] == ["试验 1  完成"]
    assert "2 次试验中最好的结果" in again.stdout and "当前配置" in again.stdout
    assert (tune_dir / "curve.png").read_bytes() != english
    late = invoke(tiny_config, space, "--trials", 9, "--timeout-minutes", 0)
    assert late.exit_code == 0 and "The time is up after 2 of 9 trials" in late.stdout


def test_lr_range_names_the_command_that_replaces_it() -> None:
    done = CliRunner().invoke(app, ["lr-range", "--config", "configs/demo.yaml", "--from", "1e-7"])
    assert done.exit_code == 2 and "kronos tune --config … --space configs/spaces/learning_rate.yaml" in done.stderr
    assert "lr-range" not in CliRunner().invoke(app, ["--help"]).stdout


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
