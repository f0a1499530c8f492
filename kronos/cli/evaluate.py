"""`kronos evaluate`: forecasts of a run and of its baselines on candles that the run was not trained on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len

from kronos.cli.session import LanguageOption, format_command_line, load_session_config, lock_run_folder, start_session
from kronos.config import Config
from kronos.errors import ConfigError
from kronos.report.words.catalogue import Words

if TYPE_CHECKING:
    from kronos.run import FinishedRun

LABEL_WIDTH = 11
TIME_FORMATS = ["%Y-%m-%d", *(f"%Y-%m-%d{gap}%H:%M{end}" for gap in " T" for end in ("", ":%S"))]
ALLOWED = ("evaluation.", "report.", "device.", "distributed.")

RunOption = Annotated[Path, typer.Option("--run", help="The run's folder, {base_path}/{exp_name}.", show_default=False)]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Other candles than the run's own: a file, a folder or a glob.", show_default=False),
]
SinceOption = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        formats=TIME_FORMATS,
        metavar="TIME",
        help='With --data: forecast only candles after this local time, "2024-09-02 09:35" or 2024-09-02.',
        show_default="all the run has not seen",
    ),
]
BaselinesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--rivals",
        "--baselines",
        help="Compare with this baseline; repeat for more.",
        show_default="evaluation.rivals",
    ),
]
AllOption = Annotated[bool, typer.Option("--all-origins", help="Forecast from every origin, however long it takes.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Override the run's settings, e.g. evaluation.stride=12"),
]


def evaluate_command(
    run: RunOption,
    overrides: Overrides = None,
    data: DataOption = None,
    since: SinceOption = None,
    baselines: BaselinesOption = None,
    all_origins: AllOption = False,
    language: LanguageOption = None,
) -> None:
    """Measure whether a run helped: against the pretrained model, naive forecasts, an LSTM or other runs."""
    with start_session("run the same command to resume; finished forecasts are kept", distributed=True) as process:
        if since is not None and data is None:
            raise ConfigError("--since needs --data. A run is evaluated on the test split of its own candles.")
        given = [*_check_overrides(overrides or [])]
        given += [f"evaluation.rivals=[{', '.join(map(repr, baselines))}]"] if baselines else []
        given += ["evaluation.budget_minutes=null"] if all_origins else []
        from kronos.saved_run import load_run_config

        config = load_session_config(lambda given: load_run_config(run, given), given, process, language)
        with lock_run_folder(config.model_paths.run_folder, process.rank):
            from kronos.run import run_evaluation

            finished = run_evaluation(config, data, since, process.world_size, format_command_line())
            if process.rank == 0:
                print_verdict(config, finished)


def _check_overrides(overrides: Sequence[str]) -> Sequence[str]:
    """Return the overrides, after checking that each may change once a run is trained."""
    if wrong := [each for each in overrides if not each.startswith(ALLOWED)]:
        raise ConfigError(
            "{override}: this setting cannot change after training. Only {allowed} can be changed, and the candles with --data.",
            override=wrong[0],
            allowed=", ".join(f"{section}*" for section in ALLOWED),
        )
    return overrides


def print_verdict(config: Config, finished: FinishedRun) -> None:
    """Print the verdict, the comparisons, and where the page is; nothing if the run was not evaluated."""
    if finished.evaluation is None:
        return
    from kronos.report.words.sentences import write_verdict

    words, report = Words(config.report.language), finished.report
    typer.echo(f"\n{write_verdict(finished.evaluation, words)}")
    print_rows([(words("run.report"), f"{report.page}"), (words("run.figures"), f"{report.results}")])


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print labels and texts in two columns; a Chinese character takes two cells."""
    typer.echo("\n" + "\n".join(label + " " * (LABEL_WIDTH - cell_len(label)) + text for label, text in rows))
