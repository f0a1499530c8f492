"""`kronos evaluate`, and the evaluation after training, as a user meets them."""

import html
import json
import re
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import Result

from kronos.config.schema import Language
from kronos.evaluation.results import FORMAT, Evaluation
from kronos.files import read_sealed, write_sealed
from kronos.report.words.answers import write_headline
from kronos.report.words.catalogue import Words
from kronos.report.words.sentences import write_note, write_sentence
from kronos.run_folder import RunFolder, lock_run_folder
from tests.conftest import FAST, GOLDEN, ROOT, FinishedRun, invoke

SEEN_BEFORE = 108  # of the 120 candles, those that the run was trained or validated on
TIMINGS = {"created", "command", "seconds", "judge_new"}


def train(config: Path, *words: str) -> Result:
    return invoke("train", "--config", config, *FAST, *words)


def evaluate(run: Path, *words: object) -> Result:
    return invoke("evaluate", "--run", run, *words)


def read(folder: Path) -> Evaluation:
    assert (folder / "index.html").stat().st_size > 1e6
    return Evaluation.read(folder / "metrics.json")


def names(evaluation: Evaluation) -> list[str]:
    return [each.name for each in evaluation.forecasters]


def notes(evaluation: Evaluation, language: Language = "en") -> str:
    return " ".join(write_note(note, Words(language)) for note in evaluation.notes)


def figures(folder: Path) -> object:
    """metrics.json but for what differs from one time to the next, and where the run is."""

    def strip(value: object) -> object:
        if isinstance(value, dict):
            return {key: strip(each) for key, each in value.items() if key not in TIMINGS}
        return [strip(each) for each in value] if isinstance(value, list) else value

    return strip(json.loads(re.sub(r'"[^"]*/(\w+/best_model)"', r'"\1"', (folder / "metrics.json").read_text())))


def find_other(run: Path) -> Path:
    """The one report with other settings than the run's."""
    (report,) = run.glob("report-with-*")
    return report


def stamps(folder: Path) -> dict[Path, int]:
    """When each forecast was written."""
    found = {path: path.stat().st_mtime_ns for path in folder.rglob("*.npz")}
    assert found
    return found


def write_candles(path: Path, first: int, stop: int) -> Path:
    header, *lines = (ROOT / "data" / "synthetic_5min.csv").read_text().splitlines()
    path.write_text("\n".join([header, *lines[first:stop]]) + "\n")
    return path


@pytest.fixture
def run(finished_run: FinishedRun, tmp_path: Path) -> Path:
    """The shared run, moved elsewhere; its candles stay where they were."""
    return Path(shutil.copytree(finished_run.path, tmp_path / "moved" / "there"))


def test_training_ends_with_the_verdict(finished_run: FinishedRun) -> None:
    done, report = finished_run.output, finished_run.path / "report"
    found = read(report)
    assert names(found) == ["finetuned", "pretrained", "last_close", "drift"] and not found.left_out
    assert [each.baseline for each in found.comparisons if each.metric == "crps"] == [
        "pretrained",
        "last_close",
        "drift",
    ]
    assert found.split == "test" and found.n_origins == 3 and found.n_paths == 3 and found.interval == "5 minutes"
    assert found.format == FORMAT and found.stride == 2 and found.n_clock_times == 48
    assert found.clock_times == {"10:30": 1, "10:40": 1, "10:50": 1} and found.last_actual.endswith("11:30")
    assert found.headline in done.output and str(report / "index.html") in done.output
    for each in found.comparisons:
        is_shown = each.metric == "crps" and each.outcome == "hurt" and each.baseline != "pretrained"
        assert (write_sentence(each, found, Words("en")) in done.output) == is_shown, each
    assert all(each.seconds > 0 for each in found.forecasters)
    assert "Traceback" not in done.output and "Warning" not in done.output and "%|" not in done.output  # no bar


