"""`--dry-run`: what would be trained on what, in how long, and what is to be thought over first."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos.config import Config

if TYPE_CHECKING:
    from kronos.planning.advice import Advice
    from kronos.planning.plan import RunPlan, StagePlan

LABELS = {"tokenizer": "tokenizer", "basemodel": "base model"}
LABEL_WIDTH = 16  # of the longest label and its padding


def show_plan(config: Config, rank: int, world_size: int, skip_existing: bool) -> None:
    """RunPlan a run on all ranks and print the plan on rank 0; nothing is written to the run's folder."""
    # They bring PyTorch with them; imported here, so that --help and a faulty YAML answer at once.
    from accelerate import PartialState

    from kronos.planning.advice import advise
    from kronos.planning.plan import plan_run
    from kronos.training.arguments import start_process

    start_process(config, world_size)
    waiting = Console(stderr=True, quiet=rank > 0).status(
        "looking at the candles, then trying a few steps of each stage …"
    )
    with _warnings_only(), waiting:
        plan = plan_run(config, skip_existing)
    PartialState().destroy_process_group()
    if rank == 0:
        print_plan(plan, advise(plan), Console())


@contextmanager
def _warnings_only() -> Iterator[None]:
    """Silence the lines of a run, which would say beside the tables what they say."""
    logger = logging.getLogger("kronos")
    level = logger.level
    logger.setLevel(max(level, logging.WARNING))
    try:
        yield
    finally:
        logger.setLevel(level)


def print_plan(plan: RunPlan, advice: Sequence[Advice], console: Console) -> None:
    """Print a plan and the warnings about it."""
    folder = plan.config.model_paths.base_save_path
    console.print(f"[bold]Dry run[/]: nothing is kept, nothing is written to {escape(str(folder))}\n", highlight=False)
    console.print(_candles_table(plan), highlight=False)
    console.print(_splits_table(plan), highlight=False)
    console.print(
        "[dim]independent: train windows that share no candle; in the other splits, windows whose horizons share none. "
        "Neighbouring windows are nearly copies of each other, so that this is how much evidence there is.[/]\n",
        highlight=False,
    )
    console.print(_stages_table(plan), highlight=False)
    console.print()
    console.print(_totals_table(plan), highlight=False)
    console.print()
    if not advice:
        console.print("[green]no warnings[/]")
        return
    console.print(f"[bold yellow]{len(advice)} warning{'s' if len(advice) > 1 else ''}[/]", highlight=False)
    console.print(_advice_table(advice), highlight=False)


