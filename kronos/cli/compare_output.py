"""What `kronos compare` prints."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from kronos.cli.compare_texts import FOOTNOTES, WORDS
from kronos.evaluation.metric_labels import METRIC_LABELS
from kronos.evaluation.results import Comparison, Language, Verdict
from kronos.evaluation.runs.compare import FACTS, MetricRow, RunsCompared
from kronos.evaluation.verdict_words import fill, name_outcome
from kronos.report.words.numbers import NO_FIGURE, format_figures, format_level, format_percent

LABEL, RUN = 20, 15  # columns of the screen that the labels and a run take at least, their padding included
WIDE_LABEL, WIDE_RUN = 40, 26  # and where there is room
PADDING = 2
PERCENT = "\N{NO-BREAK SPACE}%"

STYLES: dict[Verdict, str] = {
    "helped": "green",
    "no difference": "yellow",
    "hurt": "red",
    "too little data to tell": "dim",
}


def print_json(compared: RunsCompared) -> None:
    typer.echo(json.dumps(to_json(compared), ensure_ascii=False, allow_nan=False))


def to_json(compared: RunsCompared) -> dict[str, Any]:
    """Return all that is shown as plain values, by the runs' names; what is not known is null."""
    names = [run.name for run in compared.runs]
    metrics: dict[str, Any] = {}
    for row in compared.metrics:
        metrics.setdefault(row.units, {})[row.metric] = {
            "better": row.goal,
            "figures": {name: figure if math.isfinite(figure) else None for name, figure in zip(names, row.figures)},
            "best": [names[i] for i in sorted(row.best)],
        }
    dumped = {
        run.name: run.evaluation.model_dump(mode="json", include={*FACTS, "notes", "left_out"}) for run in compared.runs
    }
    return {
        "comparable": compared.comparable,
        "differences": {each.key: dict(zip(names, map(_finite, each.values))) for each in compared.differences},
        "runs": {run.name: {"folder": str(run.folder)} | dumped[run.name] for run in compared.runs},
        "metrics": metrics,
        "rivals": {
            row.baseline: {
                name: json.loads(each.model_dump_json()) if each else None for name, each in zip(names, row.comparisons)
            }
            for row in compared.baselines
        },
        "settings": {key: dict(zip(names, values)) for key, values in compared.settings.items()},
        "not_the_same_rivals": list(compared.other_baselines),
        "different_rules": compared.other_rules,
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_comparison(compared: RunsCompared, console: Console, language: Language) -> None:
    """Print what stands in the way of comparing, what is the same, the runs as columns, and what to know about them."""
    if not compared.comparable:
        _print_differences(compared, console, language)
    _print_common_facts(compared, console, language)
    wanted = max(map(cell_len, _labels(compared, language)), default=0) + PADDING
    label_width = max(LABEL, min(WIDE_LABEL, wanted, console.width - RUN * len(compared.runs)))
    n_fit = max(1, (console.width - label_width) // RUN)
    for first in range(0, len(compared.runs), n_fit):
        shown = range(first, min(first + n_fit, len(compared.runs)))
        run_width = max(RUN, min(WIDE_RUN, (console.width - label_width) // len(shown)))
        console.print()
        console.print(_Columns(compared, shown, label_width, run_width, language).build())
    console.print()
    for footnote in _footnotes(compared, language):
        console.print(f"[dim]{escape(footnote)}[/]")
    if compared.comparable and len(compared.runs) > 1:
        one, other = compared.runs[:2]
        console.print(f"[dim]{FOOTNOTES['paired'][language]}[/]")
        console.print(
            f"  kronos evaluate --run {escape(str(one.folder))} --rivals {escape(str(other.folder))}", soft_wrap=True
        )
    console.print(f"[dim]{FOOTNOTES['promise'][language]}[/]")


def _print_differences(compared: RunsCompared, console: Console, language: Language) -> None:
    lines = [WORDS["why"][language]]
    for each in compared.differences:
        groups: dict[str, list[str]] = {}
        for run, value in zip(compared.runs, each.values):
            groups.setdefault(_format_value(value), []).append(run.name)
        said = "; ".join(f"{value} ({', '.join(names)})" for value, names in groups.items())
        lines.append(f"• {each.label[language]}: {said}")
    title = f"[bold]{WORDS['not comparable'][language]}[/]"
    console.print(Panel(escape("\n".join(lines)), title=title, border_style="bold red", title_align="left"))


def _print_common_facts(compared: RunsCompared, console: Console, language: Language) -> None:
    different = {each.key for each in compared.differences}
    grid = Table.grid(padding=(0, PADDING))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for key, label in FACTS.items():
        if key not in different:
            grid.add_row(label[language], escape(_format_value(getattr(compared.runs[0].evaluation, key))))
    console.print(grid)


def _labels(compared: RunsCompared, language: Language) -> Iterator[str]:
    yield from (_label_metric(row, language) for row in compared.metrics)
    yield from (row.label[language] for row in compared.baselines)
    yield from compared.settings


class _Columns:
    """A table of some of the runs, a column each."""

    def __init__(
        self, compared: RunsCompared, shown: Sequence[int], label_width: int, run_width: int, language: Language
    ) -> None:
        self._compared, self._shown, self._language = compared, shown, language
        self._label_width, self._run_width = label_width - PADDING, run_width - PADDING
        self._table = Table(box=None, pad_edge=False, padding=(0, PADDING, 0, 0), header_style="bold")
        self._table.add_column("", width=self._label_width, overflow="fold", style="cyan")
        for i in shown:
            name = escape(_fold(compared.runs[i].name, self._run_width))
            self._table.add_column(name, width=self._run_width, overflow="fold", justify="right")

    def build(self) -> Table:
        language = self._language
        self._add_section(
            WORDS["facts"][language],
            (
                (each.label[language], [_format_value(value) for value in each.values])
                for each in self._compared.differences
            ),
            style="red",
        )
        for units in ("log_return", "price"):
            rows = [row for row in self._compared.metrics if row.units == units]
            self._add_section(
                WORDS[units][language], ((_label_metric(row, language), _format_figures(row, language)) for row in rows)
            )
        self._add_section(
            self._name_verdict(),
            (
                (row.label[language], self._format_verdicts(row.baseline, row.comparisons))
                for row in self._compared.baselines
            ),
            markup=True,
        )
        settings = self._compared.settings.items()
        self._add_section(
            WORDS["settings"][language], ((key, [_format_value(value) for value in values]) for key, values in settings)
        )
        return self._table

    def _add_section(
        self, title: str, rows: Iterable[tuple[str, Sequence[str]]], style: str = "", markup: bool = False
    ) -> None:
        """Add rows under a title, if there are any; texts are folded and escaped unless they are markup."""
        for number, (label, values) in enumerate(rows):
            if number == 0:
                self._table.add_row(f"\n[bold default]{escape(title)}[/]")
            cells = [values[i] if markup else escape(_fold(values[i], self._run_width)) for i in self._shown]
            cells = [f"[bold green]{cell}[/]" if cell.startswith("* ") else cell for cell in cells]
            self._table.add_row(escape(_fold(label, self._label_width)), *cells, style=style)

    def _name_verdict(self) -> str:
        metrics = {run.evaluation.metric for run in self._compared.runs}
        if len(metrics) > 1:
            return WORDS["verdicts"][self._language]
        return WORDS["verdict"][self._language].format(metrics.pop())

    def _format_verdicts(self, baseline: str, comparisons: Sequence[Comparison | None]) -> list[str]:
        said = []
        for run, each in zip(self._compared.runs, comparisons):
            left_out = baseline in {other.baseline for other in run.evaluation.left_out}
            absent = WORDS["left out"][self._language] if left_out else NO_FIGURE
            said.append(_format_verdict(each, self._language) if each else absent)
        return said


def _format_verdict(comparison: Comparison, language: Language) -> str:
    outcome = name_outcome(comparison)[language]
    skill, low, high = (
        format_percent(share, sign=True)[language] for share in (comparison.skill, comparison.low, comparison.high)
    )
    interval = f"{low.rstrip(PERCENT)} … {high.rstrip(PERCENT)}"
    return f"[{STYLES[comparison.outcome]}]{outcome}[/]\n{skill}\n[dim]{interval}[/]"


def _label_metric(row: MetricRow, language: Language) -> str:
    goals = {"lower": "↓", "higher": "↑", "None": ""}
    goal = f"→ {format_level(row.goal)[language]}" if isinstance(row.goal, float) else goals[str(row.goal)]
    return " ".join(filter(None, (row.metric, _find_unit(row), goal)))


def _find_unit(row: MetricRow) -> str:
    label = METRIC_LABELS.get(row.metric)
    return "bp" if label and label.in_units and row.units == "log_return" else ""


def _format_figures(row: MetricRow, language: Language) -> list[str]:
    told = format_figures(row.figures, METRIC_LABELS.get(row.metric), row.units == "log_return")
    return [f"* {each[language]}" if i in row.best else each[language] for i, each in enumerate(told)]


def _format_value(value: Any) -> str:
    if value is None:
        return NO_FIGURE
    if isinstance(value, list | tuple):
        return ", ".join(map(_format_value, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _fold(text: str, width: int) -> str:
    """Break lines that are too long after a space, a dot, a slash, a dash or an underscore, where there is one."""
    lines = [""]
    for part in re.findall(r"[^\s./_-]*[\s./_-]?", text):
        if lines[-1] and cell_len(lines[-1]) + cell_len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _footnotes(compared: RunsCompared, language: Language) -> Iterator[str]:
    yield FOOTNOTES["goals"][language] + (f" {FOOTNOTES['best'][language]}" if compared.best_marked else "")
    if compared.baselines:
        levels = {run.evaluation.confidence for run in compared.runs}
        level = f"{format_level(levels.pop())[language]} " if len(levels) == 1 else ""
        yield fill(FOOTNOTES["skill"][language], level)
    if compared.other_baselines:
        yield FOOTNOTES["baselines"][language].format(", ".join(compared.other_baselines))
    if compared.other_rules:
        yield FOOTNOTES["rules"][language]
    said: dict[str, list[str]] = {}
    for run in compared.runs:
        left_out = [f"{each.baseline}: {each.reason[language]}" for each in run.evaluation.left_out]
        for note in [*(note[language] for note in run.evaluation.notes), *left_out]:
            said.setdefault(note, []).append(run.name)
    for note, names in said.items():
        whose = WORDS["all"][language] if len(names) == len(compared.runs) > 1 else ", ".join(names)
        yield f"{whose}: {note}"
