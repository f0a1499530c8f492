"""Which weights and candles a run is of: in stage.json, metrics.json, the page and the model card."""

import json
from pathlib import Path

import pytest

from kronos.evaluation.results import Evaluation
from kronos.files import hash_file
from kronos.run_folder import RunFolder
from kronos.stage_record import StageRecord
from tests.conftest import GOLDEN, FinishedRun, invoke


def test_hashes_stand_in_every_result(finished_run: FinishedRun) -> None:
    run = RunFolder(finished_run.path)
    provenance = Evaluation.read(run.report.results).provenance
    assert provenance
    page = run.report.page.read_text(encoding="utf-8")
    card = (run.basemodel.best_model / "README.md").read_text(encoding="utf-8")
    for stage, golden, best, start in (
        (run.tokenizer, GOLDEN / "tokenizer", provenance.tokenizer, provenance.start_tokenizer),
        (run.basemodel, GOLDEN / "predictor", provenance.base_model, provenance.start_base_model),
    ):
        record = StageRecord.read(stage.path)
        assert record and best and start and record.best_model_sha256
        assert (
            best.sha256
            == record.best_model_sha256["model.safetensors"]
            == hash_file(stage.best_model / "model.safetensors")
        )
        assert start == record.start_model and start.sha256 == hash_file(golden / "model.safetensors")
        assert best.commit is None and start.commit is None
        assert provenance.candles == provenance.train_candles == record.settings["candles"]
        for text in (page, card):
            assert best.sha256 in text and start.sha256 in text and provenance.candles in text
    record = StageRecord.read(run.basemodel.path)
    assert record and record.tokenizer and record.tokenizer.sha256 == provenance.tokenizer.sha256


def test_other_candles_and_a_model_without_a_run(copied_run: Path, finished_run: FinishedRun, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    lines = finished_run.candles.read_text().splitlines(keepends=True)
    other.write_text("".join(lines[:-1]))
    models = {each: copied_run / each / "best_model" for each in ("tokenizer", "basemodel")}
    settings = ("data.lookback_window=16", "data.predict_window=8", f"model_paths.base_path={tmp_path / 'judged'}")
    few = (
        "evaluation.n_paths=2",
        "evaluation.rivals=[last_close]",
        "report.n_origins=1",
        "evaluation.invented_drift=false",
    )
    done = invoke(
        *("evaluate", f"--model={models['basemodel']}", f"--tokenizer={models['tokenizer']}", "--data", other),
        *(*settings, *few),
    )
    assert done.exit_code == 0, done.output
    [results] = (tmp_path / "judged").glob("*/report/metrics.json")
    provenance = Evaluation.read(results).provenance
    trained = Evaluation.read(RunFolder(copied_run).report.results).provenance
    assert provenance and trained and provenance.base_model and trained.base_model
    assert provenance.base_model.sha256 == trained.base_model.sha256
    assert provenance.start_base_model == trained.start_base_model
    assert provenance.train_candles == trained.candles != provenance.candles


@pytest.mark.slow
def test_results_of_an_earlier_version_are_read(copied_run: Path) -> None:
    run = RunFolder(copied_run)
    evaluation = json.loads(run.report.results.read_text())
    del evaluation["provenance"]
    run.report.results.write_text(json.dumps(evaluation))
    assert Evaluation.read(run.report.results).provenance is None
    for stage in (run.tokenizer, run.basemodel):
        record = json.loads(stage.record.read_text())
        del record["start_model"], record["tokenizer"]
        stage.record.write_text(json.dumps(record))
    done = invoke("evaluate", "--run", copied_run)
    assert done.exit_code == 0, done.output
    again = Evaluation.read(run.report.results).provenance
    assert again and again.tokenizer and again.start_tokenizer is None
