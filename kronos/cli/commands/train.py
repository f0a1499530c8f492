"""`kronos train`, and the three scripts of the same purpose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from kronos.cli.dry_run import show_plan
from kronos.cli.logs import log_to_file
from kronos.cli.output.ending import print_training
from kronos.cli.session import (
    LanguageOption,
    Process,
    VerboseOption,
    announce,
    load_session_config,
    loading_libraries,
    start_session,
)
from kronos.cli.start import format_command_line
from kronos.config import Config, load_config
from kronos.config.schema import Language
from kronos.run_folder import lock_run_folder

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
    verbose: VerboseOption = False,
) -> None:
    """Fine-tune the tokenizer, then the base model. End with a verdict on held-out candles."""
    skipped = {"tokenizer": skip_tokenizer, "basemodel": skip_basemodel}
    off = [f"experiment.train_{stage}=false" for stage, skip in skipped.items() if skip]
    train_from(config, [*(overrides or []), *off], skip_existing, dry_run, language, verbose)


def train_tokenizer(
    config: ConfigOption,
    overrides: Overrides = None,
    skip_existing: SkipExisting = False,
    dry_run: DryRun = False,
    language: LanguageOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Fine-tune the tokenizer only."""
    stages = ["experiment.train_tokenizer=true", "experiment.train_basemodel=false"]
    train_from(config, [*(overrides or []), *stages], skip_existing, dry_run, language, verbose)


def train_base_model(
    config: ConfigOption,
    overrides: Overrides = None,
    skip_existing: SkipExisting = False,
    dry_run: DryRun = False,
    language: LanguageOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Fine-tune the base model only. It uses the run's fine-tuned tokenizer or, if there is none, the pretrained one."""
    stages = ["experiment.train_tokenizer=false", "experiment.train_basemodel=true"]
    train_from(config, [*(overrides or []), *stages], skip_existing, dry_run, language, verbose)


def train_from(
    path: Path, overrides: Sequence[str], skip_existing: bool, dry_run: bool, language: Language | None, verbose: bool
) -> Config:
    """Train as a YAML file and overrides tell, or show the plan; return the configuration."""
    advice, option = "run the same command with --skip-existing to resume from the last checkpoint", "--skip-existing"
    if dry_run:
        advice, option = "nothing was written; run the same command again", ""
    with start_session(advice, language, option, distributed=True, verbose=verbose) as process:
        config = load_session_config(lambda given: load_config(path, given), overrides, process, language)
        skip_existing = skip_existing or config.experiment.skip_existing
        if dry_run:
            show_plan(config, process.rank, process.world_size, skip_existing)
            return config
        run = config.model_paths.run_folder
        log_to_file(run, process.rank)
        _announce(config, path)
        with lock_run_folder(run, process.rank):
            _run(config, path, skip_existing, process)
    return config


def _announce(config: Config, path: Path) -> None:
    """Log what is going to be trained, before anything slow begins."""
    on, paths = config.experiment, config.model_paths
    key = "train_basemodel" if not on.train_tokenizer else "train" if on.train_basemodel else "train_tokenizer"
    models = {"tokenizer": paths.pretrained_tokenizer, "basemodel": paths.pretrained_predictor}
    announce(config, key, None, name=paths.exp_name, settings=path, recipe=config.recipe, **models)


def _run(config: Config, path: Path, skip_existing: bool, process: Process) -> None:
    with loading_libraries():  # --help and an error in the YAML do not wait for it
        from kronos.run import run_training

    finished = run_training(config, skip_existing, process.world_size, format_command_line())
    if process.rank == 0:
        print_training(config, finished, path)
