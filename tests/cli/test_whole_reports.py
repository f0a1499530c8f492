"""A report is replaced as a whole, and only by an evaluation with the run's own settings and candles."""

import json
import random
import re
import shutil
import time
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from kronos.report.forecast import candle_plot
from kronos.report.verdict import evaluation_report
from tests.cli.test_evaluate import evaluate, write_candles
from tests.cli.test_start import KRONOS
from tests.conftest import FAST, FinishedRun, invoke
from tests.training.test_survival import start


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("step", ["evaluate_run", "write_report", "draw_held_out_forecasts"])
def test_an_evaluation_that_fails_leaves_the_old_report(
    copied_run: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fill_the_disk(*given: object) -> None:
        raise OSError(28, "No space left on device")

    before = read_all(copied_run / "report")
    monkeypatch.setattr(evaluation_report, step, fill_the_disk)
    done = evaluate(copied_run)
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.exit_code == 1 and "cannot be written: No space left on device. Free some space. Finished" in error
    assert error == done.stderr.splitlines()[-1] and "run the same command to resume: " in error, done.output
    assert read_all(copied_run / "report") == before and len(list(copied_run.glob(".*"))) == 0


@pytest.mark.slow
def test_the_message_names_the_file_that_is_missing(copied_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is written under a temporary name, in a folder with a temporary name."""

    def fill_the_disk(figure: Figure, path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(candle_plot, "write_png", fill_the_disk)
    done = evaluate(copied_run)
    error = done.stderr.splitlines()[-1]
    assert done.exit_code == 1 and "cannot be written: No space left on device" in error, done.output
    assert re.match(f"error: {copied_run}/report/(example|forecast)_[a-z0-9]+.png: ", error)


@pytest.mark.slow
def test_pictures_without_an_evaluation_join_no_verdict_on_other_models(tiny_config: Path, tmp_path: Path) -> None:
    report, words = tmp_path / "runs/tiny/report", ["train", "--config", tiny_config, *FAST]
    assert invoke(*words).exit_code == 0
    before = read_all(report)
    assert invoke(*words, "evaluation.enabled=false", "--skip-existing").exit_code == 0
    assert read_all(report) == before
    done = invoke(*words, "evaluation.enabled=false", "training.seed=2")
    assert done.exit_code == 0 and {path.name for path in report.iterdir()} == {"forecast_1.png"}, done.output


@pytest.mark.slow
def test_nothing_of_an_earlier_evaluation_stays_but_what_is_not_ours(copied_run: Path) -> None:
    report = copied_run / "report"
    before = {path.name for path in report.iterdir()}
    for name in ("example_middle.png", "forecast_9.png"):
        (report / name).write_bytes(b"of an earlier version")
    (report / "notes.txt").write_text("mine")
    assert evaluate(copied_run).exit_code == 0
    assert {path.name for path in report.iterdir()} == before | {"notes.txt"}


@pytest.mark.slow
def test_other_settings_or_candles_leave_the_main_report(copied_run: Path, tmp_path: Path) -> None:
    before = read_all(copied_run / "report")
    newer = write_candles(tmp_path / "newer.csv", 100, 180)
    for words, name in (
        (["--rivals", "drift"], "report-with-rivals-*"),
        (["evaluation.stride=4", "report.temperature=0.9"], "report-with-stride-temperature-*"),
        (["--data", newer], "report-newer*"),
    ):
        done = evaluate(copied_run, *words)
        assert done.exit_code == 0, done.output
        [folder] = copied_run.glob(name)
        assert str(folder / "index.html") in done.stdout and (folder / "metrics.json").is_file()
        assert str(folder) in done.stderr or "--data" in words
    assert read_all(copied_run / "report") == before
    assert evaluate(copied_run, "--language", "zh").exit_code == 0  # its figures are the same
    assert read_all(copied_run / "report") != before and len(list(copied_run.glob("report*"))) == 4


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_kill_9_at_any_moment_mixes_no_two_reports(finished_run: FinishedRun, tmp_path: Path, seed: int) -> None:
    """The page and the figures hold the time of their evaluation."""
    run = tmp_path / "run"
    shutil.copytree(finished_run.path, run)
    words, generator = [*KRONOS, "evaluate", "--run", run], random.Random(seed)
    began = time.monotonic()
    start(*words).communicate(timeout=200)
    took, before = time.monotonic() - began, read_all(run / "report")
    for _ in range(6):
        process = start(*words, "--language", "zh")
        time.sleep(generator.uniform(0, took))
        process.kill()
        process.communicate()
        now = read_all(run / "report")
        changed = {name for name in now if now[name] != before.get(name)}
        assert now.keys() == before.keys() and ("metrics.json" in changed) == ("index.html" in changed)
        created = json.loads(now["metrics.json"])["created"]
        assert created and now["losses.csv"].endswith(b"\n")
        before = now
    process = start(*words)
    process.communicate(timeout=200)
    assert process.returncode == 0 and not list(run.glob(".*"))
