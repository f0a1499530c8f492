"""`kronos check`: what is wrong with candles, before hours are spent on them."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos.cli.environment import start_logging, translate_errors
from kronos.config import Config, load_config
from kronos.config.load import build_config
from kronos.errors import ConfigError, DataError

if TYPE_CHECKING:
    from kronos.data.leakage import Leaks
    from kronos.data.quality.findings import Finding

MAX_ROWS = 200  # lines of the table; --json lists all
STYLES = {"error": "bold red", "repair": "yellow", "note": "cyan"}
HEADINGS = {"error": "errors", "repair": "repairs", "note": "notes"}

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
    typer.Option("--leakage", help="Also change all that comes after a cut, and look whether anything before moves."),
]


def check(
    arguments: Arguments = None, config: ConfigOption = None, as_json: AsJson = False, leakage: Leakage = False
) -> None:
    """Audit candles: what is an error, what is repaired, what is worth knowing. Exit status 1 where there are errors."""
    with translate_errors("nothing was changed"):
        start_logging()
        settings = _configure(arguments or [], config)
        # They bring PyTorch with them; imported here, so that --help answers at once.
        from kronos.data import load_candles, split_candles
        from kronos.data.audit import audit_to_json, describe_candles, describe_splits, splits_to_json
        from kronos.data.leakage import find_leaks
        from kronos.data.windows.load import Audited

        audited = load_candles(settings.data, settings.repairs)
        candles, findings = audited
        broken = any(finding.severity == "error" for finding in findings)
        if config is None:  # nobody chose the length of a window
            findings = tuple(finding for finding in findings if finding.code != "short" or finding.severity == "error")
        splits, fault = {}, ""
        if config and not broken:
            try:
                splits = split_candles(candles, settings.data)
            except DataError as error:
                fault = str(error)
        leaks = find_leaks(settings.data, settings.repairs) if leakage and not broken and not fault else None
        if as_json:
            extra: dict[str, Any] = {"leaks": [leak._asdict() for leak in leaks.found]} if leaks is not None else {}
            extra |= {"windows": splits_to_json(splits)} if splits else {}
            extra |= {"error": fault} if fault else {}
            typer.echo(
                json.dumps(audit_to_json(Audited(candles, findings)) | extra, ensure_ascii=False, allow_nan=False)
            )
        else:
            typer.echo(describe_candles(candles))
            for line in describe_splits(splits, settings.data) if splits else ():
                typer.echo(line)
            _print_findings(findings)
            _print_leaks(leaks)
            if leakage and leaks is None:
                typer.echo("the self-test was not run: correct the errors first")
        if fault:
            raise DataError(fault)
        if broken or (leaks and leaks.found):
            raise typer.Exit(1)


def _configure(arguments: Sequence[str], config: Path | None) -> Config:
    """Split arguments into paths and overrides, and build the configuration."""
    overrides = [each for each in arguments if re.match(r"\w+(\.\w+)+=", each) and not Path(each).exists()]
    paths = [each for each in arguments if each not in overrides]
    if not paths and config is None:
        raise ConfigError("give --config, or files of candles to look at; see --help.")
    if config is None:
        nothing = {"experiment": {"train_tokenizer": False, "train_basemodel": False}}
        return build_config({"data": {"data_path": paths}, **nothing}, overrides)
    return load_config(config, [*([f"data.data_path={json.dumps(paths)}"] if paths else []), *overrides])


def _print_findings(findings: Sequence[Finding]) -> None:
    if not findings:
        typer.echo("nothing found")
        return
    from kronos.data.quality.findings import SEVERITIES

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("finding", no_wrap=True)
    table.add_column("where", overflow="fold")
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("what", overflow="fold", ratio=1)
    ordered = _group(sorted(findings, key=lambda each: SEVERITIES.index(each.severity)))
    shown = ordered[:MAX_ROWS]
    for severity, alike in itertools.groupby(shown, key=lambda group: group[0].severity):
        table.add_row(f"\n[{STYLES[severity]}]{HEADINGS[severity]}[/]")
        for first, *others in alike:
            names = [each.symbol or Path(each.source).name for each in (first, *others)]
            where = f"{names[0]} and {len(others):,} more" if others else "\n".join([names[0], *_places(first)])
            count = sum(each.count for each in (first, *others))
            table.add_row(first.code, escape(where), f"{count:,}" if count else "", escape(first.message))
    Console().print(table)
    if remedies := list(dict.fromkeys(first.remedy for first, *_ in shown if first.remedy)):
        typer.echo("\nwhat to do about the errors:")
    for remedy in remedies:
        typer.echo(f"  {remedy}")
    if len(ordered) > MAX_ROWS:
        typer.echo(f"… and {len(ordered) - MAX_ROWS:,} more; --json lists all")
    counts = Counter(each.severity for each in findings)
    said = [f"{counts[s]:,} {s}{'s' if counts[s] != 1 else ''}" for s in SEVERITIES if counts[s]]
    typer.echo(f"\n{', '.join(said)}. The files were not changed.")


def _group(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Lay together notes that are the same of many symbols."""
    groups: dict[object, list[Finding]] = {}
    for each in findings:
        own = each.symbol or each.source if each.severity != "note" else ""
        groups.setdefault((each.code, each.message, own), []).append(each)
    return list(groups.values())


def _places(finding: Finding) -> list[str]:
    """Say the first few places; a single one in two lines."""
    if len(finding.places) == 1:
        return [finding.places[0].replace(" (", "\n(")]
    more = ["…"] if finding.places and finding.count > len(finding.places) else []
    return [*finding.places, *more]


def _print_leaks(leaks: Leaks | None) -> None:
    if leaks is None:
        return
    compared = f"{leaks.n_cuts} cuts, {leaks.n_windows:,} windows compared bit for bit"
    if not leaks.found:
        typer.echo(f"no leak: nothing before a cut moved when all after it was changed ({compared})")
    for leak in leaks.found:
        typer.echo(f"LEAK: {leak.what} at the cut {leak.cut}: {leak.message}")
