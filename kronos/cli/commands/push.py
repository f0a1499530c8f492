"""`kronos push`: put a run's best models on the Hugging Face Hub, with cards that say what they are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kronos.cli.language import settle_language
from kronos.cli.output.text import print_text
from kronos.cli.session import LanguageOption, loading_libraries, start_session
from kronos.report.words.catalogue import Words
from kronos.run_folder import RunFolder, lock_run_folder
from kronos.urls import check_endpoint

RunOption = Annotated[Path, typer.Option("--run", help="The run's folder, {base_path}/{exp_name}.", show_default=False)]
To = Annotated[
    str, typer.Option("--to", metavar="USER/NAME", help="The repository of the base model.", show_default=False)
]
TokenizerTo = Annotated[
    str,
    typer.Option(
        "--tokenizer-to",
        metavar="USER/NAME",
        help="That of the tokenizer, if it is not on the hub already.",
        show_default="--to with -tokenizer",
    ),
]
Private = Annotated[bool, typer.Option("--private", help="Only you can see the repositories.")]
License = Annotated[
    str,
    typer.Option(
        "--license", help="An identifier of the hub.", show_default="mit for models that started from published ones"
    ),
]
HideData = Annotated[
    bool, typer.Option("--hide-data", help="Name neither symbols nor times of the candles in the cards.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Write the folders and the cards only.")]
Endpoint = Annotated[
    str, typer.Option("--endpoint", metavar="URL", help="Another hub.", show_default="HF_ENDPOINT, else the hub")
]


def push_command(
    run: RunOption,
    to: To,
    tokenizer_to: TokenizerTo = "",
    private: Private = False,
    license: License = "",
    hide_data: HideData = False,
    dry_run: DryRun = False,
    endpoint: Endpoint = "",
    language: LanguageOption = None,
) -> None:
    """Publish a run's best models with a model card: use, verdict, candles, settings, hashes. Look at --dry-run first."""
    with start_session("run the same command again", language):
        with loading_libraries():
            from kronos.hub.push import name_published, prepare, upload
            from kronos.saved_run import load_run_config

        config = load_run_config(run)
        words = Words(settle_language(config))
        endpoint = check_endpoint(endpoint)
        published = name_published(to, tokenizer_to, license, hide_data)
        with lock_run_folder(RunFolder(run)):
            published, prepared = prepare(run, published, language or config.report.language)
            for each in prepared:
                print_text(words("push.prepared", name=each.repository, folder=str(each.folder)))
            if dry_run:
                print_text(words("push.dry_run"))
                return
            for address in upload(prepared, private, endpoint):
                print_text(words("push.uploaded", address=address))
        options = f"--model {published.model} --tokenizer {published.tokenizer}"
        print_text(words("push.next", command=f"python -m kronos predict {options} --data my.csv"))
