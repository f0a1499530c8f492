"""What `kronos score` and `kronos watch` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos.cli.output.text import print_text
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import NO_FIGURE

if TYPE_CHECKING:
    from kronos.config.schema import Language
    from kronos.ledger.alarms import Alarm
    from kronos.ledger.health import Figures, Health

MOST_ROWS = 12  # of symbols and weeks: the newest weeks; --json has all


def print_health(health: Sequence[Health], ledger: Path, seal: str, language: Language) -> None:
    """Print the figures of each run in a ledger, by symbol and by week, and the alarms."""
    words = Words(language)
    print_text(words("score.ledger", path=ledger, seal=seal))
    for each in health:
        typer.echo()
        print_text(words("score.run", run=each.run, n=each.n_forecasts - each.n_late, n_open=each.n_open))
        if each.n_late:
            print_text(words("score.late", n=each.n_late))
        if not each.overall.n_steps:
            print_text(words("score.nothing"))
            continue
        Console().print(_build_table(each, words))
        for alarm in each.alarms:
            print_text(_write_alarm(alarm, words))
    if any(each.overall.n_steps for each in health):
        typer.echo()
        print_text(words("score.explained"))
        print_text(words("forecast.no_promise"))


def _build_table(health: Health, words: Words) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", overflow="fold")
    for key in ("forecasts", "coverage_50", "coverage_80", "coverage_90", "crps", "hits"):
        table.add_column(words(f"score.column.{key}"), justify="right")
    table.add_row(words("score.all"), *_format(health.overall))
    weeks = dict(list(health.by_week.items())[-MOST_ROWS:])
    symbols = dict(list(health.by_symbol.items())[:MOST_ROWS]) if len(health.by_symbol) > 1 else {}
    for heading, groups, n in (
        ("symbols", symbols, len(health.by_symbol)),
        ("weeks", weeks if len(weeks) > 1 else {}, len(health.by_week)),
    ):
        _add_groups(table, words(f"score.{heading}"), groups, n, words)
    return table


def _add_groups(table: Table, heading: str, groups: Mapping[str, Figures], n: int, words: Words) -> None:
    if not groups:
        return
    more = f" ({words('score.of', n=n)})" if n > len(groups) else ""
    table.add_row(f"[bold]{escape(heading)}{escape(more)}[/]")
    for name, figures in groups.items():
        table.add_row(f"  {escape(name)}", *_format(figures))


def _format(figures: Figures) -> list[str]:
    shares = [*figures.coverage.values()]
    ratio = NO_FIGURE if figures.crps_ratio != figures.crps_ratio else f"{figures.crps_ratio:.3f}"
    hits = NO_FIGURE if figures.hits != figures.hits else f"{figures.hits:.0%}"
    return [f"{figures.n_forecasts:,}", *(f"{share:.0%}" for share in shares), ratio, hits]


def _write_alarm(alarm: Alarm, words: Words) -> str:
    kind = words(f"score.alarm.{alarm.kind}")
    if alarm.is_on:
        return words("score.alarm.on", kind=kind, since=alarm.first, n=len(alarm.wealth))
    return words(
        "score.alarm.off", kind=kind, wealth=alarm.wealth[-1] if len(alarm.wealth) else 1.0, threshold=alarm.threshold
    )