@pytest.mark.slow
def test_a_second_time_nothing_is_forecast_anew(finished_run: FinishedRun, copied_run: Path) -> None:
    before, found = stamps(copied_run), figures(copied_run / "report")
    moved = f"model_paths.base_path={copied_run.parent}"
    same = "evaluation.invented_drift=true"
    again = train(finished_run.config, moved, same, "--skip-existing", "--language", "zh")
    assert again.exit_code == 0, again.output
    assert stamps(copied_run) == before and figures(copied_run / "report") == found
    assert "此前已完成，跳过" in again.stderr and "分词器" in again.stdout and "tokenizer  " not in again.stdout
    evaluation = read(copied_run / "report")
    assert write_headline(evaluation, Words("zh")) in again.stdout and evaluation.headline not in again.stdout


@pytest.mark.slow
def test_a_run_that_was_moved(finished_run: FinishedRun, run: Path) -> None:
    before = stamps(run)
    done = evaluate(run)
    assert done.exit_code == 0, done.output
    assert stamps(run) == before and figures(run / "report") == figures(finished_run.path / "report")
    assert str(run / "report" / "index.html") in done.output


@pytest.mark.slow
def test_without_the_pretrained_models(run: Path) -> None:
    settings = run / "config.yaml"
    settings.write_text(settings.read_text().replace(f"{GOLDEN}/", str(run / "gone") + "/"))
    done = evaluate(run)
    assert done.exit_code == 0, done.output
    (missing,) = read(run / "report").left_out
    assert missing.baseline == "pretrained" and missing.reason.code == "not_loadable"
    assert f"pretrained: cannot be loaded: {missing.reason.values['error']}" in done.output


@pytest.mark.slow
def test_what_may_be_overridden(run: Path) -> None:
    words = ["evaluation.stride=1", "evaluation.n_paths=5", "evaluation.rivals=[volatility]", "report.language=en"]
    done = evaluate(run, *words, "--language", "zh")
    assert done.exit_code == 0, done.output
    [report] = run.glob("report-with-*")
    found = read(report)
    assert found.n_origins == 5 and found.n_paths == 5 and names(found) == ["finetuned", "volatility"]
    assert write_headline(found, Words("zh")) in done.stdout and found.headline not in done.stdout
    assert write_sentence(found.comparisons[0], found, Words("zh")) in done.output


@pytest.mark.slow
def test_losses_and_money(run: Path) -> None:
    """Each forecast with its losses is written unless it is turned off; returns are computed only if asked for."""
    found, losses = read(run / "report"), run / "report" / "losses.csv"
    frame = pd.read_csv(losses, parse_dates=["origin"])
    assert found.money is None and len(frame) == 4 * found.n_origins * found.horizon
    by_name = frame.groupby("forecaster").mean(numeric_only=True)
    for each in found.forecasters:
        assert by_name.crps[each.name] == pytest.approx(each.log_return["crps"].overall, rel=1e-5)
        assert by_name.hit[each.name] == pytest.approx(each.log_return["direction"].overall)
    done = evaluate(run, "evaluation.costs_bp=10", "evaluation.losses=false")
    assert done.exit_code == 0 and losses.exists() and not (find_other(run) / "losses.csv").exists(), done.output
    again = read(find_other(run))
    assert again.headline == found.headline
    assert (
        again.money and again.money.n_origins == 1 and [each.code for each in again.notes] == ["money_without_overlaps"]
    )
    last = frame[(frame.forecaster == "finetuned") & (frame.step == found.horizon)].iloc[0]
    by_rule = {trade.rule: trade for trade in again.money.trades}
    assert by_rule["long_only"].mean == pytest.approx(last.actual - 0.002, rel=1e-4)
    assert by_rule["median"].mean == pytest.approx(np.sign(last.q50) * last.actual - 0.002, rel=1e-4)
    assert (
        "after costs of 10 basis points" in done.stdout
        and f"Always long: {100 * by_rule['long_only'].mean:+.3f}%".replace("-", "−") in done.stdout
    )
    assert "每单位换手成本 10 个基点" in evaluate(run, "evaluation.costs_bp=10", "--language", "zh").stdout


