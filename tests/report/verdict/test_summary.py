"""The verdict that goes with each forecast of a run."""

from math import nan
from pathlib import Path
from typing import Any

import pytest

from kronos.evaluation.results import FORMAT, Evaluation
from kronos.report.verdict.summary import VerdictSummary, summarize_models, summarize_run
from kronos.report.words.answers import write_answer, write_headline
from kronos.report.words.catalogue import Words
from kronos.run_folder import RunFolder
from tests.report.made_evaluation import make_evaluation

EN, ZH = Words("en"), Words("zh")
CONDITIONS = {"tokenizer": "a", "base model": "b", "horizon": 24, "temperature": 1.0, "max_context": None}


def summarize(folder: Path, wanted: dict[str, Any] = CONDITIONS, **changes: Any) -> tuple[VerdictSummary, Evaluation]:
    evaluation = make_evaluation(**{"format": FORMAT, "conditions": CONDITIONS} | changes)
    (folder / "report").mkdir(parents=True)
    evaluation.write(folder / "report" / "metrics.json")
    return summarize_run(RunFolder(folder), wanted), evaluation


def with_coverage(low: float, high: float) -> Evaluation:
    evaluation = make_evaluation()
    own = evaluation.forecasters[0]
    coverage = own.log_return["coverage_90"].model_copy(update={"overall": 0.8249, "low": low, "high": high})
    own = own.model_copy(update={"log_return": own.log_return | {"coverage_90": coverage}})
    return evaluation.model_copy(update={"forecasters": [own, *evaluation.forecasters[1:]]})


def test_the_verdict_and_the_coverage_with_its_interval(tmp_path: Path) -> None:
    summary, evaluation = summarize(tmp_path / "a", forecasters=with_coverage(0.741, 0.88).forecasters)
    verdict, coverage = summary.write(False, EN)
    assert verdict == f"Verdict on these models: {' '.join(write_answer(evaluation, EN))}"
    assert coverage == "The 90% band held 82% of the actual closes in the evaluation (95% interval 74–88%)."
    assert summary.write(False, ZH)[1] == "评估中，90% 区间实际包含了 82% 的收盘价（95% 置信区间 74–88%）。"
    told = summary.to_json(False)
    assert told["headline"] == write_headline(evaluation, EN)
    assert told["state"] == "evaluated" and told["coverage_90"] == {"share": 0.8249, "low": 0.741, "high": 0.88}
    without, _ = summarize(tmp_path / "b", forecasters=with_coverage(nan, nan).forecasters)
    assert without.write(False, EN)[1] == "The 90% band held 82% of the actual closes in the evaluation."
    assert without.to_json(False)["coverage_90"] == {"share": 0.8249, "low": None, "high": None}


def test_calibrated_bands_have_their_own_coverage(tmp_path: Path) -> None:
    summary, evaluation = summarize(tmp_path)
    assert evaluation.calibration is not None
    after = 100 * evaluation.calibration.after.coverage["90"].overall
    assert (
        f" held {after:.0f}% " in summary.write(True, EN)[1]
        and summary.write(False, EN)[1] != summary.write(True, EN)[1]
    )
    bare, _ = summarize(tmp_path / "bare", calibration=None)
    assert len(bare.write(True, EN)) == 1 and bare.to_json(True)["coverage_90"] is None


def test_other_settings_keep_the_verdict_but_not_the_coverage(tmp_path: Path) -> None:
    summary, _ = summarize(tmp_path, CONDITIONS | {"horizon": 48, "temperature": 0.5})
    verdict, settings = summary.write(False, EN)
    assert verdict.startswith("Verdict on these models: ") and settings.endswith("another horizon, temperature.")
    assert summary.to_json(False)["differences"] == ["horizon", "temperature"] and not summary.find_coverage(False)


@pytest.mark.parametrize("changed", ["tokenizer", "base model"])
def test_the_verdict_on_other_models_is_not_shown(tmp_path: Path, changed: str) -> None:
    summary, _ = summarize(tmp_path, CONDITIONS | {changed: "retrained"})
    (line,) = summary.write(False, EN)
    assert "trained again after its evaluation" in line and f"kronos evaluate --run {tmp_path}" in line
    assert summary.to_json(False)["headline"] is None


@pytest.mark.parametrize("changes", [{"format": 1}, {"conditions": {}}])
def test_a_verdict_of_an_older_version(tmp_path: Path, changes: dict[str, Any]) -> None:
    summary, _ = summarize(tmp_path, **changes)
    assert summary.state == "older" and "not evaluated by the rules of this version" in summary.write(False, EN)[0]


@pytest.mark.parametrize("content", [None, "", "{", '{"run": 3}', "[]", b"\xff\xfe"])
def test_no_evaluation_or_a_damaged_one(tmp_path: Path, content: str | bytes | None) -> None:
    (tmp_path / "report").mkdir()
    if content is not None:
        (tmp_path / "report" / "metrics.json").write_bytes(content.encode() if isinstance(content, str) else content)
    summary = summarize_run(RunFolder(tmp_path), CONDITIONS)
    assert summary.state == "not_evaluated" and f"kronos evaluate --run {tmp_path}" in summary.write(False, EN)[0]


def test_models_of_no_run() -> None:
    (line,) = summarize_models("NeoQuasar/Kronos-Tokenizer-base", "my models/base", Path("a.csv")).write(False, EN)
    command = "kronos evaluate --model 'my models/base' --tokenizer NeoQuasar/Kronos-Tokenizer-base --data a.csv"
    assert line == f"Verdict on these models: not evaluated. {command} does so."