def _grid(*ratios: int | None) -> Table:
    """A table without lines, its first column of labels."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(min_width=LABEL_WIDTH, style="cyan", no_wrap=True)
    for ratio in ratios:
        table.add_column(ratio=ratio, overflow="fold")
    return table


def _candles_table(plan: RunPlan) -> Table:
    from kronos.data.audit import summarise_findings
    from kronos.data.quality.findings import SEVERITIES

    table = _grid(1)
    table.add_row("candles", escape(plan.candles))
    counts = Counter(finding.severity for finding in plan.findings)
    said = [f"{counts[s]:,} {s}{'s' if counts[s] != 1 else ''}" for s in SEVERITIES if counts[s]]
    table.add_row("audit", ", ".join(said) or "nothing found")
    for line in summarise_findings(plan.findings):
        table.add_row("", escape(line))
    data = plan.config.data
    table.add_row("a window", f"{data.window} candles: {data.lookback_window} lookback, {data.predict_window} horizon")
    return table


def _splits_table(plan: RunPlan) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column("\nsplit", min_width=LABEL_WIDTH, style="cyan")
    for heading in ("candles", "windows", "independent"):
        table.add_column(f"\n{heading}", justify="right")
    for name, split in plan.splits.items():
        table.add_row(name, f"{split.candles:,}", f"{split.windows:,}", f"{split.independent:,}")
    return table


def _stages_table(plan: RunPlan) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", min_width=LABEL_WIDTH, style="cyan", no_wrap=True)
    for name in plan.stages:
        table.add_column(LABELS[name], ratio=1, overflow="fold")
    described = [_describe_stage(plan, stage) for stage in plan.stages.values()]
    for label in described[0]:
        if any(each[label] for each in described):
            table.add_row(label, *(escape(each[label]) for each in described))
    return table


def _describe_stage(plan: RunPlan, stage: StagePlan) -> dict[str, str]:
    """Describe a stage by row; a row that is empty for all stages is left out."""
    from kronos.planning.advice import format_bytes

    share = stage.windows_a_step // stage.n_ranks
    ranks = f" ({stage.n_ranks} ranks × {share})" if stage.n_ranks > 1 else ""
    rows = {
        "weights": stage.source if stage.pre_trained else f"{stage.source}, from scratch",
        "parameters": f"{stage.n_parameters:,}",
        "trainable": "all" if stage.n_trainable == stage.n_parameters else f"{stage.n_trainable:,}",
        "learning rate": f"{stage.learning_rate:g}, {plan.config.training.lr_scheduler}",
        "computes on": f"{stage.device}, {stage.precision}",
        "windows a step": f"{stage.windows_a_step:,}{ranks}",
        "steps": f"{stage.total_steps:,} = {stage.epochs:.4g} epochs of {stage.steps_an_epoch:,}",
        "goes on from": f"step {stage.first_step:,}" if stage.first_step else "",
    }
    measured = dict.fromkeys(("a step", "training", "validation", "time", "peak memory", "a checkpoint", "on disk"), "")
    if m := stage.measurement:
        measured = {
            "a step": f"{_format_short(m.step_seconds)} (median of {m.n_steps}), {stage.tokens_a_second:,.0f} tokens/s",
            "training": _format_time(stage.train_seconds),
            "validation": f"{_format_time(stage.validation_seconds)} ({stage.validations} × "
            f"{_format_short(stage.validation_seconds / max(stage.validations, 1))})",
            "time": f"about {_format_time(stage.seconds)}",
            "peak memory": f"{format_bytes(m.memory_mb * 2**20)}, {format_bytes(m.growth_mb * 2**20)} of it for the steps",
            "a checkpoint": format_bytes(m.checkpoint_bytes),
            "on disk": f"up to {format_bytes(stage.disk_bytes)}",
        }
    return rows | measured | _describe_outlook(plan, stage)


def _describe_outlook(plan: RunPlan, stage: StagePlan) -> dict[str, str]:
    """Say what becomes of what is in the stage's folder, and what --skip-existing makes of it."""
    anew = not plan.skip_existing or stage.outlook.action in ("nothing", "start")
    aside = "set aside, not lost" if stage.occupied else ""
    said = {
        "nothing": "nothing to go on from",
        "skip": stage.outlook.reason,
        "start": stage.outlook.reason,
        "resume": f"interrupted before, goes on from step {stage.outlook.step:,}",
        "refuse": "refused, see the warnings" if plan.skip_existing else f"refused: {stage.outlook.reason}",
    }[stage.outlook.action]
    return {"what is there": aside if anew else "", "--skip-existing": said}


def _totals_table(plan: RunPlan) -> Table:
    from kronos.planning.advice import format_bytes

    table = _grid(1)
    stops = ", less if it stops early" if plan.config.training.early_stopping_patience else ""
    takes = f"about {_format_time(plan.seconds)} for steps and validations, as fast as they went just now{stops}"
    table.add_row("in all", takes if plan.seconds else "nothing would be trained")
    if plan.config.evaluation.enabled and "basemodel" in plan.stages:
        table.add_row("verdict", _describe_evaluation(plan))
    table.add_row("disk", f"up to {format_bytes(plan.disk_bytes)}; {format_bytes(plan.free_bytes)} are free")
    return table


def _describe_evaluation(plan: RunPlan) -> str:
    """Say on how much evidence the verdict will rest, and how long it takes."""
    test, minutes = plan.splits.get("test"), plan.config.evaluation.budget_minutes
    n = test.independent if test else plan.splits["val"].independent // 2
    where = "the test split" if test else "the later half of validation, as there is no test split"
    takes = f"forecasts of at most {minutes:g} minutes" if minutes else "as long as all of them take"
    return f"after training, from about {n:,} independent origin{'s' if n != 1 else ''} in {where}; {takes}"


def _advice_table(advice: Sequence[Advice]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="yellow")
    table.add_column(ratio=1, overflow="fold")
    for number, each in enumerate(advice, start=1):
        table.add_row(f"{number}", f"{escape(each.message)} [dim]({each.code})[/]")
    return table


def _format_short(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _format_time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds))) if seconds >= 1 else _format_short(seconds)
