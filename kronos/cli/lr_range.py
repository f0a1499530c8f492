"""`kronos lr-range`: which learning rates a stage bears."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from kronos.cli.environment import (
    limit_thread_spinning,
    read_process,
    select_cuda_device,
    start_logging,
    translate_errors,
)
from kronos.cli.train import ConfigOption, Overrides
from kronos.config import Config, load_config
from kronos.errors import ConfigError
from kronos.files import write_json

if TYPE_CHECKING:
    from kronos.tuning.lr_range import LrRange

ENOUGH = 1.5  # times: rates closer than this are the same for what the test can tell

StageOption = Annotated[Literal["tokenizer", "basemodel"], typer.Option("--stage", help="Which stage is tested.")]
FromOption = Annotated[float, typer.Option("--from", help="The first step's rate.")]
ToOption = Annotated[float, typer.Option("--to", help="The last step's rate, where the loss lets it come to that.")]
StepsOption = Annotated[int, typer.Option("--steps", help="Steps, each with a higher rate.")]


def lr_range(
    config: ConfigOption,
    overrides: Overrides = None,
    stage: StageOption = "basemodel",
    low: FromOption = 1e-7,
    high: ToOption = 1.0,
    steps: StepsOption = 100,
) -> None:
    """Let the learning rate grow until the loss explodes, and suggest one; trains nothing that is kept."""
    with translate_errors("nothing was written"):
        limit_thread_spinning()
        start_logging()
        process = read_process()
        if process.world_size > 1:
            raise ConfigError("kronos lr-range runs in one process: launch it with python, not with torchrun.")
        settings = load_config(config, overrides or [])
        select_cuda_device(settings.device.device_id, process)
        found = _measure(settings, stage, low, high, steps)
        paths = _write(settings, found)
        typer.echo(_sentence(found))
        for label, path in zip(("picture", "figures"), paths):
            typer.echo(f"{label:<9}{path}")


def _measure(config: Config, stage: Any, low: float, high: float, n_steps: int) -> LrRange:
    # They bring PyTorch with them; imported here, so that --help and a faulty YAML answer at once.
    from kronos.training.arguments import start_process
    from kronos.tuning.lr_range import measure_lr_range

    start_process(config, 1)
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn(stage), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task("", total=n_steps)

        def on_step(n_done: int, rate: float, loss: float) -> None:
            bar.update(task, completed=n_done, description=f"lr {rate:.1e}  loss {loss:.4f}")

        return measure_lr_range(config, stage, low, high, n_steps, on_step)


def _write(config: Config, found: LrRange) -> tuple[Path, Path]:
    from kronos.report.charts.lr_range_plot import draw_lr_range

    folder = config.model_paths.run_folder.report.path
    picture, figures = folder / f"lr_range_{found.stage}.png", folder / f"lr_range_{found.stage}.json"
    label = {"tokenizer": "tokenizer", "basemodel": "base model"}[found.stage]
    title = f"{config.model_paths.exp_name} · learning-rate range test of the {label}, {len(found.rates)} steps"
    draw_lr_range(found, picture, title)
    scalars = ("suggested", "steepest", "upper_bound", "diverged", "configured")
    arrays = {"rate": found.rates, "loss": found.losses, "smoothed": found.smoothed}
    values = {"stage": found.stage} | {name: getattr(found, name) for name in scalars}
    write_json(figures, values | {name: array.tolist() for name, array in arrays.items()})
    return picture, figures


def _sentence(found: LrRange) -> str:
    """Say what is suggested, beside what is configured."""
    configured = f"configured is {found.configured:.1e}"
    bound = (
        "" if found.upper_bound is None else f"stay below {found.upper_bound:.1e}, a tenth of where learning is undone"
    )
    if found.suggested is None:
        seen = "the loss does not fall clearly at any rate (more steps, or a larger batch, show more)"
        return f"{found.stage}: {seen}; " + (f"{bound}; " if bound else "it was not undone either; ") + configured
    ratio = found.configured / found.suggested
    compared = "about the same" if 1 / ENOUGH < ratio < ENOUGH else f"{max(ratio, 1 / ratio):.2g} times "
    compared += "" if compared == "about the same" else "as much" if ratio > 1 else "less"
    why = "the loss falls fastest there" if found.suggested == found.steepest else "a tenth of where learning is undone"
    limit = f"; {bound}" if bound and found.suggested == found.steepest else ""
    return (
        f"{found.stage}: a learning rate of {found.suggested:.1e} is suggested ({why}){limit}; {configured}, {compared}"
    )
