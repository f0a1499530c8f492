"""`kronos refresh`: train a run anew on the candles that have come, and replace it if the new one is not worse."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Annotated

import typer

from kronos.cli.language import settle_language
from kronos.cli.output.text import print_text
from kronos.cli.session import LanguageOption, VerboseOption, loading_libraries, start_session
from kronos.cli.start import format_command_line, name_commands
from kronos.errors import ConfigError
from kronos.files import restore_folder
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import format_percent
from kronos.run_folder import RunFolder, lock_run_folder
from kronos.urls import parse_source

Run = Annotated[Path, typer.Option("--run", help="The run in use, {base_path}/{exp_name}.")]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="The candles that have come: a file, a folder, a glob or a URL; again for more."),
]
Margin = Annotated[float, typer.Option("--margin", min=0, max=1, help="How much worse still counts as not worse.")]
Back = Annotated[bool, typer.Option("--back", help="Put the run before the last refresh in use again.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SECTION.KEY=VALUE]...", help="Other settings of the new run, e.g. training.max_steps=500"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the decision as JSON.")]

logger = logging.getLogger(__name__)


def refresh_command(
    run: Run,
    overrides: Overrides = None,
    data: Data = None,
    margin: Margin = 0.02,
    back: Back = False,
    as_json: AsJson = False,
    language: LanguageOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Fine-tune a run anew, starting from its own models, and replace it only if the new one is not worse.

    Both are compared on candles that neither has seen. If the result is unclear, the old run stays. The exit status is 0 either way.
    """
    with start_session(
        "the run in use has not changed; run the same command again to resume", language, verbose=verbose
    ):
        if (data is None) == (not back):
            raise ConfigError("give either --data (the candles that have come) or --back.")
        restore_folder(run)
        if not RunFolder(run).config.is_file():
            raise ConfigError(
                "{folder}: there is no run here. Give the folder of a trained run with --run.", folder=run
            )
        words = Words(settle_language(None))
        with loading_libraries():
            from kronos.refresh.refreshing import go_back, refresh

        with lock_run_folder(RunFolder(run)):
            if back:
                go_back(run)
                print_text(words("refresh.back", run=run))
                return
            sources = [parse_source(each) for each in data or []]
            done = refresh(run, sources, margin, overrides or [], format_command_line())
        if as_json:
            typer.echo(json.dumps(done.decision.to_json() | {"run": str(run), "report": str(done.report)}))
            return
        decision = done.decision
        shares = {
            key: format_percent(-getattr(decision, name), sign=True)
            for key, name in (("change", "skill"), ("low", "high"), ("high", "low"))
        }
        print_text(words(f"refresh.{decision.reason}", margin=format_percent(margin), n=decision.n_origins, **shares))
        key = "refresh.replaced" if decision.replaces else "refresh.kept"
        print_text(name_commands(words(key, run=run, report=done.report)))
