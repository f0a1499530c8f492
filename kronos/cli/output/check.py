"""What `kronos check` prints: the candles as read, the findings, whether this is enough, and the next command."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos.config import Config
from kronos.errors import DataError
from kronos.names import make_printable
from kronos.report.words.catalogue import Words

if TYPE_CHECKING:
    from kronos.data.as_read import CandleAsRead
    from kronos.data.leakage import Leaks
    from kronos.data.quality.findings import Finding
    from kronos.data.windows.load import Audited
    from kronos.data.windows.splits import Split, SplitName
    from kronos.planning.enough import Sufficiency

MAX_ROWS = 200  # lines of the table; --json lists all
MAX_SYMBOLS = 4  # whose candles are printed; --json has those of all
STYLES = {"error": "bold red", "repair": "yellow", "note": "cyan"}


@dataclass(frozen=True)
class Check:
    """The results of an audit.

    error: why the candles cannot be split. leaks: None if the self-test was not run. as_read: the first and last candles of
    each symbol. enough: None if there are errors. next: the command that may follow.
    """

    audited: Audited
    splits: dict[SplitName, Split]
    error: DataError | None = None
    leaks: Leaks | None = None
    as_read: Mapping[str, Sequence[CandleAsRead]] = field(default_factory=dict)
    enough: Sufficiency | None = None
    next: str = ""

    @property
    def broken(self) -> bool:
        return any(finding.severity == "error" for finding in self.audited.findings)


def print_check(check: Check, settings: Config, leakage: bool, words: Words) -> None:
    from kronos.data.audit import describe_candles, describe_splits

    texts = words.section("check.audit")
    typer.echo(describe_candles(check.audited.candles, texts))
    _print_as_read(check.as_read, words)
    for line in describe_splits(check.splits, settings.data, texts) if check.splits else ():
        typer.echo(line)
    if check.audited.findings:
        _print_findings(check.audited.findings, words)
    else:
        typer.echo(words("check.nothing_found"))
    if check.leaks is not None:
        _print_leaks(check.leaks, words)
    elif leakage:
        typer.echo(words("check.self_test_not_run"))
    _print_enough(check, words)


def _print_as_read(as_read: Mapping[str, Sequence[CandleAsRead]], words: Words) -> None:
    """Print the first and last candles of the first few symbols, each above its line in the file."""
    if as_read:
        typer.echo(f"\n{words('check.as_read')}")
    for symbol, candles in list(as_read.items())[:MAX_SYMBOLS]:
        columns = [words(f"check.columns.{name}") for name in ("time", *candles[0].values)]
        rows = [[f"{candle.time} {candle.zone}".rstrip(), *candle.values.values()] for candle in candles]
        widths = [max(map(cell_len, column)) for column in zip(columns, *rows)]
        files = {candle.place.file for candle in candles}
        own = f" ({', '.join(files)})" if len(files) == 1 and symbol not in next(iter(files)) else ""
        typer.echo(f"\n  {symbol}{own}" if len(as_read) > 1 or own else "")
        for candle, row in zip((None, *candles), (columns, *rows)):
            typer.echo("  " + "  ".join(f"{cell}{' ' * (n - cell_len(cell))}" for cell, n in zip(row, widths)).rstrip())
            if candle:
                place = words(f"check.{candle.place.unit}", n=candle.place.line)
                file = f"{candle.place.file}, " if len(files) > 1 else ""
                typer.echo(f"    {file}{place}: {candle.raw}")
    if len(as_read) > MAX_SYMBOLS:
        typer.echo(words("check.more_symbols", n=len(as_read) - MAX_SYMBOLS))
    typer.echo("")


def _print_enough(check: Check, words: Words) -> None:
    """Print whether the candles are enough, and the next command."""
    if check.enough is None:
        if check.broken:
            typer.echo(words("check.correct_first"))
        return
    enough = check.enough
    values = {"lookback": enough.lookback, "horizon": enough.horizon, "train": enough.train, "test": enough.test}
    values |= {"n": sum(len(split) for split in enough.splits.values())}
    sizes = words("check.proposed" if enough.proposed else "check.given", **values)
    typer.echo(f"\n{sizes} {words(f'check.enough.{enough.level}', **values)}")
    if check.next:
        typer.echo(words("check.next", command=check.next))


def _print_findings(findings: Sequence[Finding], words: Words) -> None:
    from kronos.data.quality.findings import SEVERITIES

    ordered = _group_notes(sorted(findings, key=lambda each: SEVERITIES.index(each.severity)))
    shown = ordered[:MAX_ROWS]
    one_symbol = len({each.symbol or each.source for each in findings}) == 1
    Console().print(_build_table(shown, words, one_symbol))
    if remedies := list(dict.fromkeys(_write_remedy(first, words) for first, *_ in shown if first.remedy)):
        typer.echo(f"\n{words('check.remedies')}")
    for remedy in remedies:
        typer.echo(f"  {remedy}")
    if len(ordered) > MAX_ROWS:
        typer.echo(words("check.more", n=len(ordered) - MAX_ROWS))
    counts = Counter(each.severity for each in findings)
    typer.echo("\n" + words("check.counts", errors=counts["error"], repairs=counts["repair"], notes=counts["note"]))


def _write_remedy(finding: Finding, words: Words) -> str:
    from kronos.report.words.details import write_detail

    text = write_detail(finding.remedy_template, finding.values, words) if words.language != "en" else None
    return text or finding.remedy


def _build_table(groups: Sequence[Sequence[Finding]], words: Words, one_symbol: bool) -> Table:
    from kronos.report.words.details import write_finding
    from kronos.report.words.sentences import write_units

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(words("check.finding"), no_wrap=True)
    table.add_column(words("check.where"), overflow="fold")
    table.add_column(words("check.count"), justify="right", no_wrap=True)
    table.add_column(words("check.what"), overflow="fold", ratio=1)
    for severity, same_severity in itertools.groupby(groups, key=lambda group: group[0].severity):
        table.add_row(f"\n[{STYLES[severity]}]{words(f'check.headings.{severity}')}[/]")
        for first, *others in same_severity:
            names = [each.symbol or make_printable(Path(each.source).name) for each in (first, *others)]
            where = "\n".join([*([] if one_symbol else names[:1]), *_list_places(first)])
            if others:
                where = words("check.and_more", name=names[0], n=len(others))
            count = sum(each.count for each in (first, *others))
            what = write_finding(first.kind, first.template, first.values, words)
            table.add_row(first.kind, escape(write_units(where, words)), f"{count:,}" if count else "", escape(what))
    return table


def _group_notes(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Group notes with the same text about many symbols; errors and repairs stay apart for each symbol."""
    groups: dict[object, list[Finding]] = {}
    for each in findings:
        own = each.symbol or each.source if each.severity != "note" else ""
        groups.setdefault((each.kind, each.text, own), []).append(each)
    return list(groups.values())


def _list_places(finding: Finding) -> list[str]:
    """Return a line for each of the first few places; two lines for a single one."""
    if len(finding.places) == 1:
        return [finding.places[0].replace(" (", "\n(")]
    more = ["…"] if finding.places and finding.count > len(finding.places) else []
    return [*finding.places, *more]


def _print_leaks(leaks: Leaks, words: Words) -> None:
    if not leaks.leaks:
        typer.echo(words("check.no_leak", n_cuts=leaks.n_cuts, n_windows=leaks.n_windows))
    for leak in leaks.leaks:
        typer.echo(words("check.leak", what=leak.what, cut=leak.cut, message=leak.message))
