"""`kronos`, `kline` and `python -m kronos`."""

from typing import Annotated

import typer

from kronos.cli.commands.check import check_command
from kronos.cli.commands.compare import compare_command
from kronos.cli.commands.demo import demo_command
from kronos.cli.commands.doctor import doctor_command
from kronos.cli.commands.download import download_command
from kronos.cli.commands.evaluate import evaluate_command
from kronos.cli.commands.init import init_command
from kronos.cli.commands.live.batch import batch_command
from kronos.cli.commands.live.export import export_command
from kronos.cli.commands.live.mcp import mcp_command
from kronos.cli.commands.live.refresh import refresh_command
from kronos.cli.commands.live.score import score_command
from kronos.cli.commands.live.serve import serve_command
from kronos.cli.commands.live.watch import watch_command
from kronos.cli.commands.predict import predict_command
from kronos.cli.commands.push import push_command
from kronos.cli.commands.train import train_command
from kronos.cli.commands.tune import tune_command
from kronos.cli.language import translate
from kronos.cli.session import HELP_OPTIONS
from kronos.cli.start import main  # noqa: F401  # what earlier installations start
from kronos.names import Message
from kronos.version import __version__

app = typer.Typer(
    name="kronos",
    help="Fine-tune the Kronos foundation model on your own K-lines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=HELP_OPTIONS,
)
# In the order in which they are needed.
app.command("demo", short_help="Fine-tune a small model on sample candles: about a minute.")(demo_command)
app.command("check", short_help="Find what is wrong with candles, and whether they are enough.")(check_command)
app.command("init", short_help="Write a configuration for your candles.")(init_command)
app.command("train", short_help="Fine-tune, then judge the model on held-out candles.")(train_command)
app.command("finetune", hidden=True)(train_command)
app.command("tune", short_help="Search settings with a lower validation loss.")(tune_command)
app.command("evaluate", short_help="Measure whether a run or any model has skill.")(evaluate_command)
app.command("compare", short_help="Show evaluated runs side by side.")(compare_command)
app.command("predict", short_help="Forecast the candles to come: table, picture, page.")(predict_command)
app.command("batch", short_help="Forecast very many symbols, from Parquet to Parquet.")(batch_command)
app.command("serve", short_help="Answer forecasts over HTTP, with the verdict on the models.")(serve_command)
app.command("mcp", short_help="Offer a run's models as tools to language models.")(mcp_command)
app.command("score", short_help="Grade logged forecasts by the candles that have come.")(score_command)
app.command("watch", short_help="Grade logged forecasts as candles come: page, gauges, alarms.")(watch_command)
app.command("refresh", short_help="Train a run anew; use the new one if it is not worse.")(refresh_command)
app.command("export", short_help="Write a run's models as ONNX, or for MLflow.")(export_command)
app.command("push", short_help="Put a run's models on the hub, with model cards.")(push_command)
app.command("download", short_help="Fetch published models, to use them without a connection.")(download_command)
app.command("doctor", short_help="Check software, device, models and the hub.")(doctor_command)


@app.command("lr-range", hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def _explain_lr_range() -> None:
    new_command = "kronos tune --config … --space configs/spaces/learning_rate.yaml"
    template = "error: kronos lr-range has been replaced by a search over one key: {command}"
    typer.echo(translate(Message(template, command=new_command)), err=True)
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