@pytest.mark.parametrize("word", ["data.lookback_window=8", "training.seed=2", "model_paths.exp_name=other"])
def test_what_may_not(run: Path, word: str) -> None:
    done = evaluate(run, word)
    assert (
        done.exit_code == 1
        and f"error: {word.partition('=')[0]}: this setting cannot change after training" in done.output
    )


@pytest.mark.slow
def test_overrides_tell_how_other_candles_are_read(run: Path, tmp_path: Path) -> None:
    later = write_candles(tmp_path / "later.csv", 100, 200)
    header, *lines = later.read_text().splitlines()
    later.write_text("\n".join([header.replace("close", "Final"), *lines, lines[-1][:-1] + "7"]) + "\n")
    overrides = ("data.columns={close: Final}", "repairs.conflicting=first")
    refused = evaluate(run, *overrides)
    assert refused.exit_code == 1 and "the candles with --data; then also data.columns" in refused.output
    assert "repairs.conflicting" in evaluate(run, "--data", later, overrides[0]).output
    done = evaluate(run, "--data", later, *overrides, "--rivals", "last_close")
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_candles_unlike_those_of_training_are_noted(run: Path, tmp_path: Path) -> None:
    utc = pd.read_csv(write_candles(tmp_path / "utc.csv", 100, 200), parse_dates=["timestamps"])
    utc.assign(timestamps=utc["timestamps"] - pd.Timedelta("8h")).to_csv(tmp_path / "utc.csv", index=False)
    rivals = ("--rivals", "last_close", "--rivals", finished_copy(run, tmp_path))
    done = evaluate(run, "--data", tmp_path / "utc.csv", "--since", "2024-01-01", *rivals)
    assert done.exit_code == 0, done.output
    own = "utc: 100% of these candles stand at hours of the week without candles in training"
    assert own in done.output and own.replace("utc: ", "utc: baseline other: ") in done.output
    told = notes(read(run / "report-utc"))
    assert "These candles differ from those in training (utc): 100%" in told and "(utc): baseline other: 100%" in told
    assert "differ" not in notes(read(run / "report"))


def finished_copy(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "other"))


def test_an_unknown_baseline_is_said_before_anything_is_computed(run: Path, tiny_config: Path, tmp_path: Path) -> None:
    (run / "report/metrics.json").unlink()
    for done in (evaluate(run, "--rivals", "pretraned"), train(tiny_config, "evaluation.rivals=[pretraned]")):
        assert done.exit_code == 1 and "evaluation.rivals: 'pretraned' is not a known baseline." in done.output
        assert "origins" not in done.output and "step" not in done.output
    assert not (run / "report/metrics.json").exists() and not (tmp_path / "runs/tiny/tokenizer").exists()


@pytest.mark.slow
def test_other_runs_as_baselines(finished_run: FinishedRun, run: Path, tmp_path: Path) -> None:
    """Of the same name, told apart; one that cannot be loaded; one that has seen later candles; one of unknown past."""
    same, later, unknown, untrained = (tmp_path / name / "there" for name in ("a", "b", "c", "d"))
    for folder in (same, later, unknown, untrained):
        shutil.copytree(finished_run.path, folder)
    audit = read_sealed(later / "data.json")
    write_sealed(later / "data.json", audit | {"seen_until": audit["seen_until"] + 10**9})
    (unknown / "data.json").unlink()
    shutil.rmtree(untrained / "basemodel/best_model")
    baselines = [word for folder in (same, later, unknown, untrained, run) for word in ("--rivals", folder)]
    done = evaluate(run, *baselines, "--rivals", "drift")
    assert done.exit_code == 0, done.output
    found = read(find_other(run))
    assert names(found) == ["finetuned", "drift", "a/there"]
    first, _, third = (each.log_return["crps"].by_horizon for each in found.forecasters)
    assert first == third  # the same weights
    reasons = {each.baseline: each.reason.code for each in found.left_out}
    assert reasons == {
        "b/there": "seen_candles",
        "c/there": "unknown_end",
        "d/there": "not_loadable",
        "moved/there": "same_run",
    }


