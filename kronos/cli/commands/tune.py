"""`kronos tune`: search settings with a lower validation loss."""

from __future__ import annotations

import io
import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from kronos.cli.commands.train import ConfigOption, Overrides
from kronos.cli.language import settle_language, translate
from kronos.cli.logs import log_to_file
from kronos.cli.output.text import print_text
from kronos.cli.session import (
    LanguageOption,
    VerboseOption,
    announce,
    check_gpu_if_typed,
    loading_libraries,
    read_process,
    select_cuda_device,
    start_session,
)
from kronos.cli.start import name_commands, report_signals, write_stderr
from kronos.config import Config, load_config
from kronos.errors import ConfigError
from kronos.names import Message, make_printable
from kronos.report.words.catalogue import Words
from kronos.run_folder import RunFolder
from kronos.tuning.space import Space, TrialStages, read_space

if TYPE_CHECKING:
    from kronos.tuning.plan import SearchPlan, TrialResult
    from kronos.tuning.search import SearchResult

logger = logging.getLogger("kronos")

ROWS_SHOWN = 10
PIPED_WIDTH = 160
CURVE_NAME = "curve.png"

SpaceOption = Annotated[
    str,
    typer.Option(
        "--space",
        help="The keys and values to try: a YAML file (see configs/spaces/), or the YAML itself.",
        show_default=False,
    ),
]
TrialsOption = Annotated[
    int, typer.Option("--trials", min=1, max=100_000, help="Number of trials, including earlier calls.")
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout-minutes", min=0, max=1e6, help="Start no trial later than this.", show_default=False),
]
StageOption = Annotated[
    TrialStages, typer.Option("--stage", help="What a trial trains; the validation loss of the last stage counts.")
]


