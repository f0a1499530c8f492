"""`kronos compare`: several evaluated runs side by side."""

import io
import json
import logging
import math
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from kronos.cli.language import settle_language
from kronos.cli.output.text import print_text
from kronos.cli.session import LanguageOption, start_session
from kronos.cli.start import name_commands
from kronos.config import Config, load_config
from kronos.config.load import UNSHARDED
from kronos.disk.temporaries import remove_temporaries
from kronos.errors import CheckpointError, ConfigError
from kronos.evaluation.results import Comparison, Evaluation
from kronos.evaluation.runs.compare import (
    CONDITIONS,
    RULES,
    EvaluatedRun,
    MetricRow,
    RunsCompared,
    compare_runs,
    find_older,
    flatten_settings,
)
from kronos.evaluation.scores.figure_kinds import FIGURE_KINDS
from kronos.files import write_text
from kronos.names import Message, make_printable, shorten_names
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import NO_FIGURE, format_figures, format_level, format_percent
from kronos.report.words.sentences import name_forecaster, write_outcome
from kronos.run_folder import RunFolder

logger = logging.getLogger(__name__)

LABEL, RUN = 20, 15  # columns of the screen, with padding
WIDE_LABEL, WIDE_RUN = 40, 26  # if there is room
GOALS = {"lower": "↓", "higher": "↑", None: ""}
STYLES = {"helped": "green", "no difference": "yellow", "hurt": "red", "too little data to tell": "dim"}

