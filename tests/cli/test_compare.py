"""`kronos compare` as a user types it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner, Result

from kronos.cli.main import app
from tests.evaluation.made_evaluation import FIGURES, make_comparison, make_forecaster, write_evaluated_run

CONFIG = """
data: {{data_path: made.csv, lookback_window: 16, predict_window: 2}}
model_paths: {{exp_name: {name}, pretrained_tokenizer: some/tokenizer, pretrained_predictor: some/base-model-{size}}}
training: {{predictor_learning_rate: {rate}}}
"""
FULL_THRESHOLD = FIGURES | {"rmse": 0.002, "ic": 0.04, "rank_ic": 0.03, "coverage_50": 0.45, "coverage_90": 0.88}


def invoke(*arguments: object, columns: int = 80) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": str(columns)})


def make_run(folder: Path, crps: float, size: str = "small", rate: float = 4e-5, **changes: Any) -> Path:
    baselines = [
        make_comparison("pretrained"),
        make_comparison("last_close", outcome="too little data to tell", low=-0.134),
    ]
    run = write_evaluated_run(folder, FULL_THRESHOLD | {"crps": crps}, **({"comparisons": baselines} | changes))
    (run / "config.yaml").write_text(CONFIG.format(name=folder.name, size=size, rate=rate))
    return run


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [
        make_run(tmp_path / "demo", 0.001234),
        make_run(tmp_path / "long-name-of-a-run", 0.001197, rate=1e-5),
        make_run(tmp_path / "x" / "base", 0.001357, size="base"),
        make_run(tmp_path / "y" / "base", 0.001259),
    ]


def find_line(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


def test_four_runs_in_eighty_columns(runs: list[Path]) -> None:
    done = invoke(*runs)
    assert done.exit_code == 0 and not done.stderr, done.output
    lines = done.stdout.splitlines()
    assert all(cell_len(line) <= 80 for line in lines if not line.startswith("kronos evaluate"))
    assert find_line(done.stdout, "crps bp ↓").split()[3:] == ["12.34", "*", "11.97", "13.57", "12.59"]
    assert find_line(done.stdout, "coverage_80").split()[1:] == ["→", "80%", *["75.0%"] * 4]
    assert find_line(done.stdout, "Pretrained model").split() == ["Pretrained", "model", *["helped"] * 4]
    assert done.stdout.count("−13.4 … +15.4") == 4 and "NOT COMPARABLE" not in done.stdout
    assert re.search(r"x/base +y/base", done.stdout) and "Kronos-small" not in done.stdout
    assert find_line(done.stdout, "training.").split()[1:] == ["4e-05", "1e-05", "4e-05", "4e-05"]
    assert "lookback" not in done.stdout and "finetuned_" not in done.stdout, "settings that do not differ"
    assert f"kronos evaluate --run {runs[0]} --baselines {runs[1]}\n" in done.stdout


def test_more_runs_than_fit(runs: list[Path]) -> None:
    done = invoke(*runs, "--metric", "crps", columns=50)
    crps = [line.split()[3:] for line in done.stdout.splitlines() if line.startswith("crps bp ↓")]
    assert crps == [["12.34", "*", "11.97"], ["13.57", "12.59"]], "one best of all"
    narrow = invoke(*runs, columns=12)
    assert narrow.exit_code == 0


def test_runs_that_cannot_be_compared(runs: list[Path], tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", 0.0001, horizon=24, n_origins=1200)
    done = invoke(runs[0], runs[3], other)
    assert done.exit_code == 0 and done.stdout.startswith("╭─ NOT COMPARABLE")
    assert "• horizon " in done.stdout and "• origins " in done.stdout
    assert find_line(done.stdout, "horizon").split() == ["horizon", "2", "2", "24"]
    assert " * " not in done.stdout and "--baselines" not in done.stdout


def test_a_verdict_of_an_earlier_version(runs: list[Path], tmp_path: Path) -> None:
    old = make_run(tmp_path / "old", 0.0001)
    results = old / "report" / "metrics.json"
    values = json.loads(results.read_text())
    del values["format"]  # as version 1 wrote it
    results.write_text(json.dumps(values))
    done = invoke(runs[0], old, columns=200)
    assert done.stdout.startswith("╭") and "• rules of the verdict" in done.stdout and " * " not in done.stdout
    assert (
        f"old: this verdict was made by an earlier version, with other rules. Make it again: kronos evaluate --run {old}"
        in done.stdout
    )
    assert "old：该结论由旧版本" in invoke(runs[0], old, "--language", "zh", columns=200).stdout
    assert json.loads(invoke(runs[0], old, "--json").stdout)["older_format"] == ["old"]
    assert "earlier version" not in invoke(*runs).stdout


def test_a_model_without_a_run(runs: list[Path], tmp_path: Path) -> None:
    model = make_run(tmp_path / "model", 0.001, kind="model", command="kronos evaluate --model a/b", format=1)
    (model / "config.yaml").unlink()
    done = invoke(runs[0], model, columns=200)
    assert done.exit_code == 0 and "Make it again: kronos evaluate --model a/b" in done.stdout, done.output
    again = make_run(tmp_path / "again", 0.001, kind="model")
    assert "--baselines" not in invoke(runs[0], again, columns=200).stdout, "a model is no baseline of a run"


def test_baselines_and_rules(tmp_path: Path) -> None:
    note, reason = {"en": "No test split.", "zh": "没有测试集。"}, {"en": "Too few windows.", "zh": "窗口太少。"}
    first = make_run(tmp_path / "a", 0.001, notes=[note], comparisons=[make_comparison("lstm", baseline_figure=0.1)])
    lstm = {"comparisons": [make_comparison("lstm", baseline_figure=0.2), make_comparison("drift")], "metric": "crps"}
    second = make_run(tmp_path / "b", 0.002, notes=[note], confidence=0.9, **lstm)
    third = make_run(tmp_path / "c", 0.003, notes=[note], left_out=[{"baseline": "lstm", "reason": reason}])
    text = invoke(first, second, third, columns=200).stdout
    assert re.search(r"^LSTM +better +better +left out$", text, re.M) and re.search(
        r"^Drift +– +better +–$", text, re.M
    )
    assert "so they are not the same: lstm." in text
    assert re.search(r"^evaluation.confidence +0.95 +0.9 +0.95$", text, re.M)


def test_chinese(runs: list[Path], tmp_path: Path) -> None:
    other = make_run(tmp_path / "other", 0.0001, horizon=24)
    done = invoke(*runs[:3], other, "--language", "zh")
    assert done.exit_code == 0 and all(cell_len(line) <= 80 for line in done.stdout.splitlines())
    assert "• 预测长度 " in done.stdout
    assert "微调有效" in done.stdout and "数据太少" in done.stdout and "helped" not in done.stdout


def test_the_language_is_by_default_that_of_the_first_run(runs: list[Path]) -> None:
    with (runs[1] / "config.yaml").open("a") as file:
        file.write("report: {language: zh}\n")
    assert "对数收益率" in invoke(runs[1], runs[0]).stdout and "log returns" in invoke(runs[0], runs[1]).stdout
    assert invoke(runs[1], "--json").stdout == invoke(runs[1], "--json", "--language", "en").stdout


def test_json(runs: list[Path], tmp_path: Path) -> None:
    unknown = make_forecaster("finetuned", FULL_THRESHOLD | {"crps": 0.1, "ic": float("nan")})
    runs.append(
        make_run(tmp_path / "nan", 0.1, forecasters=[unknown], comparisons=[make_comparison("drift", p_value=None)])
    )
    done = invoke(*runs, "--json", "--metric", "crps,ic")
    found = json.loads(done.stdout)
    assert found["comparable"] and found["differences"] == {}
    crps, ic = found["metrics"]["log_return"]["crps"], found["metrics"]["log_return"]["ic"]
    assert (
        crps["figures"]["x/base"] == 0.001357 and crps["best"] == ["long-name-of-a-run"] and crps["better"] == "lower"
    )
    assert ic["figures"] == dict.fromkeys(found["runs"], 0.04) | {"nan": None}
    assert found["rivals"]["pretrained"]["demo"]["outcome"] == "helped" and found["rivals"]["pretrained"]["nan"] is None
    assert found["rivals"]["drift"]["nan"]["p_value"] is None
    assert found["settings"]["training.predictor_learning_rate"]["long-name-of-a-run"] == 1e-5
    other = make_run(tmp_path / "other", 0.0001, horizon=24)
    found = json.loads(invoke(runs[0], other, "--json", "--all").stdout)
    assert not found["comparable"] and found["differences"] == {"horizon": {"demo": 2, "other": 24}}
    assert found["metrics"]["price"]["crps"]["figures"] and not found["metrics"]["price"]["crps"]["best"]


def test_a_page(runs: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "pages" / "compared.html"
    done = invoke(*runs, "--html", page)
    assert done.exit_code == 0 and f"written to {page}" in done.stdout
    html = page.read_text(encoding="utf-8")
    assert "* 11.97" in html and "long-name-of-a-run" in html and "http" not in html
    refused = invoke(*runs, "--html", tmp_path)
    assert refused.exit_code == 1 and refused.stderr.startswith(f"error: {tmp_path}: cannot be written")


def test_one_run_and_the_same_run(runs: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs[0])
    once, twice = invoke("."), invoke(".", runs[0])
    assert once.exit_code == 0 and re.search(r"^ +demo$", once.stdout, re.M)
    assert twice.stdout == once.stdout and "given more than once" in twice.stderr and not once.stderr
    assert " * " not in once.stdout and "--baselines" not in once.stdout and "settings that differ" not in once.stdout


def test_bad_input(runs: list[Path], tmp_path: Path) -> None:
    for name in ("untrained", "empty", "damaged", "hollow"):
        (tmp_path / name / "report").mkdir(parents=True)
    (tmp_path / "untrained" / "config.yaml").touch()
    done = invoke(runs[0], tmp_path / "untrained", tmp_path / "empty", tmp_path / "no", runs[0] / "config.yaml")
    assert done.exit_code == 1 and not done.stdout
    faults = done.stderr.removeprefix("error: ").splitlines()
    assert (
        faults[0]
        == f"{tmp_path}/untrained: this run has not been evaluated yet: kronos evaluate --run {tmp_path}/untrained"
    )
    assert [fault.partition(": ")[2][:15] for fault in faults[1:]] == ["there is no run"] * 3
    (tmp_path / "damaged" / "report" / "metrics.json").write_text('{"run": ')
    make_run(tmp_path / "none", 0.1, forecasters=[])
    for name in ("damaged", "none"):
        done = invoke(runs[0], tmp_path / name)
        assert done.exit_code == 1 and re.search(r"metrics.json: damaged .*kronos evaluate ", done.stderr)
        assert "Traceback" not in done.stderr
    done = invoke(*runs, "--metric", "crp")
    assert done.exit_code == 1 and "there are crps, mae" in done.stderr
    assert invoke().exit_code == 2


def test_a_run_that_an_earlier_version_trained_with_fsdp(runs: list[Path]) -> None:
    with (runs[0] / "config.yaml").open("a", encoding="utf-8") as file:
        file.write("distributed: {strategy: fsdp}\n")
    assert not invoke(*runs).stderr


def test_a_run_without_settings_is_compared_all_the_same(runs: list[Path]) -> None:
    (runs[0] / "config.yaml").unlink()
    (runs[1] / "config.yaml").write_text("data: {lookback: 3}\nmodel_paths: {}\n")
    done = invoke(*runs)
    assert done.exit_code == 0 and done.stderr.count("Its settings are not compared.") == 2
    assert len(done.stderr.splitlines()) == 2 and "crps bp ↓" in done.stdout
    assert find_line(done.stdout, "model_paths.").split()[1:] == ["–", "–", "some/base-mod", "some/base-mod"]


@pytest.mark.parametrize(
    ("environment", "encoding", "minus"),
    [
        ({"PYTHONIOENCODING": "gbk"}, "gbk", "-13.4"),
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1", "-13.4"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "utf-8", "−13.4"),
    ],
)
def test_output_that_knows_few_characters(
    runs: list[Path], environment: dict[str, str], encoding: str, minus: str
) -> None:
    """As of a pipe on Windows, or where LANG is C."""
    words = [sys.executable, "-m", "kronos", "compare", *map(str, runs[:2])]
    done = subprocess.run(words, capture_output=True, env=os.environ | environment, check=False)
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    assert minus in done.stdout.decode(encoding)
