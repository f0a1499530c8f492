"""--dry-run as a user sees it."""

from pathlib import Path

import pytest

from kronos.cli.commands.train import train_tokenizer
from kronos.cli.dry_run import _describe_evaluation
from kronos.planning.plan import SplitPlan
from kronos.report.words.catalogue import Words
from kronos.run_folder import RunFolder, lock_run_folder
from tests.cli.test_commands import invoke, script
from tests.conftest import ROOT
from tests.planning.test_advice import configure
from tests.planning.test_advice import plan as make_plan
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
    result = invoke("--config", tiny_config, "--dry-run", "evaluation.enabled=true")
    assert result.exit_code == 0, result.output
    assert snapshot(tmp_path) == before and not (tmp_path / "runs").exists()
    output = result.stdout
    assert max(len(line) for line in output.splitlines()) <= 80
    assert row(output, "train").split() == ["train", "84", "61", "3"]
    assert row(output, "steps").split()[:8] == ["steps", "6", "=", "2", "epochs", "of", "3", "6"]
    assert row(output, "learning rate").count("0.01, cosine") == 2
    assert row(output, "--skip-existing").count("nothing to resume") == 2
    for label in ("candles", "audit", "time per step", "time", "peak memory", "checkpoint size", "total", "disk"):
        assert row(output, label)
    assert "on the test split (independent origins: about 1)" in " ".join(output.split())
    assert row(output, "recipe").split()[1] == "published."
    assert "For these candles we suggest recipe=safe. With only 3 independent validation windows" in " ".join(
        output.split()
    )
    assert "Only 3 independent validation windows" in output and "(few_validations)" in output
    assert "Traceback" not in result.output and "validation loss" not in result.output


def test_one_stage_in_chinese(tiny_config: Path) -> None:
    result = invoke("--config", tiny_config, "--dry-run", "report.language=zh", command=train_tokenizer)
    assert result.exit_code == 0, result.output
    assert "分词器（tokenizer）" in result.stdout and "基座模型" not in result.stdout
    assert row(result.stdout, "学习率").split() == ["学习率", "0.01,", "cosine"]
    assert row(result.stdout, "步数").split()[1:4] == ["6", "=", "2"] and not [
        line for line in result.stdout.splitlines() if line.startswith("评估结论")
    ]
    assert "独立的验证窗口只有3个" in "".join(result.stdout.split())


def test_the_evidence_without_a_test_split() -> None:
    splits = {"train": SplitPlan(84, 61, 3, 3), "val": SplitPlan(36, 29, 9, 5)}
    overrides = ["evaluation.budget_minutes=null"]
    text = _describe_evaluation(make_plan(config=configure(*overrides), splits=splits), Words("en"))
    assert "on the later half of validation" in text and "origins: about 2)" in text and "as they need" in text


@pytest.mark.slow
def test_an_earlier_run_is_left_alone(tiny_config: Path, tmp_path: Path) -> None:
    assert invoke("--config", tiny_config).exit_code == 0
    before = snapshot(tmp_path)
    plain = invoke("--config", tiny_config, "--dry-run")
    skipping = invoke("--config", tiny_config, "--dry-run", "--skip-existing")
    assert plain.exit_code == skipping.exit_code == 0
    assert snapshot(tmp_path) == before
    assert row(plain.stdout, "existing results").count("set aside") == 2
    assert "finished before, skipped" in plain.stdout
    assert row(skipping.stdout, "total").removeprefix("total").strip() == "nothing would be trained"
    with lock_run_folder(RunFolder(tmp_path / "runs" / "tiny")):  # beside a run that is under way
        assert invoke("--config", tiny_config, "--dry-run").exit_code == 0


def test_an_error_of_the_run_is_an_error_of_the_plan(tiny_config: Path, tmp_path: Path) -> None:
    result = invoke("--config", tiny_config, "--dry-run", "training.batch_size=100")
    assert result.exit_code == 1 and "only 61 train windows" in result.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.process
def test_the_scripts_piped(tiny_config: Path, tmp_path: Path) -> None:
    done = script("train_sequential.py", "--config", tiny_config, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout and done.stderr == "loading PyTorch …\n"
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.process
def test_two_ranks_make_one_plan(tiny_config: Path, tmp_path: Path) -> None:
    done = launch(
        *TORCHRUN, ROOT / "train_sequential.py", "--config", tiny_config, "training.batch_size=8", "--dry-run"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Dry run") == 1
    assert row(done.stdout, "windows per step").count("16 (2 ranks × 8)") == 2
    assert not (tmp_path / "runs").exists()
