"""A run from Python: train, evaluate, report, without a command line."""

from pathlib import Path

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
