"""`kronos demo`: fine-tune nano on the sample candles that come with the program."""

from pathlib import Path
from typing import Annotated

import typer

from kronos.cli.commands.train import DryRun, Overrides, SkipExisting, train_from
from kronos.cli.output.text import print_text
from kronos.cli.session import LanguageOption, VerboseOption
from kronos.report.words.catalogue import Words

CONFIGS = {False: Path("configs/demo.yaml"), True: Path("configs/demo_random_walk.yaml")}

RandomWalk = Annotated[
    bool, typer.Option("--random-walk", help="The counterpart: candles in which there is nothing to learn.")
]


def demo_command(
    overrides: Overrides = None,
    random_walk: RandomWalk = False,
    skip_existing: SkipExisting = False,
    dry_run: DryRun = False,
    language: LanguageOption = None,
    verbose: VerboseOption = False,
) -> None:
    """Fine-tune a small model on sample candles, here in finetuned/demo, in about a minute. Nothing is downloaded."""
    config = train_from(CONFIGS[random_walk], overrides or [], skip_existing, dry_run, language, verbose)
    if not dry_run:
        words = Words(config.report.language)
        print_text("\n" + words("demo.own_candles"))
