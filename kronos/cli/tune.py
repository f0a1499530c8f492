"""`kronos tune`: a search over settings, by validation loss."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from kronos.cli.environment import (
    limit_thread_spinning,
    log_to_file,
    read_process,
    select_cuda_device,
    start_logging,
    translate_errors,
)
from kronos.cli.train import ConfigOption, Overrides
from kronos.config import Config, load_config
from kronos.errors import ConfigError
from kronos.run_folder import RunFolder, StageFolder
from kronos.tuning.space import Searched, Space, read_space

if TYPE_CHECKING:
    from kronos.tuning.plan import Build, TrialResult
    from kronos.tuning.search import SearchResult

logger = logging.getLogger("kronos")

ROWS_SHOWN = 10
PIPED_WIDTH = 160

SpaceOption = Annotated[Path, typer.Option("--space", help="What is tried; see configs/spaces/.", show_default=False)]
TrialsOption = Annotated[int, typer.Option("--trials", min=1, help="How many, those of earlier calls counted.")]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout-minutes", min=0, help="No trial begins later than this.", show_default=False),
]
StageOption = Annotated[
    Searched, typer.Option("--stage", help="What a trial trains; the last stage's validation loss counts.")
]


def tune(
    config: ConfigOption,
    space: SpaceOption,
    overrides: Overrides = None,
    trials: TrialsOption = 20,
    timeout_minutes: TimeoutOption = None,
    stage: StageOption = "basemodel",
) -> None:
    """Search for settings with a lower validation loss; the same command goes on with an interrupted search."""
    with translate_errors("the same command goes on with the search"):
        limit_thread_spinning()
        start_logging()
        check_requirements()
        settings = load_config(config, overrides or [])

        def build(more: Sequence[str]) -> Config:
            return load_config(config, [*(overrides or []), *more])

        parameters = read_space(space, stage, build)
        select_cuda_device(settings.device.device_id, read_process())
        _search(build, parameters, stage, trials, timeout_minutes)


def check_requirements() -> None:
    if read_process().world_size > 1:
        raise ConfigError(
            "kronos tune runs each trial in one process, and torchrun launched several. To search in parallel, start the "
            "same command several times, for example with device.device_id=0, 1, …: they share the trials."
        )
    if find_spec("optuna") is None:
        raise ConfigError("kronos tune needs optuna, which is not installed: pip install optuna")


def _search(build: Build, space: Space, stage: Searched, n_trials: int, timeout_minutes: float | None) -> None:
    # They bring PyTorch with them; imported here, so that --help and a faulty YAML answer at once.
    from kronos.training.arguments import start_process
    from kronos.tuning.plan import SearchPlan
    from kronos.tuning.search import search

    seconds = None if timeout_minutes is None else timeout_minutes * 60
    plan = SearchPlan(build, space, stage, n_trials, seconds)
    start_process(plan.config, 1)
    log_to_file(RunFolder(plan.folder), 0)
    result = search(plan, _Screen(n_trials, seconds))
    _print_table(result, space, plan.config)
    _print_next_steps(result, n_trials, plan.config.model_paths.run_folder.stage(plan.stages[-1]).path.name)


class _Screen:
    """A progress bar over the trials and a line for each; what a trial itself says goes to a file in its folder."""

    def __init__(self, n_trials: int, seconds: float | None) -> None:
        # Bound to the stream itself: sys.stderr is another one during a trial.
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        silent = not self._console.is_terminal
        self._bar = Progress(
            *columns,
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=silent,
        )
        self._task = self._bar.add_task("trials", total=n_trials, note="")
        self._n_trials = n_trials
        self._seconds = seconds
        self._started = time.monotonic()
        self._done = 0.0  # trials in this call, the running one by its share
        self._best: TrialResult | None = None

    def starts(self, number: int, n_ended: int) -> None:
        self._number, self._n_ended, self._share = number, n_ended, 0.0
        self._bar.start()
        self._show()

    def goes_on(self, share: float) -> None:
        self._done += share - self._share
        self._share = share
        self._show()

    def ends(self, outcome: TrialResult, best: TrialResult | None) -> None:
        self.goes_on(1.0)
        self._best = best
        self._bar.stop()  # while log lines may come
        self._console.print(escape(_one_line(outcome, best)))

    def _show(self) -> None:
        best = f"best {self._best.loss:.5f} (trial {self._best.number})  " if self._best else ""
        note = f"trial {self._number} at {self._share:.0%}  {best}left {self._left()}"
        self._bar.update(self._task, completed=self._n_ended + self._share, note=note)

    def _left(self) -> str:
        elapsed = time.monotonic() - self._started
        if not self._done:
            return "unknown"
        left = elapsed / self._done * (self._n_trials - self._n_ended - self._share)
        if self._seconds is not None:
            left = min(left, max(self._seconds - elapsed, elapsed / self._done * (1 - self._share)))
        return str(timedelta(seconds=round(left)))

    @contextmanager
    def quiet(self, folder: Path) -> Iterator[None]:
        """Send log lines to a file in the folder, and no bars to the screen."""
        handlers = logger.handlers[:]
        logger.handlers.clear()
        try:
            log_to_file(RunFolder(folder), 0)
            with redirect_stderr(io.StringIO()):  # no terminal, so that the bars of a stage stay away
                yield
        finally:
            for handler in logger.handlers:
                handler.close()
            logger.handlers[:] = handlers


def _one_line(outcome: TrialResult, best: TrialResult | None) -> str:
    loss = f"failed: {outcome.fault}" if outcome.ending == "failed" else f"{outcome.ending:<6}  loss {outcome.loss:.5f}"
    values = "  ".join(f"{_short(key)}={_write(value)}" for key, value in outcome.values.items())
    so_far = f"best {best.loss:.5f} (trial {best.number})" if best else "none succeeded yet"
    return f"trial {outcome.number}  {loss}  {_clock(outcome.seconds)}  {values}  {so_far}"


def _short(key: str) -> str:
    return key.partition(".")[2]


def _write(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _print_table(result: SearchResult, space: Space, config: Config) -> None:
    """Print the best trials, and what mattered."""
    configured = {parameter.key: parameter.find_in(config) for parameter in space}
    table = Table(title=f"the best of {len(result.outcomes)} trials", title_justify="left")
    for name in ("trial", "validation loss", *(_short(parameter.key) for parameter in space), "time", ""):
        table.add_column(name, justify="right" if name else "left")
    for outcome in result.outcomes[:ROWS_SHOWN]:
        remarks = ["as configured"] if outcome.values == configured else []
        remarks += [outcome.ending] if outcome.ending != "done" else []
        values = [_write(outcome.values[parameter.key]) for parameter in space]
        table.add_row(
            *(str(outcome.number), f"{outcome.loss:.5f}", *map(escape, values), _clock(outcome.seconds)),
            ", ".join(remarks),
        )
    Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)
    if result.importance:
        shares = ", ".join(f"{_short(key)} {share:.0%}" for key, share in result.importance.items())
        typer.echo(f"what decides whether a trial is among the better half: {shares}")


def _print_next_steps(result: SearchResult, n_trials: int, stage_name: str) -> None:
    if result.n_running:
        typer.echo(
            f"{result.n_running} trials are still running in other processes; the last one to end has the last word"
        )
    elif len(result.outcomes) < n_trials:
        typer.echo(f"the time is up after {len(result.outcomes)} of {n_trials} trials; the same command goes on")
    if result.best_run is None:
        typer.echo("no trial succeeded, so there is no best configuration")
        return
    if not result.improved:
        typer.echo(
            "no trial came below the validation loss before training: other keys, or wider bounds, may be needed"
        )
    typer.echo(f"best model     {StageFolder(result.best_run / stage_name).best_model}")
    typer.echo(f"train with it  python -m kronos train --config {result.best_config}")
