"""`kronos` and `python -m kronos`."""

import typer

from kronos.cli.check import check_command
from kronos.cli.compare import compare
from kronos.cli.environment import make_stdout_unicode_safe
from kronos.cli.evaluate import evaluate
from kronos.cli.predict import predict
from kronos.cli.train import train
from kronos.cli.tune import tune_command

app = typer.Typer(
    name="kronos",
    help="Fine-tune the Kronos foundation model on your own K-lines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("check")(check_command)
app.command("train")(train)
app.command("evaluate")(evaluate)
app.command("predict")(predict)
app.command("tune")(tune_command)
app.command("compare")(compare)


@app.command("lr-range", hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def _explain_lr_range() -> None:
    new_command = "kronos tune --config … --space configs/spaces/learning_rate.yaml"
    typer.echo(f"error: kronos lr-range has been replaced by a search over one key: {new_command}", err=True)
    raise typer.Exit(2)


@app.callback()
def _main() -> None:
    """Fine-tune the Kronos foundation model on your own K-lines."""


def main() -> None:
    make_stdout_unicode_safe()
    app()