Runs = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Folders of evaluated runs, {base_path}/{exp_name}.")
]
Metrics = Annotated[
    list[str] | None, typer.Option("--metric", help="Show this metric; again for more.", metavar="NAME")
]
Everything = Annotated[bool, typer.Option("--all", help="Show all metrics, of log returns and of prices.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
Html = Annotated[Path | None, typer.Option("--html", help="Write the table as a page too.", show_default=False)]


def compare_command(
    runs: Runs,
    metric: Metrics = None,
    everything: Everything = False,
    as_json: AsJson = False,
    html: Html = None,
    language: LanguageOption = None,
) -> None:
    """Compare evaluated runs: which is best by each metric, where they differ, and whether they are comparable."""
    with start_session("nothing was written; run the same command again", language):
        folders = _find_runs(runs)
        configs = [_read_config(folder) for folder in folders]
        names = [name.strip() for each in metric or [] for name in each.split(",")]
        compared = compare_runs(_read_runs(folders, configs), names, everything)
        words = Words(settle_language(configs[0]))
        wide = WIDE_LABEL + WIDE_RUN * len(folders)
        if html:
            page = Console(file=io.StringIO(), record=True, width=wide, highlight=False)
            print_comparison(compared, page, words)
            remove_temporaries(html.parent, of=[html.name])
            write_text(html, page.export_html())
        if as_json:
            typer.echo(make_printable(json.dumps(_comparison_to_json(compared), ensure_ascii=False, allow_nan=False)))
            return
        own_width = sys.stdout.isatty() or "COLUMNS" in os.environ  # else all that the runs need
        print_comparison(compared, Console(width=None if own_width else wide, highlight=False), words)
        if html:
            print_text(words("compare.written", path=html))


def _find_runs(paths: Sequence[Path]) -> list[Path]:
    """Return the folders of runs, each once.

    Raises:
        CheckpointError: with a line for each folder that holds no evaluated run.
    """
    folders = list({path.resolve(): path for path in reversed(paths)}.values())[::-1]
    if len(folders) < len(paths):
        logger.warning("a run was given more than once; it is shown once")
    missing = [path for path in folders if not RunFolder(path).report.results.is_file()]
    if missing:
        evaluate = "{path}: this run has not been evaluated yet: kronos evaluate --run {path}"
        wrong = "{path}: there is no run here; a run's folder is {{base_path}}/{{exp_name}}."
        lines = [Message(evaluate if RunFolder(path).config.is_file() else wrong, path=path) for path in missing]
        raise CheckpointError("{errors}", errors=Message.join(lines))
    return folders


def _read_config(folder: Path) -> Config | None:
    """Read a run's configuration; None if it cannot be read, as the figures can be compared without it."""
    try:
        return load_config(RunFolder(folder).config, [UNSHARDED])
    except ConfigError as error:
        logger.warning("%s Its settings are not compared.", error.errors[0])
        return None


def _read_runs(folders: Sequence[Path], configs: Sequence[Config | None]) -> list[EvaluatedRun]:
    names = shorten_names([Path(os.path.normpath(folder.absolute())) for folder in folders])
    runs = []
    for name, folder, config in zip(names, folders, configs):
        path = RunFolder(folder).report.results
        evaluation = Evaluation.read(path)
        if not evaluation.forecasters:
            raise CheckpointError("{path}: damaged (no forecasters). kronos evaluate writes it again.", path=path)
        settings = flatten_settings(config.model_dump(mode="json")) if config else {}
        if config and config.model_paths.finetuned_tokenizer == config.model_paths.run_folder.tokenizer.best_model:
            del settings["model_paths.finetuned_tokenizer"]  # it is each run's own
        runs.append(EvaluatedRun(name, folder, evaluation, settings if config else None))
    return runs


def _comparison_to_json(compared: RunsCompared) -> dict[str, Any]:
    """Return a comparison as plain values by the runs' names; unknown figures are null."""
    names = [run.name for run in compared.runs]

    def by_run(values: Sequence[Any]) -> dict[str, Any]:
        plain = [None if isinstance(each, float) and not math.isfinite(each) else each for each in values]
        return dict(zip(names, plain))

    metrics: dict[str, Any] = {}
    for row in compared.metrics:
        best = [names[i] for i in sorted(row.best)]
        metrics.setdefault(row.units, {})[row.metric] = {
            "better": row.goal,
            "figures": by_run(row.figures),
            "best": best,
        }
    shown = {*CONDITIONS, "notes", "left_out"}
    older = [run.name for run in find_older(compared.runs)]
    return {
        "comparable": not compared.differences,
        "differences": {key: by_run(row) for key, row in compared.differences.items()},
        "older_format": older,
        "runs": {
            run.name: {"folder": str(run.folder)} | run.evaluation.model_dump(mode="json", include=shown)
            for run in compared.runs
        },
        "metrics": metrics,
        "rivals": {
            name: by_run([json.loads(each.model_dump_json()) if each else None for each in row])
            for name, row in compared.baselines.items()
        },
        "settings": {key: by_run(row) for key, row in compared.settings.items()},
        "not_the_same_rivals": list(compared.other_baselines),
        "different_rules": any(f"evaluation.{key}" in compared.settings for key in RULES),
    }


def print_comparison(compared: RunsCompared, console: Console, words: Words) -> None:
    """Print what makes the runs incomparable, a table with one column a run, and how to read it."""
    if compared.differences:
        lines = [words("compare.why"), *(f"• {words(f'compare.condition.{key}')}" for key in compared.differences)]
        title = f"[bold]{words('compare.not_comparable')}[/]"
        console.print(Panel(escape("\n".join(lines)), title=title, border_style="bold red", title_align="left"))
    for run in find_older(compared.runs):
        again = f"kronos evaluate --run {shlex.quote(str(run.folder))}"
        command = again if run.evaluation.kind == "run" else run.evaluation.command
        older = name_commands(words("compare.older", run=run.name, command=command))
        console.print(escape(older) + "\n", soft_wrap=True)
    same = {
        key: getattr(compared.runs[0].evaluation, key)
        for key in CONDITIONS
        if key not in {*compared.differences, "format"}
    }
    facts = [f"{words(f'compare.condition.{key}')} {_format_value(value)}" for key, value in same.items()]
    console.print(escape(" · ".join(facts)) + "\n")
    sections = list(_build_sections(compared, words))
    n_fit = min(max(1, (console.width - LABEL) // RUN), len(compared.runs))
    label_width = max(LABEL, min(WIDE_LABEL, console.width - RUN * n_fit))
    run_width = max(RUN, min(WIDE_RUN, (console.width - label_width) // n_fit))
    for first in range(0, len(compared.runs), n_fit):
        shown = slice(first, first + n_fit)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        table.add_column("", overflow="fold", style="cyan", width=label_width - 2)
        for run in compared.runs[shown]:
            table.add_column(escape(run.name), overflow="fold", justify="right", width=run_width - 2)
        for heading, rows in sections:
            table.add_row(f"\n[bold default]{escape(heading)}[/]")
            for label, cells in rows:
                table.add_row(escape(label), *cells[shown])
        console.print(table)
    console.print()
    for footnote in _footnotes(compared, words):
        console.print(
            f"[dim]{escape(name_commands(footnote))}[/]", soft_wrap=footnote.startswith("kronos")
        )  # a command to copy


def _build_sections(compared: RunsCompared, words: Words) -> Iterator[tuple[str, list[tuple[str, list[str]]]]]:
    """Yield the sections of the table that have any rows: heading, then label and cells (markup) of each row."""

    def rows(values: dict[str, tuple[Any, ...]]) -> list[tuple[str, list[str]]]:
        return [(label, [escape(_format_value(each)) for each in row]) for label, row in values.items()]

    differences = {words(f"compare.condition.{key}"): row for key, row in compared.differences.items()}
    metrics = {units: [row for row in compared.metrics if row.units == units] for units in ("log_return", "price")}
    rules = {run.evaluation.metric for run in compared.runs}
    heading = words("compare.baselines_by", metric=rules.pop()) if len(rules) == 1 else words("compare.baselines")
    labels = {each.name: each.label for run in compared.runs for each in run.evaluation.forecasters}
    baselines = [
        (name_forecaster(labels.get(name, name), words), _format_comparisons(compared, name, words))
        for name in compared.baselines
    ]
    sections = [
        (words("compare.conditions"), rows(differences)),
        *((words(f"compare.{units}"), [_format_metric(row) for row in rows_of]) for units, rows_of in metrics.items()),
        (heading, baselines),
        (words("compare.settings"), rows(compared.settings)),
    ]
    return (section for section in sections if section[1])


def _format_metric(row: MetricRow) -> tuple[str, list[str]]:
    kind = FIGURE_KINDS.get(row.metric)
    unit = "bp" if kind and kind.unit == "price" and row.units == "log_return" else ""
    goal = f"→ {format_level(row.goal)}" if isinstance(row.goal, float) else GOALS[row.goal]
    figures = format_figures(row.figures, kind, row.units == "log_return")
    cells = [f"[bold green]* {each}[/]" if i in row.best else each for i, each in enumerate(figures)]
    return " ".join(filter(None, (row.metric, unit, goal))), cells


def _format_comparisons(compared: RunsCompared, name: str, words: Words) -> list[str]:
    cells = []
    for run, each in zip(compared.runs, compared.baselines[name]):
        left_out = name in {other.baseline for other in run.evaluation.left_out}
        absent = words("compare.left_out") if left_out else NO_FIGURE
        cells.append(_format_comparison(each, words) if each else absent)
    return cells


def _format_comparison(comparison: Comparison, words: Words) -> str:
    shares = comparison.skill, comparison.low, comparison.high
    skill, low, high = (format_percent(share, sign=True) for share in shares)
    interval = f"{low.rstrip('%')} … {high.rstrip('%')}"
    return f"[{STYLES[comparison.outcome]}]{write_outcome(comparison, words)}[/]\n{skill}\n[dim]{interval}[/]"


def _format_value(value: Any) -> str:
    if value is None:
        return NO_FIGURE
    if isinstance(value, list | tuple):
        return ", ".join(map(_format_value, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _footnotes(compared: RunsCompared, words: Words) -> Iterator[str]:
    best = [words("compare.best")] if any(row.best for row in compared.metrics) else []
    yield " ".join([words("compare.goals"), *best])
    if compared.baselines:
        yield words("compare.skill")
    if compared.other_baselines:
        yield words("compare.other_baselines", names=", ".join(compared.other_baselines))
    are_runs = all(run.evaluation.kind == "run" for run in compared.runs)
    if len(compared.runs) > 1 and are_runs and not compared.differences:
        first, second = compared.runs[:2]
        yield words("compare.paired")
        yield f"kronos evaluate --run {first.folder} --baselines {second.folder}"
    yield words("forecast.no_promise")