@pytest.mark.slow
def test_newer_candles(run: Path, tmp_path: Path) -> None:
    own = figures(run / "report")
    newer = write_candles(tmp_path / "newer.csv", 0, 150)
    done = evaluate(run, "--data", newer, "evaluation.stride=1", "evaluation.rivals=[pretrained, lstm]")
    assert done.exit_code == 0, done.output
    found = read(run / "report-newer")
    assert figures(run / "report") == own  # stays
    assert found.n_origins == 150 - SEEN_BEFORE - 7 and found.split == "test"
    # The run's verdict used its last 12 candles: from 10 candles on, horizons of 8 lie in them at least in part.
    (note,) = found.notes
    assert note.code == "judged_before" and note.values["n"] == 12 and note.values["n_all"] == found.n_origins
    assert "look too good" not in found.headline
    assert [each.baseline for each in found.left_out] == ["lstm"] and "newer.csv" in found.candles
    assert sorted(path.name for path in (run / "report-newer").glob("*.png")), "its pictures are beside it"
    again = evaluate(run, "--data", newer, "evaluation.stride=1", "evaluation.rivals=[pretrained]")
    assert again.exit_code == 0 and read(run / "report-newer").notes == [note], again.output
    later = evaluate(run, "--data", newer, "--since", note.values["since"], "evaluation.stride=1")
    alone = read(run / "report-newer")
    assert later.exit_code == 0 and alone.n_origins == 150 - 120 - 7 and not alone.notes, later.output
    assert alone.first_origin == note.values["since"] == read(run / "report").last_actual
    grown = write_candles(newer, 0, 160)
    repeated = evaluate(run, "--data", grown, "--since", note.values["since"], "evaluation.stride=1")
    (note,) = read(run / "report-newer").notes
    assert repeated.exit_code == 0 and note.values == {"n": 30, "n_all": 33, "since": alone.last_actual}
    seen = evaluate(run, "--data", newer, "--since", "2000-01-01", "evaluation.stride=20")
    assert seen.exit_code == 0 and "which flatters the run" in notes(read(run / "report-newer"))
    assert "so the figures look too good" in read(run / "report-newer").headline


@pytest.mark.slow
def test_the_runs_own_candles_are_no_new_evidence(finished_run: FinishedRun, run: Path) -> None:
    done = evaluate(run, "--data", finished_run.candles, "evaluation.rivals=[drift]")
    (note,) = read(run / "report-candles").notes
    assert done.exit_code == 0 and note.code == "judged_before" and note.values["n"] == note.values["n_all"] == 3


def test_nothing_new(run: Path, tmp_path: Path) -> None:
    done = evaluate(run, "--data", write_candles(tmp_path / "old.csv", 0, SEEN_BEFORE))
    assert done.exit_code == 1 and "the last candle the run was trained or validated on" in done.output
    assert not (run / "report-old").exists()
    assert evaluate(run, "--since", "2024-01-01").exit_code == 1


