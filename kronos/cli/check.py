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

from kronos.cli.environment import errors_reported, start_logging
from kronos.config import Config, load_config
from kronos.config.load import build_config
from kronos.errors import ConfigError, DataError

if TYPE_CHECKING:
    from kronos.data.findings import Finding
    from kronos.data.leakage import Leaks

MAX_ROWS = 200  # lines of the table; --json lists all
STYLES = {"error": "bold red", "repair": "yellow", "note": "cyan"}
HEADINGS = {"error": "errors", "repair": "repairs", "note": "notes"}

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH]... [SECTION.KEY=VALUE]...",
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
    with errors_reported("nothing was changed"):
        start_logging()
        settings = _configure(arguments or [], config)
        # They bring PyTorch with them; imported here, so that --help answers at once.
        from kronos.data import load_candles, split_candles
        from kronos.data.audit import audit_to_json, describe_candles, describe_splits
        from kronos.data.leakage import find_leaks

        audited = load_candles(settings.data, settings.repairs)
        candles, findings = audited
        broken = any(finding.severity == "error" for finding in findings)
        windows, fault = [], ""
        if config and not broken:
            try:
                windows = describe_splits(split_candles(candles, settings.data), settings.data)
            except DataError as error:
                fault = str(error)
        leaks = find_leaks(settings.data, settings.repairs) if leakage and not broken and not fault else None
        if as_json:
            extra: dict[str, Any] = {"leaks": [leak._asdict() for leak in leaks.found]} if leaks is not None else {}
            extra |= {"windows": windows} if windows else {}
            extra |= {"error": fault} if fault else {}
            typer.echo(json.dumps(audit_to_json(audited) | extra, ensure_ascii=False, allow_nan=False))
        else:
            typer.echo(describe_candles(candles))
            typer.echo("\n".join(windows)) if windows else None
            _print_findings(findings)
            _print_leaks(leaks)
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
    from kronos.data.findings import SEVERITIES

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("finding", no_wrap=True)
    table.add_column("where", overflow="fold")
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("what", overflow="fold", ratio=1)
    ordered = sorted(findings, key=lambda each: SEVERITIES.index(each.severity))
    shown = ordered[:MAX_ROWS]
    for severity, group in itertools.groupby(shown, key=lambda each: each.severity):
        table.add_row(f"\n[{STYLES[severity]}]{HEADINGS[severity]}[/]")
        for each in group:
            where = [each.symbol or Path(each.source).name, *(place.replace(" (", "\n(") for place in each.places[:1])]
            table.add_row(
                each.code, escape("\n".join(where)), f"{each.count:,}" if each.count else "", escape(each.message)
            )
    Console().print(table)
    for remedy in dict.fromkeys(each.remedy for each in shown if each.remedy):
        typer.echo(f"  {remedy}")
    if len(ordered) > MAX_ROWS:
        typer.echo(f"… and {len(ordered) - MAX_ROWS:,} more; --json lists all")
    counts = Counter(each.severity for each in findings)
    said = [f"{counts[s]:,} {s}{'s' if counts[s] != 1 else ''}" for s in SEVERITIES if counts[s]]
    typer.echo(f"\n{', '.join(said)}. The files were not changed.")


def _print_leaks(leaks: Leaks | None) -> None:
    if leaks is None:
        return
    compared = f"{leaks.n_cuts} cuts, {leaks.n_windows:,} windows compared bit for bit"
    if not leaks.found:
        typer.echo(f"no leak: nothing before a cut moved when all after it was changed ({compared})")
    for leak in leaks.found:
        typer.echo(f"LEAK: {leak.what} at the cut {leak.cut}: {leak.message}")
