"""`kronos evaluate --model`: a model without a run, as a user meets it."""

from pathlib import Path

import pytest

from kronos.evaluation.results import Evaluation
from tests.conftest import GOLDEN, ROOT, invoke

MODEL = ["--model", GOLDEN / "predictor", "--tokenizer", GOLDEN / "tokenizer"]
FAST = ["data.lookback_window=16", "data.predict_window=8", "data.max_context=24", "evaluation.n_paths=3"]
FAST += ["evaluation.stride=633", "evaluation.rivals=[pretrained, last_close, drift]"]
CANDLES = ROOT / "data" / "synthetic_5min.csv"


@pytest.mark.usefixtures("few_random_walks")
def test_a_model_is_judged_and_nothing_is_forecast_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke("evaluate", *MODEL, "--data", CANDLES, *FAST)
    assert done.exit_code == 0, done.output
    folder = tmp_path / "evaluations" / "predictor-synthetic_5min"
    found = Evaluation.read(folder / "report" / "metrics.json")
    assert found.kind == "model" and found.run == "predictor" and found.n_origins == 5
    assert [each.name for each in found.forecasters] == ["model", "last_close", "drift"] and not found.left_out
    assert found.forecasters[0].label == "predictor" and found.notes[-1].code == "weights_may_have_seen"
    assert [each.name for each in found.invented_drift] == ["model"] and "Invented drift on random walks" in done.output
    assert str(folder.relative_to(tmp_path) / "report" / "index.html") in done.output
    assert (folder / "report" / "index.html").stat().st_size > 1e6 and (folder / "data.json").is_file()
    stamps = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    monkeypatch.setattr("kronos.report.verdict.evaluation_report.write_report", lambda *given: None)
    again = invoke("evaluate", *MODEL, "--data", CANDLES, *FAST, "--language", "zh")
    assert again.exit_code == 0 and "它可能已经见过这些 K 线" in again.output, again.output
    assert stamps and stamps == {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evaluations"]
    assert not (folder / "basemodel").exists(), "there is no model to describe"
    before = {path: path.read_bytes() for path in (folder / "report").iterdir()}
    for words, name in (
        (["evaluation.n_paths=2"], "report-with-n_paths-*"),
        (["--since", "2024-03-28"], "report-with-since-*"),
    ):
        other = invoke("evaluate", *MODEL, "--data", CANDLES, *FAST, *words)
        assert other.exit_code == 0, other.output
        [report] = folder.glob(name)
        assert str(report.relative_to(tmp_path) / "index.html") in other.stdout and "stays as it is" in other.stderr
    assert before == {path: path.read_bytes() for path in (folder / "report").iterdir()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either --run"),
        (["--run", "a", "--model", "b"], "give either --run"),
        (["--run", "a", "--tokenizer", "b"], "--tokenizer needs --model."),
        (["--run", "a", "--config", "b"], "--config needs --model."),
        (["--run", "a", "--since", "2024-01-01"], "--since needs --data."),
        (["--model", "a/b"], "--model needs --data"),
        ([*MODEL, "--data", CANDLES, "training.seed=1"], "training.seed: this setting has no effect on a model"),
        ([*MODEL, "--data", CANDLES, "data.lookback_window=3340"], "too few candles (3,360)"),
        ([*MODEL, "--data", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_bad_usage_is_one_line(
    words: list[object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = invoke("evaluate", *words)
    assert done.exit_code == 1 and message in done.output and "Traceback" not in done.output, done.output
    announced = ("loading PyTorch …", "Evaluate ")
    lines = [line for line in done.stderr.strip().splitlines() if not line.startswith(announced)]
    assert len(lines) == 1
