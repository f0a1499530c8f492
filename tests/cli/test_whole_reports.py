"""A report is replaced as a whole, and only by an evaluation with the run's own settings and candles."""

from pathlib import Path

import pytest

from kronos.report.verdict import evaluation_report
from tests.cli.test_evaluate import evaluate


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
    assert done.exit_code == 1 and done.stderr.splitlines()[-1].endswith("No space left on device"), done.output
    assert read_all(copied_run / "report") == before and len(list(copied_run.glob(".*"))) == 0