@pytest.mark.slow
def test_the_folder_one_is_in(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "newer"
    folder.mkdir()
    write_candles(folder / "a.csv", 0, 200)
    monkeypatch.chdir(folder)
    done = evaluate(run, "--data", ".", "evaluation.stride=30")
    assert done.exit_code == 0 and (run / "report-newer" / "index.html").is_file(), done.output


@pytest.mark.slow
def test_since_counts_for_the_runs_own_candles_too(finished_run: FinishedRun, run: Path) -> None:
    done = evaluate(run, "--data", finished_run.candles, "--since", "2000-01-01", "evaluation.stride=30")
    assert done.exit_code == 0 and "which flatters the run" in notes(read(run / "report-candles")), done.output


@pytest.mark.slow
def test_candles_that_have_grown(finished_run: FinishedRun, run: Path, tmp_path: Path) -> None:
    grown = write_candles(tmp_path / "candles.csv", 0, 140)
    settings = run / "config.yaml"
    settings.write_text(settings.read_text().replace(str(finished_run.candles), str(grown)))
    done = evaluate(run, "evaluation.stride=1", "evaluation.rivals=[drift]")
    assert done.exit_code == 0 and "have changed since training" in done.output, done.output
    assert read(run / "report").n_origins == 3  # the main report stays
    assert read(run / "report-candles").n_origins == 140 - SEEN_BEFORE - 7


@pytest.mark.slow
def test_a_skipped_stage_is_not_judged_on_what_it_was_trained_on(tiny_config: Path, copied_run: Path) -> None:
    """The best models were trained with other splits: some candles of the new test split are not new to them."""
    seen_until = json.loads((copied_run / "data.json").read_text())["seen_until"]
    other = ["data.train_ratio=0.5", "data.val_ratio=0.2", "data.test_ratio=0.3", "evaluation.stride=1"]
    done = train(tiny_config, "--skip-existing", *other, "evaluation.rivals=[drift]")
    assert done.exit_code == 0 and "trained with other settings" in done.output, done.output
    assert json.loads((copied_run / "data.json").read_text())["seen_until"] == seen_until
    found = read(copied_run / "report")
    assert found.n_origins == 120 - SEEN_BEFORE - 7 and found.split == "test"


@pytest.mark.slow
def test_what_the_pretrained_models_saw_in_another_run_counts(tiny_config: Path, tmp_path: Path) -> None:
    words = ["experiment.train_tokenizer=false", "evaluation.enabled=false", "model_paths.exp_name=first"]
    assert (
        train(tiny_config, *words, "data.train_ratio=0.5", "data.val_ratio=0.5", "data.test_ratio=0.0").exit_code == 0
    )
    began_with = f"model_paths.pretrained_predictor={tmp_path / 'runs/first/basemodel/best_model'}"
    done = train(tiny_config, "experiment.train_tokenizer=false", began_with, "evaluation.rivals=[drift]")
    assert done.exit_code == 0, done.output
    found = read(tmp_path / "runs/tiny/report")
    assert found.n_origins == 3 and "started from were trained or validated" in notes(found)
    assert "so the figures look too good" in found.headline
    seen = [
        json.loads((tmp_path / "runs" / name / "data.json").read_text())["seen_until"] for name in ("first", "tiny")
    ]
    assert seen[0] == seen[1]


@pytest.mark.slow
def test_without_a_test_split(tiny_config: Path, tmp_path: Path) -> None:
    done = train(tiny_config, "data.val_ratio=0.3", "data.test_ratio=0.0", "evaluation.calibrate=true")
    assert done.exit_code == 0, done.output
    found = read(tmp_path / "runs/tiny/report")
    assert found.split == "val" and "validation" in found.headline and "验证" in write_headline(found, Words("zh"))
    page = html.unescape((tmp_path / "runs/tiny/report/index.html").read_text())
    assert "later half of the validation split" in notes(found)
    assert all(write_note(note, Words("en")) in page for note in found.notes)
    assert found.calibration and found.calibration.n_origins >= 1 and "available for calibration" in notes(found)


@pytest.mark.slow
def test_calibration(run: Path, tmp_path: Path) -> None:
    done = evaluate(run, "evaluation.calibrate=true", "evaluation.rivals=[]")
    assert done.exit_code == 0, done.output
    found = read(find_other(run))
    assert (
        found.calibration
        and found.calibration.n_origins == 3
        and set(found.calibration.after.coverage)
        == {
            "50",
            "80",
            "90",
        }
    )
    kept = json.loads(RunFolder(run).calibration.read_text())
    assert len(kept["corrections"]) == 3 and kept["conditions"]["horizon"] == found.horizon
    forecast = invoke("predict", "--run", run, "--no-pictures", "--out", tmp_path / "out")
    assert forecast.exit_code == 0 and "the bands are calibrated on 3 origins" in forecast.stderr
    newer = write_candles(tmp_path / "newer.csv", 0, 150)
    done = evaluate(run, "--data", newer, "evaluation.calibrate=true", "evaluation.rivals=[]")
    found = read(run / "report-newer")
    assert done.exit_code == 0 and found.calibration is None and "no earlier origins" in notes(found)


@pytest.mark.slow
def test_one_origin(run: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = evaluate(run, "evaluation.stride=100", "evaluation.calibrate=true")
    assert done.exit_code == 0, done.output
    found = read(find_other(run))
    by_error = [each.outcome for each in found.comparisons if each.metric != "direction"]  # of which both may be right
    assert found.n_origins == 1 and set(by_error) == {"too little data to tell"}
    assert "Warning" not in done.output and [each.kind for each in found.examples] == ["best"]


@pytest.mark.slow
def test_a_budget(run: Path, tmp_path: Path) -> None:
    newer = ["--data", write_candles(tmp_path / "newer.csv", 0, 150), "evaluation.stride=1"]
    few = evaluate(run, *newer, "evaluation.budget_minutes=0.0001")
    assert few.exit_code == 0, few.output
    found = read(run / "report-newer")
    assert found.n_origins == 16 and "16 of 35 possible origins were used" in notes(found)
    assert "在 35 个可用的预测起点中随机选取了 16 个" in notes(found, "zh")
    again = evaluate(run, *newer, "evaluation.budget_minutes=0.0001")
    assert again.exit_code == 0 and read(run / "report-newer").examples == found.examples
    every = evaluate(run, *newer, "evaluation.budget_minutes=0.0001", "--all-origins")
    found = read(run / "report-newer")
    assert every.exit_code == 0 and found.n_origins == 35 and [note.code for note in found.notes] == ["judged_before"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [b'{"rows": 3}', *(pytest.param(each, marks=pytest.mark.slow) for each in (b"", b"{", b"\xff\xfe"))]
)
def test_damaged_files_are_made_anew(run: Path, damage: bytes) -> None:
    before = figures(run / "report")
    forecasts = sorted(stamps(run))
    for path in (run / "report/metrics.json", *(run / "evaluation").rglob("*.json"), forecasts[0]):
        path.write_bytes(damage)
    done = evaluate(run)
    assert done.exit_code == 0 and figures(run / "report") == before, done.output


def test_a_run_that_is_training_is_let_be(run: Path) -> None:
    with lock_run_folder(RunFolder(run)):
        done = evaluate(run)
    assert done.exit_code == 1 and "another run is writing here" in done.output


def test_a_failure_after_training_says_how_to_go_on(
    tiny_config: Path, copied_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = copied_run
    monkeypatch.setattr("kronos.report.verdict.evaluation_report.write_report", lambda *given: None)
    shutil.rmtree(run_dir / "evaluation")
    (run_dir / "evaluation").write_text("in the way")
    done = train(tiny_config, "--skip-existing")
    assert done.exit_code == 1 and "Traceback" not in done.output, done.output
    assert f"The models are trained and saved in {run_dir}; only their evaluation failed" in done.output
    (run_dir / "evaluation").unlink()
    assert f"kronos evaluate --run {run_dir}" in done.output and evaluate(run_dir).exit_code == 0


def test_not_a_run(tmp_path: Path, run: Path) -> None:
    done = evaluate(tmp_path)
    assert done.exit_code == 1 and "there is no run here" in done.output
    shutil.rmtree(run / "basemodel")
    done = evaluate(run)
    assert done.exit_code == 1 and "no base model" in done.output, done.output
    assert "trained on" not in done.output, "it blames the candles"


@pytest.mark.process
def test_reading_results_does_not_wait_for_pytorch() -> None:
    from tests.training.test_distributed import launch

    heavy = "{'torch', 'transformers', 'accelerate', 'pandas', 'scipy', 'matplotlib'}"
    code = f"import sys, kronos.evaluation.runs.compare, kronos.cli.main; print({heavy} & set(sys.modules))"
    done = launch(sys.executable, "-c", code)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


def test_the_drift_before_and_after_fine_tuning_is_measured(finished_run: FinishedRun) -> None:
    found = Evaluation.read(finished_run.path / "report" / "metrics.json").invented_drift
    assert [each.name for each in found] == ["finetuned", "pretrained"]
    assert len({each.n_walks for each in found}) == 1
    assert "Invented drift on random walks" in finished_run.output.stdout
    assert "Does it see trends where there are none?" in (finished_run.path / "report" / "index.html").read_text()
