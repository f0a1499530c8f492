"""`kronos download`: fetch published models once, to use them without a connection."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kronos.cli.language import settle_language
from kronos.cli.output.text import print_text
from kronos.cli.session import LanguageOption, loading_libraries, start_session
from kronos.config import load_config
from kronos.errors import ConfigError
from kronos.names import make_printable
from kronos.report.words.catalogue import Words
from kronos.urls import check_endpoint

if TYPE_CHECKING:
    from kronos.hub.downloads import Downloaded

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME]...",
        help="Kronos-mini, Kronos-small, Kronos-base (each brings its tokenizer), a tokenizer, or owner/name[@commit].",
        show_default="Kronos-small, or the models of --config",
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="A YAML file: fetch the models that it names.", show_default=False)
]
To = Annotated[
    Path | None,
    typer.Option("--to", metavar="DIR", help="Put model folders here too, for a machine without a connection."),
]
Endpoint = Annotated[
    str,
    typer.Option("--endpoint", metavar="URL", help="The hub or a mirror.", show_default="HF_ENDPOINT, else the hub"),
]


def download_command(
    names: Names = None,
    config: ConfigOption = None,
    to: To = None,
    endpoint: Endpoint = "",
    language: LanguageOption = None,
) -> None:
    """Fetch published models: one commit, verified by its hash, resumed after an interruption."""
    with start_session("what has been fetched is kept; run the same command again to resume", language):
        settings = load_config(config) if config else None
        words = Words(settle_language(settings))
        if names and config:
            raise ConfigError("give either names or --config; the names of a configuration are in the configuration.")
        endpoint = check_endpoint(endpoint) or (settings.model_paths.hub_endpoint if settings else "")
        with loading_libraries():
            from kronos.hub.downloads import choose_folders, download_model, list_models_to_fetch

        wanted, fetched = list_models_to_fetch(names or [], settings), []
        folders = choose_folders(wanted, to) if to else {}
        for name in wanted:
            fetched.append(download_model(name, folders.get(name), endpoint))
            _print_model(fetched[-1], words)
        _print_use(fetched, to, words)


def _print_model(model: Downloaded, words: Words) -> None:
    from kronos.report.words.numbers import format_bytes

    values = {"size": format_bytes(model.n_bytes), "commit": model.commit[:12], "sha256": model.sha256}
    print_text(words("download.model", name=model.name, **values))
    print_text(words("download.folder", folder=str(model.folder)))


def _print_use(fetched: Sequence[Downloaded], to: Path | None, words: Words) -> None:
    """Print the lines of a configuration, and a command, that use the models."""
    from kronos.hub.downloads import pair_models

    print_text("\n" + words("download.use_folders" if to else "download.use_names"))
    for pair in pair_models(fetched):
        named = {key: make_printable(str(each.folder) if to else each.name) for key, each in pair.items()}
        typer.echo("\n  model_paths:")
        for is_tokenizer, key in ((True, "pretrained_tokenizer"), (False, "pretrained_predictor")):
            if is_tokenizer in named:
                typer.echo(f"    {key}: {named[is_tokenizer]}")
        if len(named) == 2:
            models = ["--tokenizer", named[True], "--model", named[False]]
            command = shlex.join(["python", "-m", "kronos", "predict", *models, "--data", "my.csv"])
            print_text("\n" + words("download.example", command=command))
