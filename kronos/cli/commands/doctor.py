"""`kronos doctor`: what is installed, what the machine offers, which models are at hand, and what is broken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos.cli.language import settle_language
from kronos.cli.output.text import print_text
from kronos.cli.session import LanguageOption, loading_libraries, start_session
from kronos.cli.start import name_commands
from kronos.names import make_printable
from kronos.report.words.catalogue import Words

if TYPE_CHECKING:
    from kronos.doctor.findings import Finding

STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "broken": "bold red"}

Published = Annotated[
    bool,
    typer.Option(
        "--published",
        help="Fetch the published weights if they are not at hand, and compare their forecasts with the published ones.",
    ),
]
Endpoint = Annotated[
    str,
    typer.Option("--endpoint", metavar="URL", help="The hub or a mirror.", show_default="HF_ENDPOINT, else the hub"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]


def doctor_command(
    published: Published = False, endpoint: Endpoint = "", as_json: AsJson = False, language: LanguageOption = None
) -> None:
    """Check the installation: software, device, memory, disk, models and the hub. The exit status is 1 if something is broken."""
    with start_session("nothing was changed; run the same command again", language):
        from kronos.doctor.software import check_command, check_software

        findings = [*check_software(), check_command()]
        if not any(finding.level == "broken" for finding in findings):  # else what follows cannot be imported
            with loading_libraries():
                from kronos.doctor.machine import check_machine
                from kronos.doctor.models import check_models

            findings += [*check_machine(), *check_models(endpoint, published)]
        n_broken = sum(finding.level == "broken" for finding in findings)
        if as_json:
            values = {"broken": n_broken, "findings": [_to_json(finding) for finding in findings]}
            typer.echo(make_printable(json.dumps(values, ensure_ascii=False)))
        else:
            words = Words(settle_language(None))
            Console(highlight=False).print(_build_table(findings, words))
            print_text(words("doctor.n_broken", n=n_broken) if n_broken else words("doctor.healthy"))
        if n_broken:
            raise typer.Exit(1)


def _build_table(findings: Sequence[Finding], words: Words) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for finding in findings:
        label = "" if finding.topic == before else words(f"doctor.topics.{finding.topic}")
        level = f"[{STYLES[finding.level]}]{words(f'doctor.levels.{finding.level}')}[/]"
        table.add_row(label, level, escape(name_commands(words(f"doctor.{finding.code}", **finding.values))))
        before = finding.topic
    return table


def _to_json(finding: Finding) -> dict[str, Any]:
    text = Words("en")(f"doctor.{finding.code}", **finding.values)
    return {
        "topic": finding.topic,
        "level": finding.level,
        "code": finding.code,
        "values": finding.values,
        "text": text,
    }
