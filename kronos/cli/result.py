"""What a run prints at its end: where everything is, and the verdict."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.cells import cell_len

from kronos.config import Config
from kronos.report.words.catalogue import Words

if TYPE_CHECKING:
    from kronos.run import FinishedRun
    from kronos.run_folder import StageFolder
    from kronos.stage_record import StageRecord

LABEL_WIDTH = 11


def print_locations(config: Config, finished: FinishedRun) -> None:
    """Print where the models, the pictures, the settings and the log are."""
    words, run = Words(config.report.language), config.model_paths.run_folder
    rows = []
    for stage, record in finished.records.items():
        folder = run.stage(stage)
        rows.append((words(f"run.{stage}"), f"{folder.best_model}  ({_describe_change(record, folder, words)})"))
        rows.append(("", f"{folder.metrics}"))
    if pictures := finished.pictures:
        names = ", ".join(path.name for path in pictures)
        rows.append((words("run.pictures"), f"{pictures[0].parent}{os.sep}  ({names})"))
    rows += [(words("run.settings"), f"{run.config}"), (words("run.log"), f"{run.log}")]
    _print_rows(rows)


def print_verdict(config: Config, finished: FinishedRun) -> None:
    """Print the verdict, the comparisons, and where the page is; nothing if the run was not evaluated."""
    evaluation, language = finished.evaluation, config.report.language
    if evaluation is None:
        return
    lines = [evaluation.headline[language], ""]
    lines += [f"  {each.sentence[language]}" for each in evaluation.comparisons if each.metric == evaluation.metric]
    lines += [f"  {each.baseline}: {each.reason[language]}" for each in evaluation.left_out]
    lines += ["", *(note[language] for note in evaluation.notes)]
    typer.echo("\n" + "\n".join(lines))
    words = Words(language)
    report = finished.report
    _print_rows([(words("run.report"), f"{report.page}"), (words("run.figures"), f"{report.results}")])


def format_command_line() -> str:
    """Return the command as it was typed, without the launcher and its options."""
    name = Path(sys.argv[0]).name
    program = ["python", name] if name.endswith(".py") and name != "__main__.py" else ["kronos"]
    return shlex.join([*program, *sys.argv[1:]])


def _describe_change(record: StageRecord, folder: StageFolder, words: Words) -> str:
    """Describe what training changed: the figure before and after."""
    from kronos.training.saved.tokenizer_record import read_health

    health = read_health(folder.path) if record.stage == "tokenizer" else None
    if health and health.before and health.kept == "before":
        return words("run.worse", before=health.before.error_bp, after=health.after.error_bp)
    name = words("run.validation_loss") if record.best_by == "loss" else record.best_by
    if not record.improved:
        return words("run.not_improved", name=name, before=record.start_figure)
    return words("run.improved", name=name, before=record.start_figure, after=record.best_figure)


def _print_rows(rows: list[tuple[str, str]]) -> None:
    typer.echo("\n" + "\n".join(label + " " * (LABEL_WIDTH - cell_len(label)) + text for label, text in rows))
