"""What `kronos train` and `kronos evaluate` print when they are done: the verdict, what was written, the next commands."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from kronos.cli.output.text import print_rows, print_text
from kronos.config import Config
from kronos.config.training import LOSS_NAMES
from kronos.report.words.catalogue import Words
from kronos.timing import read_clock

if TYPE_CHECKING:
    from kronos.evaluation.results import Evaluation
    from kronos.run import FinishedRun
    from kronos.run_folder import StageFolder
    from kronos.stage_record import StageRecord

LABEL_WIDTH = 11


def print_training(config: Config, finished: FinishedRun, path: Path) -> None:
    """Print how a training ended: the verdict in short, where things are, and the next two commands.

    Args:
        path: of the YAML.
    """
    words = Words(config.report.language)
    if finished.evaluation is not None:
        from kronos.report.words.verdict_text import write_short_verdict

        print_text(f"\n{write_short_verdict(finished.evaluation, words)}")
        _print_money(finished.evaluation, words)
    print_text("")
    print_rows(_list_places(config, finished, words), LABEL_WIDTH)
    _print_next(_list_next_commands(config, finished, path), words)


def print_evaluation(config: Config, finished: FinishedRun) -> None:
    """Print the verdict with all comparisons, where it is written, and the next commands."""
    if finished.evaluation is None:
        return
    from kronos.report.words.verdict_text import write_verdict

    words, report = Words(config.report.language), finished.report
    print_text(f"\n{write_verdict(finished.evaluation, words)}")
    _print_money(finished.evaluation, words)
    rows = [(words("run.report"), report.page), (words("run.figures"), report.results)]
    rows += [(words("run.losses"), report.losses)] if config.evaluation.losses else []
    print_text("")
    print_rows([(label, str(path)) for label, path in rows], LABEL_WIDTH)
    if finished.evaluation.kind == "run":
        _print_next(_list_next_commands(config, finished), words)


def _print_money(evaluation: Evaluation, words: Words) -> None:
    from kronos.report.words.money import write_money

    if money := write_money(evaluation, words):
        print_text("\n" + "\n".join(money))


def _list_places(config: Config, finished: FinishedRun, words: Words) -> list[tuple[str, str]]:
    """Return the report, the models with what training changed, the pictures, the log and the time that it took."""
    run, rows = config.model_paths.run_folder, []
    if finished.evaluation is not None:
        rows.append((words("run.report"), f"{finished.report.page}"))
    for stage, record in finished.records.items():
        folder = run.stage(stage)
        rows.append((words(f"run.{stage}"), f"{folder.best_model}  ({_describe_change(record, folder, words)})"))
    pictures = finished.pictures
    if pictures and finished.evaluation is None:  # otherwise they are beside the report, and in it
        rows.append((words("run.pictures"), f"{pictures[0].parent}{os.sep}{pictures[0].name} …"))
    return [*rows, (words("run.log"), f"{run.log}  ({_write_time(words)})")]


def _write_time(words: Words) -> str:
    from kronos.report.words.times import format_rough_time

    return format_rough_time(sum(read_clock().values()), words)


def _describe_change(record: StageRecord, folder: StageFolder, words: Words) -> str:
    """Describe what training changed: the figure before and after."""
    from kronos.training.saved.tokenizer_record import read_health

    health = read_health(folder.path) if record.stage == "tokenizer" else None
    if health and health.before and health.kept == "before":
        return words("run.worse", before=health.before.error_bp, after=health.after.error_bp)
    name = words(f"run.validation_{record.best_by}") if record.best_by in LOSS_NAMES else record.best_by
    if not record.improved and not record.blend:
        return words("run.not_improved", name=name, before=record.start_figure)
    key = "run.improved" if record.improved else "run.not_improved_alone"
    change = words(key, name=name, before=record.start_figure, after=record.best_figure)
    if record.blend is None or (record.blend == 1 and record.improved):
        return change
    return words("run.blend", change=change, share=record.blend, rest=1 - record.blend)


def _list_next_commands(config: Config, finished: FinishedRun, path: Path | None = None) -> dict[str, str]:
    """Return the next commands by what they do: a key of the words."""
    run = str(config.model_paths.run_folder.path)
    if path is not None and "basemodel" not in finished.records:
        return {"train_base_model": shlex.join(["kronos", "train", "--config", str(path), "--skip-tokenizer"])}
    evaluation = finished.evaluation
    judge = {"judge": evaluation.judge_new} if evaluation and evaluation.judge_new else {}
    judge = judge or {"evaluate": shlex.join(["kronos", "evaluate", "--run", run])}
    return {"forecast": shlex.join(["kronos", "predict", "--run", run]), **judge}


def _print_next(commands: dict[str, str], words: Words) -> None:
    """Print what to do next, and the commands that do it to copy."""
    steps = words("verdict.comma").join(words(f"run.next.{key}") for key in commands)
    print_text("\n".join(["", words("run.next.title", steps=steps), *(f"  {each}" for each in commands.values())]))
