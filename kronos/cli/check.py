"""`kronos check`: find what is wrong with candles before a long run uses them."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos.cli.session import LanguageOption, start_session
from kronos.config import Config, load_config
from kronos.config.load import build_reading_config
from kronos.errors import ConfigError, DataError
from kronos.report.words.catalogue import Words

if TYPE_CHECKING:
    from kronos.data.leakage import Leaks
    from kronos.data.quality.findings import Finding
    from kronos.data.windows.load import Audited
    from kronos.data.windows.splits import Split, SplitName

MAX_ROWS = 200  # lines of the table; --json lists all
STYLES = {"error": "bold red", "repair": "yellow", "note": "cyan"}

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH | SECTION.KEY=VALUE]...",
        help="Files, folders or globs of candles, instead of the configuration's; and overrides of keys.",
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A YAML file: its candles, splits and windows.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
Leakage = Annotated[
    bool,
    typer.Option("--leakage", help="Also change everything after a cut, and check that nothing before it changes."),
]


@dataclass(frozen=True)
class _Check:
    """The results of an audit. error: why the candles cannot be split. leaks: None if the self-test was not run."""

    audited: Audited
    splits: dict[SplitName, Split]
    error: DataError | None
    leaks: Leaks | None

    @property
    def broken(self) -> bool:
        return any(finding.severity == "error" for finding in self.audited.findings)


def check_command(
    arguments: Arguments = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
    leakage: Leakage = False,
    language: LanguageOption = None,
) -> None:
    """Audit candles: list errors, repairs and notes. The exit status is 1 if there are errors."""
    with start_session("nothing was changed"):
        settings = _configure(arguments or [], config)
        check = _check_candles(settings, config is not None, leakage)
        if as_json:
            typer.echo(json.dumps(_to_json(check), ensure_ascii=False, allow_nan=False))
        else:
            _print_check(check, settings, leakage, Words(language or settings.report.language))
        if check.error:
            raise check.error
        if check.broken or (check.leaks and check.leaks.leaks):
            raise typer.Exit(1)


def _configure(arguments: Sequence[str], config: Path | None) -> Config:
    """Split arguments into paths and overrides, and build the configuration."""
    overrides = [each for each in arguments if re.match(r"\w+(\.\w+)+=", each) and not Path(each).exists()]
    paths = [each for each in arguments if each not in overrides]
    if not paths and config is None:
        raise ConfigError("there are no candles to check. Give --config, or files of candles; see --help.")
    if config is None:
        return build_reading_config(paths, overrides)
    return load_config(config, [*([f"data.data_path={json.dumps(paths)}"] if paths else []), *overrides])


def _check_candles(settings: Config, with_splits: bool, leakage: bool) -> _Check:
    # These import PyTorch. Imported here, they do not delay --help.
    from kronos.data import load_candles, split_candles
    from kronos.data.leakage import find_leaks
    from kronos.data.windows.load import Audited

    candles, findings = load_candles(settings.data, settings.repairs)
    if not with_splits:  # then nobody chose the length of a window
        findings = tuple(finding for finding in findings if finding.kind != "short" or finding.severity == "error")
    check = _Check(Audited(candles, findings), {}, None, None)
    if check.broken:
        return check
    splits: dict[SplitName, Split] = {}
    try:
        splits = split_candles(candles, settings.data) if with_splits else {}
    except DataError as error:
        return _Check(check.audited, {}, error, None)
    leaks = find_leaks(settings.data, settings.repairs) if leakage else None
    return _Check(check.audited, splits, None, leaks)


def _to_json(check: _Check) -> dict[str, Any]:
    from kronos.data.audit import audit_to_json, splits_to_json

    report = audit_to_json(check.audited)
    report |= {"leaks": [leak._asdict() for leak in check.leaks.leaks]} if check.leaks is not None else {}
    report |= {"windows": splits_to_json(check.splits)} if check.splits else {}
    return report | ({"error": str(check.error)} if check.error else {})


def _print_check(check: _Check, settings: Config, leakage: bool, words: Words) -> None:
    from kronos.data.audit import describe_candles, describe_splits

    texts = words.section("check.audit")
    typer.echo(describe_candles(check.audited.candles, texts))
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


def _print_findings(findings: Sequence[Finding], words: Words) -> None:
    from kronos.data.quality.findings import SEVERITIES

    ordered = _group_notes(sorted(findings, key=lambda each: SEVERITIES.index(each.severity)))
    shown = ordered[:MAX_ROWS]
    Console().print(_build_table(shown, words))
    if remedies := list(dict.fromkeys(first.remedy for first, *_ in shown if first.remedy)):
        typer.echo(f"\n{words('check.remedies')}")
    for remedy in remedies:
        typer.echo(f"  {remedy}")
    if len(ordered) > MAX_ROWS:
        typer.echo(words("check.more", n=len(ordered) - MAX_ROWS))
    counts = Counter(each.severity for each in findings)
    typer.echo("\n" + words("check.counts", errors=counts["error"], repairs=counts["repair"], notes=counts["note"]))


def _build_table(groups: Sequence[Sequence[Finding]], words: Words) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(words("check.finding"), no_wrap=True)
    table.add_column(words("check.where"), overflow="fold")
    table.add_column(words("check.count"), justify="right", no_wrap=True)
    table.add_column(words("check.what"), overflow="fold", ratio=1)
    for severity, same_severity in itertools.groupby(groups, key=lambda group: group[0].severity):
        table.add_row(f"\n[{STYLES[severity]}]{words(f'check.headings.{severity}')}[/]")
        for first, *others in same_severity:
            names = [each.symbol or Path(each.source).name for each in (first, *others)]
            where = "\n".join([names[0], *_list_places(first)])
            if others:
                where = words("check.and_more", name=names[0], n=len(others))
            count = sum(each.count for each in (first, *others))
            # The details have no Chinese text; the kind of finding has.
            what = first.text if words.language == "en" else f"{words(f'audit.codes.{first.kind}')}：{first.text}"
            table.add_row(first.kind, escape(where), f"{count:,}" if count else "", escape(what))
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
