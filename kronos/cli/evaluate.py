"""`kronos evaluate`: did it help? Forecasts of a run and its baselines on candles that it has not learnt from."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kronos.cli.environment import (
    limit_thread_spinning,
    lock_run_folder,
    read_backend_override,
    read_process,
    select_cuda_device,
    start_logging,
    translate_errors,
)
from kronos.errors import ConfigError
from kronos.run_folder import ReportFolder

if TYPE_CHECKING:
    from kronos.config import Config
    from kronos.evaluation.results import Evaluation, Language

logger = logging.getLogger(__name__)

GOES_ON = "the same command again goes on: the forecasts made so far are kept"
ALLOWED = ("evaluation.", "report.", "device.", "distributed.")

RunOption = Annotated[Path, typer.Option("--run", help="The run's folder, {base_path}/{exp_name}.", show_default=False)]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Other candles than the run's own: a file, a folder or a glob.", show_default=False),
]
SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since", help="With --data: the first time that may be forecast.", show_default="all the run has not seen"
    ),
]
BaselinesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rivals", "--baselines", help="Compare with this one; again for more.", show_default="evaluation.rivals"
    ),
]
AllOption = Annotated[bool, typer.Option("--all-origins", help="Forecast from every origin, however long it takes.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Override the run's settings, e.g. evaluation.stride=12"),
]


def evaluate(
    run: RunOption,
    overrides: Overrides = None,
    data: DataOption = None,
    since: SinceOption = None,
    baselines: BaselinesOption = None,
    all_origins: AllOption = False,
) -> None:
    """Say whether a run helped: against the pretrained model, naive forecasts, an LSTM or other runs."""
    with translate_errors(GOES_ON):
        limit_thread_spinning()
        start_logging()
        process = read_process()
        start_logging(process.rank)
        if since is not None and data is None:
            raise ConfigError("--since goes with --data: of its own candles a run is judged on the test split.")
        given = [*read_backend_override(), *_check(overrides or [])]
        given += [f"evaluation.rivals=[{', '.join(map(repr, baselines))}]"] if baselines else []
        given += ["evaluation.budget_minutes=null"] if all_origins else []
        from kronos.saved_run import load_run_config

        config = load_run_config(run, given)
        select_cuda_device(config.device.device_id, process)
        with lock_run_folder(config.model_paths.run_folder, process.rank):
            _evaluate(config, process.world_size, data, since)


def _check(overrides: Sequence[str]) -> Sequence[str]:
    """Return overrides, all of which may change for a run that has been trained."""
    if wrong := [each for each in overrides if not each.startswith(ALLOWED)]:
        raise ConfigError(
            f"{wrong[0]}: a finished run is evaluated with the settings it was trained with; only {', '.join(ALLOWED)} can be "
            "changed, and --data given."
        )
    return overrides


def _evaluate(config: Config, world_size: int, data: Path | None, since: datetime | None) -> None:
    from accelerate import PartialState

    from kronos.data import split_candles
    from kronos.evaluation.baselines import check_baselines
    from kronos.evaluation.origins.held_out import choose_held_out, choose_new, find_instant, is_own
    from kronos.report.verdict.evaluation_report import report_on
    from kronos.saved_run import check_trained
    from kronos.training.arguments import start_process
    from kronos.training.pipeline import load_run_candles

    check_trained(config)
    check_baselines(config)
    start_process(config, world_size)
    folder = config.model_paths.run_folder.report
    if data is not None:
        config = config.override({"data.data_path": data})
        folder = config.model_paths.run_folder.report_on(data)
    candles = load_run_candles(config).candles
    own, splits = None, {}
    if since is None and is_own(config, candles):
        own, splits = candles, split_candles(candles, config.data)
        held_out = choose_held_out(config, candles, splits)
    else:
        if data is None:
            logger.warning("the run's candles are not those it was trained on: only what came later is forecast")
        held_out = choose_new(config, candles, find_instant(candles, since) if since else None)
    evaluation = report_on(config, held_out, own, splits, folder.path, command_line())
    PartialState().destroy_process_group()
    if evaluation:
        print_verdict(evaluation, folder, config.report.language)


def print_verdict(evaluation: Evaluation, folder: ReportFolder, language: Language) -> None:
    """Print the sentence, the comparisons, and where the page is."""
    lines = [evaluation.headline[language], ""]
    lines += [f"  {each.sentence[language]}" for each in evaluation.comparisons if each.metric == evaluation.metric]
    lines += [f"  {each.baseline}: {each.reason[language]}" for each in evaluation.left_out]
    lines += ["", *(note[language] for note in evaluation.notes)]
    typer.echo("\n" + "\n".join(lines) + f"\n\nreport     {folder.page}\nfigures    {folder.results}")


def command_line() -> str:
    """Return the command as it was typed, but for the launcher's own options."""
    name = Path(sys.argv[0]).name
    program = ["python", name] if name.endswith(".py") and name != "__main__.py" else ["kronos"]
    return shlex.join([*program, *sys.argv[1:]])