def tune_command(
    config: ConfigOption,
    space: SpaceOption,
    overrides: Overrides = None,
    trials: TrialsOption = 20,
    timeout_minutes: TimeoutOption = None,
    stage: StageOption = "basemodel",
    language: LanguageOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Search settings with a lower validation loss; over one numeric key, also draw the curve. The same command resumes."""
    with start_session("run the same command to continue the search", language, verbose=verbose):
        _check_search_can_start()
        given = [*(overrides or []), *([f"report.language={language}"] if language else [])]
        settings = load_config(config, given)
        words = Words(settle_language(settings))

        def build(more: Sequence[str]) -> Config:
            return load_config(config, [*given, *more])

        parameters = read_space(space, stage, build)
        select_cuda_device(settings.device.device_id, read_process())
        check_gpu_if_typed(settings, given)
        announce(settings, "tune", name=settings.model_paths.exp_name, n=trials, settings=config)
        with loading_libraries():
            from kronos.tuning.plan import SearchPlan  # it imports PyTorch: --help and a wrong YAML must answer at once

        if timeout_minutes is not None and math.isnan(timeout_minutes):
            raise ConfigError("--timeout-minutes must be a number.")
        seconds = None if timeout_minutes is None else timeout_minutes * 60
        _search(SearchPlan(build, parameters, stage, trials, seconds), words)


def _check_search_can_start() -> None:
    if read_process().world_size > 1:
        raise ConfigError(
            "kronos tune runs each trial in one process, but torchrun started several. To search in parallel, start the same "
            "command several times, for example with device.device_id=0, 1, …; the processes share the trials."
        )
    if find_spec("optuna") is None:
        raise ConfigError("kronos tune needs optuna, which is not installed: pip install optuna")


def _search(plan: SearchPlan, words: Words) -> None:
    from kronos.report.advice import log_missing_gpu
    from kronos.training.arguments import start_process
    from kronos.tuning.search import run_search

    start_process(plan.config, 1)
    log_missing_gpu(plan.config)
    log_to_file(RunFolder(plan.folder), 0)
    result = run_search(plan, _Display(plan.n_trials, plan.seconds, words))
    _print_table(result, plan.space, plan.config, words)
    picture = _draw_curve(result, plan, words)
    _print_next_steps(result, plan, picture, words)


class _Display:
    """A progress bar over the trials and one line for each; the log of a trial goes to a file in its folder."""

    def __init__(self, n_trials: int, seconds: float | None, words: Words) -> None:
        # Bound to the stream itself, because sys.stderr is replaced during a trial.
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        note = TextColumn("{task.fields[note]}")
        self._bar = Progress(
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), note),
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(words("tune.trials"), total=n_trials, note="")
        self._words = words
        self._n_trials = n_trials
        self._seconds = seconds
        self._started = time.monotonic()
        self._done = 0.0  # trials in this call, with the finished share of the running one
        self._best: TrialResult | None = None

    def start_trial(self, number: int, n_finished: int) -> None:
        self._number, self._n_finished, self._share = number, n_finished, 0.0
        self._bar.start()
        self._show()

    def update_trial(self, share: float) -> None:
        self._done += share - self._share
        self._share = share
        self._show()

    def finish_trial(self, result: TrialResult, best: TrialResult | None) -> None:
        self.update_trial(1.0)
        self._best = best
        self._bar.stop()  # log lines may follow
        self._console.print(escape(_describe_trial(result, best, self._words)))

    def _show(self) -> None:
        notes = [self._words("tune.running", number=self._number, share=self._share)]
        if self._best:
            notes.append(self._words("tune.best_so_far", loss=self._best.loss, number=self._best.number))
        notes.append(self._words("tune.time_left", time=self._estimate_time_left()))
        self._bar.update(self._task, completed=self._n_finished + self._share, note="  ".join(notes))

    def _estimate_time_left(self) -> str:
        elapsed = time.monotonic() - self._started
        if not self._done:
            return self._words("tune.unknown")
        left = elapsed / self._done * (self._n_trials - self._n_finished - self._share)
        if self._seconds is not None:
            left = min(left, max(self._seconds - elapsed, elapsed / self._done * (1 - self._share)))
        return _format_time(left)

    @contextmanager
    def redirect_log(self, folder: Path) -> Iterator[None]:
        """Send log lines to a file in the folder, and show no progress bars."""
        handlers = logger.handlers[:]
        try:
            log_to_file(RunFolder(folder), 0)
            del logger.handlers[1:]
            with report_signals(_report_stop), redirect_stderr(io.StringIO()):  # not a terminal: a stage shows no bars
                yield
        finally:
            for handler in set(logger.handlers) - set(handlers):
                handler.close()
            logger.handlers[:] = handlers


def _report_stop(message: Message) -> None:
    logger.critical(message)
    write_stderr(translate(message))


def _describe_trial(result: TrialResult, best: TrialResult | None, words: Words) -> str:
    """Describe a trial in one line."""
    values = "  ".join(f"{_shorten(key)}={_format_value(value)}" for key, value in result.values.items())
    return words(
        f"tune.trial_{result.status}",
        number=result.number,
        loss=result.loss,
        error=result.error,
        time=_format_time(result.seconds),
        values=values,
        best=words("tune.best_so_far", loss=best.loss, number=best.number) if best else words("tune.none_yet"),
    )


def _shorten(key: str) -> str:
    """Return a key without its section."""
    return key.partition(".")[2]


def _format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _format_time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _print_table(result: SearchResult, space: Space, config: Config, words: Words) -> None:
    """Print the best trials, and which keys mattered."""
    configured = {parameter.key: parameter.find_configured(config) for parameter in space}
    table = Table(title=words("tune.title", n=len(result.trials)), title_justify="left")
    headings = [words(f"tune.columns.{name}") for name in ("trial", "loss", "time")]
    for heading in (*headings[:2], *(_shorten(parameter.key) for parameter in space), headings[2], ""):
        table.add_column(heading, justify="right" if heading else "left")
    for trial in result.trials[:ROWS_SHOWN]:
        remarks = [words("tune.as_configured")] if trial.values == configured else []
        remarks += [words(f"tune.{trial.status}")] if trial.status != "done" else []
        values = [escape(_format_value(trial.values[parameter.key])) for parameter in space]
        table.add_row(
            *(str(trial.number), f"{trial.loss:.5f}", *values, _format_time(trial.seconds)), ", ".join(remarks)
        )
    Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)
    if result.importance:
        shares = ", ".join(f"{_shorten(key)} {share:.0%}" for key, share in result.importance.items())
        print_text(words("tune.importance", shares=shares))


def _draw_curve(result: SearchResult, plan: SearchPlan, words: Words) -> Path | None:
    """Draw the loss over the key if there is one numeric key and a finished trial."""
    if len(plan.space) != 1 or not plan.space[0].is_numeric or not result.best:
        return None
    from kronos.report.charts.search_curve import draw_search_curve

    path, parameter = plan.folder / CURVE_NAME, plan.space[0]
    name, stage = plan.config.model_paths.exp_name, plan.stages[-1]
    title = words("tune.curve.title", name=name, n=len(result.trials), stage=stage)
    draw_search_curve(result, parameter, parameter.get_value(plan.config), path, title, words)
    return path


def _print_next_steps(result: SearchResult, plan: SearchPlan, picture: Path | None, words: Words) -> None:
    n_finished = len(result.trials)
    if result.n_running:
        print_text(words("tune.still_running", n=result.n_running))
    elif n_finished < plan.n_trials:
        print_text(words("tune.time_is_up", n_finished=n_finished, n_trials=plan.n_trials))
    if result.best_model is None:
        print_text(words("tune.none_succeeded"))
        return
    if not result.improved:
        print_text(words("tune.not_improved"))
    rows: dict[str, object] = {"picture": picture} if picture else {}
    rows["best_model"] = result.best_model
    rows["train_with_it"] = name_commands(f"kronos train --config {result.best_config}")
    width = max(cell_len(words(f"tune.{key}")) for key in rows) + 2
    for key, text in rows.items():
        typer.echo(set_cell_size(words(f"tune.{key}"), width) + make_printable(str(text)))
