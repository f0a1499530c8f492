"""RunFolder names what a run leaves, and nothing that it does not."""

from pathlib import Path

from kronos.files import write_json
from kronos.run_folder import ReportFolder, RunFolder, hash_subject
from tests.conftest import FinishedRun

CHARTS = ("coverage", "error_by_horizon", "learning_curves", "pit", "reliability", "skill_by_horizon")
EXAMPLES = ("best", "median", "worst")


def list_named(run: RunFolder) -> set[Path]:
    """The files and folders that RunFolder names."""
    stages = [path for stage in (run.tokenizer, run.basemodel) for path in (stage.best_model, stage.checkpoints)]
    stages += [path for stage in (run.tokenizer, run.basemodel) for path in (stage.record, stage.metrics, stage.config)]
    report = run.report
    pictures = [report.forecast(1), *map(report.chart, CHARTS), *map(report.example, EXAMPLES)]
    written = [run.config, run.audit, run.log, run.lock, run.tokenizer.health, run.evaluation]
    return {*stages, *written, *pictures, report.page, report.results, report.losses}


def test_a_run_leaves_what_run_folder_names(finished_run: FinishedRun) -> None:
    run = RunFolder(finished_run.path)
    named = list_named(run)
    assert not [path for path in named if not path.exists()]
    files = [path for path in finished_run.path.rglob("*") if path.is_file()]
    assert not [path for path in files if not {path, *path.parents} & named]
    assert run.report.forecasts == [run.report.forecast(1)]


def test_a_run_is_found_from_its_model(finished_run: FinishedRun) -> None:
    run = RunFolder(finished_run.path)
    assert RunFolder.of_model(run.basemodel.best_model).audit == run.audit.resolve()


def test_the_folder_of_a_report_is_named_after_the_candles(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.report_on([Path("new/BTC USDT.csv")]) == ReportFolder(tmp_path / "report-BTC_USDT")
    assert run.report_on([Path("new/*.csv")]) == ReportFolder(tmp_path / "report-_")


def test_reports_on_several_sources_are_told_apart(tmp_path: Path) -> None:
    run, both = RunFolder(tmp_path), [Path("a.csv"), Path("b.csv")]
    first = run.report_on(both)
    assert first.path.name == "report-a"
    first.path.mkdir()
    write_json(first.results, {"subject": hash_subject(both)})
    assert run.report_on(both) == first
    others = [run.report_on([Path("a.csv"), *more]) for more in ([], [Path("c.csv")], [Path("b.csv"), Path("c.csv")])]
    assert len({first.path, *(each.path for each in others)}) == 4


def test_reports_that_were_being_replaced_are_brought_back(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    for name in ("report", "report-later", "report-with-rivals-0123abcd"):
        (tmp_path / f".{name}.old").mkdir()
        write_json(tmp_path / f".{name}.old" / "metrics.json", {"subject": hash_subject([Path("later.csv")])})
    assert run.report_on([Path("y/later.csv")]).path.name.startswith("report-later-")
    assert len(run.list_reports()) == 3 and not list(tmp_path.glob(".*"))


def test_a_report_on_others_of_the_same_name_has_its_own_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    first = run.report_on([Path("x/later.csv")])
    first.path.mkdir()
    assert first.path.name == "report-later" == run.report_on([Path("y/later.csv")]).path.name
    write_json(first.results, {"subject": hash_subject([Path("x/later.csv")])})
    assert run.report_on([Path("x/later.csv")]) == run.report_on([Path("x/../x/later.csv")]) == first
    second = run.report_on([Path("y/later.csv")])
    assert second.path.name.startswith("report-later-") and second == run.report_on([Path("y/later.csv").absolute()])
    write_json(first.results, {"format": 2})  # of an earlier version, which did not store what it is on
    assert run.report_on([Path("x/later.csv")]) != first
    assert len(run.report_on([Path("x" * 255)]).path.name) < 100
