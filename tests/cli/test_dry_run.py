"""--dry-run as a user sees it."""

from pathlib import Path

import pytest

from kronos.cli.session import lock_run_folder
from kronos.cli.train import train_base_model, train_tokenizer
from kronos.run_folder import RunFolder
from tests.cli.test_commands import invoke, script
from tests.conftest import ROOT
from tests.planning.test_plan import snapshot
from tests.training.test_distributed import TORCHRUN, launch


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("COLUMNS", "80")


def row(output: str, label: str) -> str:
    return next(line for line in output.splitlines() if line.startswith(label))


def test_the_plan_as_printed(tiny_config: Path, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    result = invoke("--config", tiny_config, "--dry-run")
    assert result.exit_code == 0, result.output
    assert snapshot(tmp_path) == before and not (tmp_path / "runs").exists()
    output = result.stdout
    assert max(len(line) for line in output.splitlines()) <= 80
    assert row(output, "train").split() == ["train", "84", "61", "3"]
    assert row(output, "steps").split()[:8] == ["steps", "6", "=", "2", "epochs", "of", "3", "6"]
    assert row(output, "learning rate").count("0.01, cosine") == 2
    assert row(output, "--skip-existing").count("nothing to go on from") == 2
    for label in ("candles", "audit", "a step", "time", "peak memory", "a checkpoint", "in all", "disk"):
        assert row(output, label)
    assert not [line for line in output.splitlines() if line.startswith("verdict")]  # it is switched off
    assert "A step takes 16 windows, but only 3" in output and "(large_batch)" in output
    assert "Traceback" not in result.output and "validation loss" not in result.output


def test_the_evidence_for_the_verdict_is_said_before(tiny_config: Path) -> None:
    on = invoke("--config", tiny_config, "--dry-run", "evaluation.enabled=true")
    assert "from about 1 independent origin in the test split" in " ".join(on.stdout.split())
    no_test = ["data.val_ratio=0.3", "data.test_ratio=0.0", "evaluation.enabled=true", "evaluation.budget_minutes=null"]
    without = " ".join(invoke("--config", tiny_config, "--dry-run", *no_test).stdout.split())
    assert "from about 2 independent origins in the later half of validation" in without


def test_an_earlier_run_is_left_alone(tiny_config: Path, tmp_path: Path) -> None:
    assert invoke("--config", tiny_config).exit_code == 0
    before = snapshot(tmp_path)
    plain = invoke("--config", tiny_config, "--dry-run")
    skipping = invoke("--config", tiny_config, "--dry-run", "--skip-existing")
    assert plain.exit_code == skipping.exit_code == 0
    assert snapshot(tmp_path) == before
    assert row(plain.stdout, "what is there").count("set aside") == 2
    assert "finished before, skipped" in plain.stdout
    assert row(skipping.stdout, "in all").removeprefix("in all").strip() == "nothing would be trained"
    with lock_run_folder(RunFolder(tmp_path / "runs" / "tiny")):  # beside a run that is under way
        assert invoke("--config", tiny_config, "--dry-run").exit_code == 0


def test_one_stage_alone(tiny_config: Path) -> None:
    first = invoke("--config", tiny_config, "--dry-run", command=train_tokenizer)
    second = invoke("--config", tiny_config, "--dry-run", command=train_base_model)
    headings = [[line.strip() for line in each.stdout.splitlines()] for each in (first, second)]
    assert "tokenizer" in headings[0] and "base model" not in first.stdout
    assert "base model" in headings[1] and "tokenizer" not in headings[1]


def test_what_stops_a_run_stops_its_plan(tiny_config: Path, tmp_path: Path) -> None:
    result = invoke("--config", tiny_config, "--dry-run", "training.batch_size=100")
    assert result.exit_code == 1 and "only 61 train windows" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_the_scripts_piped(tiny_config: Path, tmp_path: Path) -> None:
    done = script("train_sequential.py", "--config", tiny_config, "--dry-run", cwd=tmp_path, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout and done.stderr == ""
    assert not (tmp_path / "runs").exists()


def test_two_ranks_make_one_plan(tiny_config: Path, tmp_path: Path) -> None:
    done = launch(
        *TORCHRUN, ROOT / "train_sequential.py", "--config", tiny_config, "training.batch_size=8", "--dry-run"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Dry run") == 1
    assert row(done.stdout, "windows a step").count("16 (2 ranks × 8)") == 2
    assert not (tmp_path / "runs").exists()
