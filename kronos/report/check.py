"""What `kronos check` tells: the candles as read, the findings, whether this is enough, and the next command."""

import io
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos.config import Config
from kronos.data.as_read import CandleAsRead
from kronos.data.audit import describe_candles, describe_splits
from kronos.data.leakage import Leaks
from kronos.data.quality.findings import SEVERITIES, Finding
from kronos.names import make_printable
from kronos.planning.check import Check
from kronos.report.words.catalogue import Words
from kronos.report.words.details import write_detail, write_finding
from kronos.report.words.messages import translate_into
from kronos.report.words.sentences import write_units

MAX_ROWS = 200  # lines of the table; --json lists all
PLAIN_WIDTH = 100
MAX_SYMBOLS = 4  # whose candles are printed; --json has those of all
STYLES = {"error": "bold red", "repair": "yellow", "note": "cyan"}


def write_check(
    check: Check, config: Config, words: Words, leakage: bool = False, console: Console | None = None
) -> str:
    """Return the results of an audit as text.

    Args:
        leakage: whether the self-test was asked for.
        console: where it is shown, which decides its width and colours; by default plain text of 100 columns.
    """
    return "\n".join(_write(check, config, words, leakage, console or Console(file=io.StringIO(), width=PLAIN_WIDTH)))


def _write(check: Check, config: Config, words: Words, leakage: bool, console: Console) -> Iterator[str]:
    yield translate_into(describe_candles(check.audited.candles), words.language)
    yield from _write_as_read(check.as_read, words)
    for line in describe_splits(check.splits, config.data) if check.splits else ():
        yield translate_into(line, words.language)
    if check.audited.findings:
        yield from _write_findings(check.audited.findings, words, console)
    else:
        yield words("check.nothing_found")
    if check.leaks is not None:
        yield from _write_leaks(check.leaks, words)
    elif leakage:
        yield words("check.self_test_not_run")
    yield from _write_enough(check, words)


def _write_as_read(as_read: Mapping[str, Sequence[CandleAsRead]], words: Words) -> Iterator[str]:
    """Return the first and last candles of the first few symbols, each above its line in the file."""
    if as_read:
        yield f"\n{words('check.as_read')}"
    for symbol, candles in list(as_read.items())[:MAX_SYMBOLS]:
        columns = [words(f"check.columns.{name}") for name in ("time", *candles[0].values)]
        rows = [[f"{candle.time} {candle.zone}".rstrip(), *candle.values.values()] for candle in candles]
        widths = [max(map(cell_len, column)) for column in zip(columns, *rows)]
        files = {candle.place.file for candle in candles}
        own = f" ({', '.join(files)})" if len(files) == 1 and symbol not in next(iter(files)) else ""
        yield f"\n  {symbol}{own}" if len(as_read) > 1 or own else ""
        for candle, row in zip((None, *candles), (columns, *rows)):
            yield "  " + "  ".join(f"{cell}{' ' * (n - cell_len(cell))}" for cell, n in zip(row, widths)).rstrip()
            if candle:
                place = words(f"check.{candle.place.unit}", n=candle.place.line)
                file = f"{candle.place.file}, " if len(files) > 1 else ""
                yield f"    {file}{place}: {candle.raw}"
    if len(as_read) > MAX_SYMBOLS:
        yield words("check.more_symbols", n=len(as_read) - MAX_SYMBOLS)
    yield ""


def _write_enough(check: Check, words: Words) -> Iterator[str]:
    """Return whether the candles are enough, and the next command."""
    if check.enough is None:
        if check.broken:
            yield words("check.correct_first")
        return
    enough = check.enough
    values = {"lookback": enough.lookback, "horizon": enough.horizon, "train": enough.train, "test": enough.test}
    values |= {"n": sum(len(split) for split in enough.splits.values())}
    sizes = words("check.proposed" if enough.proposed else "check.given", **values)
    yield f"\n{sizes}{words('verdict.space')}{words(f'check.enough.{enough.level}', **values)}"
    if check.next:
        yield words("check.next", command=check.next)


def _write_findings(findings: Sequence[Finding], words: Words, console: Console) -> Iterator[str]:
    ordered = _group_notes(sorted(findings, key=lambda each: SEVERITIES.index(each.severity)))
    shown = ordered[:MAX_ROWS]
    one_symbol = len({each.symbol or each.source for each in findings}) == 1
    with console.capture() as captured:
        console.print(_build_table(shown, words, one_symbol))
    yield captured.get().rstrip("\n")
    if remedies := list(dict.fromkeys(_write_remedy(first, words) for first, *_ in shown if first.remedy)):
        yield f"\n{words('check.remedies')}"
    for remedy in remedies:
        yield f"  {remedy}"
    if len(ordered) > MAX_ROWS:
        yield words("check.more", n=len(ordered) - MAX_ROWS)
    counts = Counter(each.severity for each in findings)
    yield "\n" + words("check.counts", errors=counts["error"], repairs=counts["repair"], notes=counts["note"])


def _write_remedy(finding: Finding, words: Words) -> str:
    text = write_detail(finding.remedy_template, finding.values, words) if words.language != "en" else None
    return text or finding.remedy


def _build_table(groups: Sequence[Sequence[Finding]], words: Words, one_symbol: bool) -> Table:
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


def _write_leaks(leaks: Leaks, words: Words) -> Iterator[str]:
    if not leaks.leaks:
        yield words("check.no_leak", n_cuts=leaks.n_cuts, n_windows=leaks.n_windows)
    for leak in leaks.leaks:
        yield words("check.leak", what=leak.what, cut=leak.cut, message=leak.message)
