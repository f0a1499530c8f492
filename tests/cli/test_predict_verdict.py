"""Every forecast of a run carries the verdict on its models."""

import json
from pathlib import Path

from kronos.evaluation.results import Evaluation
from kronos.model import Kronos
from kronos.report.words.answers import write_answer
from kronos.report.words.catalogue import Words
from tests.conftest import FinishedRun, invoke


def predict(run: Path, out: Path, *options: object) -> str:
    done = invoke("predict", "--run", run, "--out", out, "--paths", 3, *options)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_verdict_is_in_the_log_the_model_card_and_every_forecast(finished_run: FinishedRun, tmp_path: Path) -> None:
    run = finished_run.path
    evaluation = Evaluation.read(run / "report" / "metrics.json")
    headline, answer = evaluation.headline, " ".join(write_answer(evaluation, Words("en")))
    assert f"verdict: {headline}" in (run / "logs" / "train.log").read_text(encoding="utf-8")
    assert headline in (run / "basemodel" / "best_model" / "README.md").read_text(encoding="utf-8")
    Kronos.from_pretrained(run / "basemodel" / "best_model")

    shown = " ".join(predict(run, tmp_path).split())
    assert f"Verdict on these models: {answer}" in shown and "The 90% band held" in shown
    page = next(tmp_path.glob("*.html")).read_text(encoding="utf-8")
    assert answer.replace("'", "&#39;") in page and "The 90% band held" in page
    (forecast,) = json.loads(predict(run, tmp_path, "--json", "--no-pictures"))["forecasts"]
    assert forecast["verdict"]["headline"] == headline and forecast["verdict"]["state"] == "evaluated"
    assert 0 <= forecast["verdict"]["coverage_90"]["share"] <= 1


def test_forecasts_without_a_verdict_name_the_command(
    finished_run: FinishedRun, copied_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    settings = " ".join(predict(copied_run, out, "--no-pictures", "--temperature", 0.5).split())
    assert "measured with another temperature" in settings and "band held" not in settings
    (copied_run / "report" / "metrics.json").write_text("{")
    shown = " ".join(predict(copied_run, out, "--no-pictures", "--language", "zh").split())
    assert "所用模型尚未评估" in shown and f"--run {copied_run}" in shown
    bare = [(copied_run / stage / "best_model").rename(tmp_path / stage) for stage in ("tokenizer", "basemodel")]
    models = ("--tokenizer", bare[0], "--model", bare[1], "--data", finished_run.candles, "--horizon", 2)
    done = invoke("predict", *models, "--lookback", 16, "--paths", 2, "--no-pictures", "--out", out)
    assert done.exit_code == 0, done.output
    assert f"kronos evaluate --model {bare[1]} --tokenizer {bare[0]} --data " in " ".join(done.stdout.split())
