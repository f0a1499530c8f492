"""`kronos` and `python -m kronos`."""

from typing import Annotated

import typer

from kronos.cli.commands.check import check_command
from kronos.cli.commands.compare import compare_command
from kronos.cli.commands.evaluate import evaluate_command
from kronos.cli.commands.predict import predict_command
from kronos.cli.commands.train import train_command
from kronos.cli.commands.tune import tune_command
from kronos.cli.start import main  # noqa: F401  # what earlier installations start
from kronos.version import __version__

app = typer.Typer(
    name="kronos",
    help="Fine-tune the Kronos foundation model on your own K-lines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("check")(check_command)
app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command("predict")(predict_command)
app.command("tune")(tune_command)
app.command("compare")(compare_command)


@app.command("lr-range", hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def _explain_lr_range() -> None:
    new_command = "kronos tune --config … --space configs/spaces/learning_rate.yaml"
    typer.echo(f"error: kronos lr-range has been replaced by a search over one key: {new_command}", err=True)
    raise typer.Exit(2)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"kronos {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Fine-tune the Kronos foundation model on your own K-lines."""
