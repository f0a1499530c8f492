"""`kronos train`, and the three scripts of the same purpose."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kronos.cli.dry_run import show_plan
from kronos.cli.environment import (
    limit_thread_spinning,
    lock_run_folder,
    log_to_file,
    read_backend_override,
    read_process,
    select_cuda_device,
    start_logging,
    translate_errors,
)
from kronos.cli.evaluate import command_line, print_verdict
from kronos.config import Config, load_config
from kronos.errors import KronosError

if TYPE_CHECKING:
    from kronos.config.training import StageName
    from kronos.evaluation.results import Evaluation
    from kronos.stage_record import StageRecord
    from kronos.training.pipeline import RunResult

ConfigOption = Annotated[Path, typer.Option("--config", help="The YAML file; see configs/.", show_default=False)]
SkipExisting = Annotated[
    bool, typer.Option("--skip-existing", help="Skip finished stages and go on with an interrupted one.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be trained, in how long, and what looks wrong; write nothing."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Override the file, e.g. training.batch_size=8"),
]


def train(
    config: ConfigOption,
    overrides: Overrides = None,
    skip_existing: SkipExisting = False,
    skip_tokenizer: Annotated[bool, typer.Option("--skip-tokenizer", help="Do not train the tokenizer.")] = False,
    skip_basemodel: Annotated[bool, typer.Option("--skip-basemodel", help="Do not train the base model.")] = False,
    dry_run: DryRun = False,
) -> None:
    """Fine-tune the tokenizer, then the base model, then say on held-out candles whether it helped."""
    off = [
        f"experiment.train_{name}=false"
        for name, skip in (("tokenizer", skip_tokenizer), ("basemodel", skip_basemodel))
        if skip
    ]
    run_training(config, [*(overrides or []), *off], skip_existing, dry_run)


def train_tokenizer(
    config: ConfigOption, overrides: Overrides = None, skip_existing: SkipExisting = False, dry_run: DryRun = False
) -> None:
    """Fine-tune the tokenizer alone."""
    stages = ["experiment.train_tokenizer=true", "experiment.train_basemodel=false"]
    run_training(config, [*(overrides or []), *stages], skip_existing, dry_run)


def train_base_model(
    config: ConfigOption, overrides: Overrides = None, skip_existing: SkipExisting = False, dry_run: DryRun = False
) -> None:
    """Fine-tune the base model alone, on the tokenizer that its stage left or, without one, the pretrained one."""
    stages = ["experiment.train_tokenizer=false", "experiment.train_basemodel=true"]
    run_training(config, [*(overrides or []), *stages], skip_existing, dry_run)


def run_training(config_path: Path, overrides: Sequence[str], skip_existing: bool, dry_run: bool) -> None:
    """Load the configuration, train the stages, judge the result, say where everything is; or only say what would be."""
    with translate_errors("the same command with --skip-existing goes on from the last checkpoint, if any"):
        limit_thread_spinning()
        start_logging()
        process = read_process()
        start_logging(process.rank)
        config = load_config(config_path, [*read_backend_override(), *overrides])
        select_cuda_device(config.device.device_id, process)
        skip_existing = skip_existing or config.experiment.skip_existing
        if dry_run:
            show_plan(config, process.rank, process.world_size, skip_existing)
            return
        log_to_file(config.model_paths.run_folder, process.rank)
        with lock_run_folder(config.model_paths.run_folder, process.rank):
            _run(config, process.rank, process.world_size, skip_existing)


def _run(config: Config, rank: int, world_size: int, skip_existing: bool) -> None:
    # They bring PyTorch with them; imported here, so that --help and a faulty YAML answer at once.
    from accelerate import PartialState

    from kronos.evaluation import ValidationScore
    from kronos.evaluation.baselines import check_baselines
    from kronos.report.forecast.held_out import draw_held_out_forecasts
    from kronos.training.arguments import start_process
    from kronos.training.pipeline import run_pipeline

    judged = config.experiment.train_basemodel and config.evaluation.enabled
    if judged:
        check_baselines(config)
    start_process(config, world_size)
    result = run_pipeline(config, skip_existing, build_score=ValidationScore)
    evaluation = _evaluate(config, result) if judged else None
    PartialState().destroy_process_group()  # the other ranks are done
    if rank == 0:
        pictures = draw_held_out_forecasts(config, result) if config.experiment.train_basemodel else []
        _print_locations(config, result.records, pictures)
        if evaluation:
            print_verdict(evaluation, config.model_paths.run_folder.report, config.report.language)


def _evaluate(config: Config, result: RunResult) -> Evaluation | None:
    """Judge the run; where that fails, the models are saved all the same, and it is said how to go on."""
    from kronos.evaluation.origins.held_out import choose_of_training
    from kronos.report.verdict.evaluation_report import report_on

    run = config.model_paths.run_folder
    try:
        held_out = choose_of_training(config, result.candles, result.splits)
        return report_on(config, held_out, result.candles, result.splits, run.report.path, command_line())
    except (KronosError, OSError) as error:
        raise KronosError(
            f"{error}\nThe models are trained and saved in {run.path}; only their evaluation failed: kronos evaluate --run "
            f"{shlex.quote(str(run.path))} goes on."
        ) from None


def _print_locations(config: Config, records: dict[StageName, StageRecord], pictures: Sequence[Path]) -> None:
    """End with where everything is."""
    run = config.model_paths.run_folder
    rows = []
    for name, record in records.items():
        folder, label = run.stage(name), {"tokenizer": "tokenizer", "basemodel": "base model"}[name]
        rows.append((label, f"{folder.best_model}  ({_compare(record, folder.path)})"))
        rows.append(("", f"{folder.metrics}"))
    if pictures:
        rows.append(("pictures", f"{pictures[0].parent}{os.sep}  ({', '.join(path.name for path in pictures)})"))
    rows.append(("settings", f"{run.config}"))
    rows.append(("log", f"{run.log}"))
    typer.echo("\n" + "\n".join(f"{label:<11}{text}" for label, text in rows))


def _compare(record: StageRecord, folder: Path) -> str:
    from kronos.training.saved.tokenizer_record import read_health
    from kronos.training.tokenizer_gate import describe_error

    health = read_health(folder) if record.stage == "tokenizer" else None
    if health and health.kept == "before":
        return f"{describe_error(health)}: training made it worse, this is the untouched model"
    if not record.improved:
        return f"{record.figure_name} {record.start_figure:.5f}: training did not improve on it, this is the untouched model"
    return f"{record.figure_name} {record.start_figure:.5f} before, {record.best_figure:.5f} after"
