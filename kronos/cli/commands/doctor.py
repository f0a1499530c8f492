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
from kronos.urls import check_endpoint

if TYPE_CHECKING:
    from kronos.doctor.diagnoses import Diagnosis

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

        endpoint = check_endpoint(endpoint)
        diagnoses = [*check_software(), check_command()]
        if not any(diagnosis.level == "broken" for diagnosis in diagnoses):  # else what follows cannot be imported
            with loading_libraries():
                from kronos.doctor.machine import check_machine
                from kronos.doctor.models import check_models

            diagnoses += [*check_machine(), *check_models(endpoint, published)]
        n_broken = sum(diagnosis.level == "broken" for diagnosis in diagnoses)
        if as_json:
            values = {"broken": n_broken, "findings": [_to_json(diagnosis) for diagnosis in diagnoses]}
            typer.echo(make_printable(json.dumps(values, ensure_ascii=False)))
        else:
            words = Words(settle_language(None))
            Console(highlight=False).print(_build_table(diagnoses, words))
            print_text(words("doctor.n_broken", n=n_broken) if n_broken else words("doctor.healthy"))
        if n_broken:
            raise typer.Exit(1)


def _build_table(diagnoses: Sequence[Diagnosis], words: Words) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    before = ""
    for diagnosis in diagnoses:
        label = "" if diagnosis.topic == before else words(f"doctor.topics.{diagnosis.topic}")
        level = f"[{STYLES[diagnosis.level]}]{words(f'doctor.levels.{diagnosis.level}')}[/]"
        table.add_row(label, level, escape(name_commands(words(f"doctor.{diagnosis.code}", **diagnosis.values))))
        before = diagnosis.topic
    return table


def _to_json(diagnosis: Diagnosis) -> dict[str, Any]:
    text = Words("en")(f"doctor.{diagnosis.code}", **diagnosis.values)
    return {
        "topic": diagnosis.topic,
        "level": diagnosis.level,
        "code": diagnosis.code,
        "values": diagnosis.values,
        "text": text,
    }
