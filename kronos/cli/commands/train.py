"""`kronos train`, and the three scripts of the same purpose."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kronos.cli.commands.evaluate import print_rows, print_verdict
from kronos.cli.dry_run import show_plan
from kronos.cli.logs import log_to_file
from kronos.cli.session import (
    LanguageOption,
    Process,
    load_session_config,
    loading_libraries,
    start_session,
)
from kronos.cli.start import format_command_line
from kronos.config import Config, load_config
from kronos.config.schema import Language
from kronos.config.training import LOSS_NAMES
from kronos.report.words.catalogue import Words
from kronos.run_folder import lock_run_folder

if TYPE_CHECKING:
    from kronos.run import FinishedRun
    from kronos.run_folder import StageFolder
    from kronos.stage_record import StageRecord

ConfigOption = Annotated[Path, typer.Option("--config", help="The YAML file; see configs/.", show_default=False)]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Skip finished stages and resume an interrupted one.")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Show what would be trained, how long it takes and what looks wrong. Nothing is written."
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Override the file, e.g. training.batch_size=8"),
]


def train_command(
    config: ConfigOption,
    overrides: Overrides = None,
    skip_existing: SkipExisting = False,
    skip_tokenizer: Annotated[bool, typer.Option("--skip-tokenizer", help="Do not train the tokenizer.")] = False,
    skip_basemodel: Annotated[bool, typer.Option("--skip-basemodel", help="Do not train the base model.")] = False,
    dry_run: DryRun = False,
    language: LanguageOption = None,
) -> None:
    """Fine-tune the tokenizer, then the base model. End with a verdict on held-out candles."""
    skipped = {"tokenizer": skip_tokenizer, "basemodel": skip_basemodel}
    off = [f"experiment.train_{stage}=false" for stage, skip in skipped.items() if skip]
    train_from(config, [*(overrides or []), *off], skip_existing, dry_run, language)


def train_tokenizer(
    config: ConfigOption,
    overrides: Overrides = None,
    skip_existing: SkipExisting = False,
    dry_run: DryRun = False,
    language: LanguageOption = None,
) -> None:
    """Fine-tune the tokenizer only."""
    stages = ["experiment.train_tokenizer=true", "experiment.train_basemodel=false"]
    train_from(config, [*(overrides or []), *stages], skip_existing, dry_run, language)


def train_base_model(
    config: ConfigOption,
    overrides: Overrides = None,
    skip_existing: SkipExisting = False,
    dry_run: DryRun = False,
    language: LanguageOption = None,
) -> None:
    """Fine-tune the base model only. It uses the run's fine-tuned tokenizer or, if there is none, the pretrained one."""
    stages = ["experiment.train_tokenizer=false", "experiment.train_basemodel=true"]
    train_from(config, [*(overrides or []), *stages], skip_existing, dry_run, language)


def train_from(
    path: Path, overrides: Sequence[str], skip_existing: bool, dry_run: bool, language: Language | None
) -> Config:
    """Train as a YAML file and overrides tell, or show the plan; return the configuration."""
    advice, option = "run the same command with --skip-existing to resume from the last checkpoint", "--skip-existing"
    if dry_run:
        advice, option = "nothing was written; run the same command again", ""
    with start_session(advice, language, option, distributed=True) as process:
        config = load_session_config(lambda given: load_config(path, given), overrides, process, language)
        skip_existing = skip_existing or config.experiment.skip_existing
        if dry_run:
            show_plan(config, process.rank, process.world_size, skip_existing)
            return config
        run = config.model_paths.run_folder
        log_to_file(run, process.rank)
        with lock_run_folder(run, process.rank):
            _run(config, skip_existing, process)
    return config


def _run(config: Config, skip_existing: bool, process: Process) -> None:
    with loading_libraries():  # --help and an error in the YAML do not wait for it
        from kronos.run import run_training

    finished = run_training(config, skip_existing, process.world_size, format_command_line())
    if process.rank == 0:
        _print_locations(config, finished)
        print_verdict(config, finished)


def _print_locations(config: Config, finished: FinishedRun) -> None:
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
    print_rows(rows)


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
    if record.blend is None:
        return change
    return words("run.blend", change=change, share=record.blend, rest=1 - record.blend)
