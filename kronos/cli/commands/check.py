"""`kronos check`: find what is wrong with candles before a long run uses them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from kronos.cli.language import settle_language
from kronos.cli.output.text import print_text
from kronos.cli.session import LanguageOption, loading_libraries, start_session
from kronos.config import Config, load_config
from kronos.config.load import build_reading_config
from kronos.errors import ConfigError
from kronos.names import make_printable
from kronos.report.words.catalogue import Words
from kronos.urls import mask_secrets

if TYPE_CHECKING:
    from kronos.planning.check import Check

OVERRIDE = r"\w+(\.\w+)+="

Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH | URL | SECTION.KEY=VALUE]...",
        help="Files, folders, globs or URLs of candles, instead of the configuration's; and overrides of keys.",
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


def check_command(
    arguments: Arguments = None,
    config: ConfigOption = None,
    as_json: AsJson = False,
    leakage: Leakage = False,
    language: LanguageOption = None,
) -> None:
    """Audit candles: list errors, repairs and notes. The exit status is 1 if there are errors."""
    with start_session("nothing was changed; run the same command again", language):
        settings = _configure(arguments or [], config)
        words = Words(settle_language(settings))
        with loading_libraries():  # --help does not wait for it
            from kronos.planning.check import check_candles
            from kronos.report.check import write_check

        check = check_candles(settings, config is not None, leakage)
        check = replace(check, next=_propose_command(check, settings, arguments or [], config))
        if as_json:
            typer.echo(make_printable(json.dumps(_to_json(check), ensure_ascii=False, allow_nan=False)))
        else:
            print_text(write_check(check, settings, words, leakage, Console()))
        if check.error:
            raise check.error
        if check.broken or (check.leaks and check.leaks.leaks):
            raise typer.Exit(1)


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the paths and the overrides among arguments. What is there is a path."""
    overrides = [each for each in arguments if re.match(OVERRIDE, each) and not Path(each).exists()]
    return [each for each in arguments if each not in overrides], overrides


def _configure(arguments: Sequence[str], config: Path | None) -> Config:
    """Split arguments into paths and overrides, and build the configuration."""
    paths, overrides = split_arguments(arguments)
    if not paths and config is None:
        raise ConfigError("there are no candles to check. Give --config, or files of candles; see --help.")
    if config is None:
        return build_reading_config(paths, overrides)
    return load_config(config, [*([f"data.data_path={json.dumps(paths)}"] if paths else []), *overrides])


def _propose_command(check: Check, settings: Config, arguments: Sequence[str], config: Path | None) -> str:
    """Return the command that follows: init, or train with a configuration; empty if the candles are not usable yet."""
    if check.enough is None or check.enough.level == "none":
        return ""
    paths, overrides = split_arguments(arguments)
    masked = [mask_secrets(each) for each in overrides]
    if config is None:
        return shlex.join(["kronos", "init", *(str(path) for path in settings.data.data_path), *masked])
    chosen = [f"data.data_path={json.dumps(paths, ensure_ascii=False)}"] if paths else []
    return shlex.join(["kronos", "train", "--config", str(config), *masked, *chosen])


def _to_json(check: Check) -> dict[str, Any]:
    from kronos.data.audit import audit_to_json, splits_to_json

    report = audit_to_json(check.audited)
    for symbol in report["symbols"]:
        symbol["as_read"] = [candle.to_json() for candle in check.as_read.get(symbol["symbol"], ())]
    report |= {"enough": check.enough.to_json()} if check.enough else {}
    report |= {"next": check.next} if check.next else {}
    report |= {"leaks": [leak._asdict() for leak in check.leaks.leaks]} if check.leaks is not None else {}
    report |= {"windows": splits_to_json(check.splits)} if check.splits else {}
    return report | ({"error": str(check.error)} if check.error else {})
