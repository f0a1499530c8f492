"""A run from Python: train, evaluate, report, without a command line."""

import json
from pathlib import Path

import pandas as pd
import pytest

from kronos import load_config
from kronos.run import run_evaluation, run_training
from tests.conftest import FAST, FinishedRun


@pytest.mark.slow
def test_a_run_from_python_is_the_command_s(
    finished_run: FinishedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = f"model_paths.base_path={tmp_path}"
    finished = run_training(load_config(finished_run.config, [*FAST, moved, "device.use_cuda=false"]))
    assert finished.evaluation and finished.report.page.is_file() and finished.report.results.is_file()
    assert finished.pictures == finished.report.forecasts and set(finished.records) == {"tokenizer", "basemodel"}
    assert capsys.readouterr().out == ""
    for name in ("forecast_1.png", "example_best.png"):
        assert (finished.report.path / name).read_bytes() == (finished_run.path / "report" / name).read_bytes()
    again = run_evaluation(load_config(tmp_path / "tiny" / "config.yaml"))
    assert again.evaluation
    first, second = (run.evaluation.comparisons for run in (finished, again))
    assert [each.own_figure for each in first] == [each.own_figure for each in second]
    assert again.report == finished.report


@pytest.mark.slow
def test_frames_are_kept_as_files_that_the_run_names(tiny_config: Path, tmp_path: Path) -> None:
    candles = pd.read_csv(tmp_path / "candles.csv", parse_dates=["timestamps"])
    (tmp_path / "candles.csv").unlink()
    config = load_config(tiny_config, [*FAST, "device.use_cuda=false", "experiment.train_tokenizer=false"])
    finished = run_training(config, data={"600977": candles.set_index("timestamps")})
    kept = config.data.cache_dir / "frames"
    audit = json.loads(config.model_paths.run_folder.audit.read_text())
    (symbol,) = audit["symbols"]
    assert symbol["symbol"] == "600977" and symbol["candles"] == 120 and str(kept) in symbol["source"]
    assert finished.evaluation
    run = load_config(config.model_paths.run_folder.path / "config.yaml")
    again = run_evaluation(run)
    assert again.report == finished.report  # on its own candles, which are there
    others = run_evaluation(run, data=candles.assign(close=candles["close"] * 1.0001, high=candles["high"] * 1.01))
    assert others.report.page.is_file() and others.report != finished.report
