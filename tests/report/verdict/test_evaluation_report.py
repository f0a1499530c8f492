"""The command that judges new candles alone."""

from pathlib import Path

import pytest

from kronos.config import load_config
from kronos.evaluation.records import Note
from kronos.report.verdict.evaluation_report import write_command
from tests.conftest import write_tiny_config
from tests.report.made_evaluation import make_evaluation


@pytest.mark.parametrize(
    ("until", "since"), [("2024-08-01 10:00", "2024-09-30 15:00"), ("2025-03-25 15:00", "2025-03-25 15:00")]
)
def test_new_candles_are_later_than_all_that_was_judged_or_seen(tmp_path: Path, until: str, since: str) -> None:
    config = load_config(write_tiny_config(tmp_path))
    notes = [Note(code="few_clock_times"), Note(code="seen_before", values={"until": until})]
    command = write_command(make_evaluation(notes=notes), config)
    run = config.model_paths.run_folder.path
    assert command == f"kronos evaluate --run {run} --data new.csv --since '{since}'"
    assert "--since '2024-09-30 15:00'" in write_command(make_evaluation(), config)
