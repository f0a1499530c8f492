"""`kronos lr-range` as a user types it."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from kronos.cli.lr_range import _sentence
from kronos.cli.main import app
from kronos.tuning.lr_range import LrRange


@pytest.fixture(autouse=True)
def same_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def invoke(config: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, ["lr-range", "--config", str(config), *map(str, arguments)])


def test_a_picture_figures_and_a_sentence(tiny_config: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "runs" / "tiny"
    done = invoke(tiny_config, "--stage", "tokenizer", "--from", 1e-5, "--to", 1, "--steps", 30)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("tokenizer: ") and "configured is 1.0e-02" in done.stdout
    files = {path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*") if path.is_file()}
    assert files == {"report/lr_range_tokenizer.png", "report/lr_range_tokenizer.json"}
    figures = json.loads((run_dir / "report" / "lr_range_tokenizer.json").read_text())
    assert figures["configured"] == 0.01 and len(figures["rate"]) == len(figures["loss"]) == len(figures["smoothed"])


def test_bad_input(tiny_config: Path, tmp_path: Path) -> None:
    done = invoke(tiny_config, "--from", 1, "--to", 0.1)
    assert done.exit_code == 1 and "--from 1 --to 0.1: the rates must be more than 0 and grow" in done.stderr
    assert invoke(tiny_config, "--stage", "both").exit_code == 2
    assert not (tmp_path / "runs").exists()


def found(configured: float, steepest: float | None, diverged: float | None) -> LrRange:
    array = np.ones(3)
    return LrRange("basemodel", array, array, array, configured, steepest, diverged)


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        (found(1e-3, 1e-3, 0.1), "suggested (the loss falls fastest there); stay below 1.0e-02"),
        (found(1e-3, 1e-3, 0.1), "configured is 1.0e-03, about the same"),
        (found(1e-2, 1e-3, None), "configured is 1.0e-02, 10 times as much"),
        (found(1e-4, 1e-3, None), "configured is 1.0e-04, 10 times less"),
        (found(1e-3, 1e-1, 0.1), "1.0e-02 is suggested (a tenth of where learning is undone)"),
        (found(1e-3, None, 0.1), "does not fall clearly at any rate"),
    ],
)
def test_the_sentence(measured: LrRange, words: str) -> None:
    assert words in _sentence(measured) and "\n" not in _sentence(measured)
