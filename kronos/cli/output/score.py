"""What `kronos score` and `kronos watch` print."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos.cli.output.text import print_text
from kronos.report.words.catalogue import Words

if TYPE_CHECKING:
    from kronos.config.schema import Language
    from kronos.ledger.health import Health

MOST_ROWS = 12  # of symbols and of weeks; --json has all


def print_health(health: Sequence[Health], ledger: Path, seal: str, language: Language) -> None:
    """Print the figures of each run in a ledger, by symbol and by week, and the alarms."""
    from kronos.ledger.page import write_alarm, write_counts

    words = Words(language)
    if not health:
        print_text(words("score.empty", path=ledger))
        return
    print_text(words("score.ledger", path=ledger, seal=seal))
    for each in health:
        typer.echo()
        print_text(words("score.run", run=each.run, counts=write_counts(each, words)))
        if not each.overall.n_steps:
            print_text(words("score.nothing"))
            continue
        Console().print(_build_table(each, words))
        for alarm in each.alarms:
            key = "score.alarm.line_on" if alarm.is_on else "score.alarm.line_off"
            print_text(words(key, text=write_alarm(alarm, words)))
    if any(each.overall.n_steps for each in health):
        typer.echo()
        print_text(words("score.explained"))
        print_text(words("forecast.no_promise"))


def _build_table(health: Health, words: Words) -> Table:
    from kronos.ledger.page import COLUMNS, list_rows

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", overflow="fold")
    for key in COLUMNS:
        table.add_column(words(f"score.column.{key}"), justify="right")
    for row in list_rows(health, words, MOST_ROWS):
        if row.cells:
            table.add_row(escape(row.name), *row.cells)
        else:
            table.add_row(f"[bold]{escape(row.name)}[/]")
    return table
