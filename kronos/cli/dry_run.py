"""`--dry-run`: show what would be trained, how long it takes, and what to reconsider first."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kronos.cli.session import loading_libraries
from kronos.config import Config
from kronos.progress.log_levels import raise_log_levels
from kronos.report.words.catalogue import Words
from kronos.report.words.messages import translate_into

if TYPE_CHECKING:
    from kronos.planning.advice import Advice
    from kronos.planning.plan import RunPlan, StagePlan

LABEL_WIDTH = 16  # of the longest label and its padding


def show_plan(config: Config, rank: int, world_size: int, skip_existing: bool) -> None:
    """Plan a run on all ranks and print the plan on rank 0; nothing is written to the folder of the run."""
    with loading_libraries():
        from accelerate import PartialState  # these import PyTorch: --help and a wrong YAML must answer at once

        from kronos.planning.advice import advise
        from kronos.planning.plan import plan_run
        from kronos.report.advice import log_missing_gpu
        from kronos.training.arguments import start_process

    words = Words(config.report.language)
    start_process(config, world_size)
    log_missing_gpu(config)
    with (
        raise_log_levels({"kronos": logging.WARNING}),
        Console(stderr=True, quiet=rank > 0).status(words("plan.running")),
    ):
        plan = plan_run(config, skip_existing)
    PartialState().destroy_process_group()
    if rank == 0:
        print_plan(plan, advise(plan), Console(), words)


def print_plan(plan: RunPlan, advice: Sequence[Advice], console: Console, words: Words) -> None:
    """Print a plan and the warnings about it."""
    nothing_written = words("plan.nothing_written", folder=plan.config.model_paths.base_save_path)
    console.print(f"[bold]{words('plan.title')}[/] {escape(nothing_written)}\n", highlight=False)
    console.print(_build_candles_table(plan, words), highlight=False)
    console.print(_build_splits_table(plan, words), highlight=False)
    console.print(f"[dim]{words('plan.independent_note')}[/]\n", highlight=False)
    console.print(_build_stages_table(plan, words), highlight=False)
    console.print()
    console.print(_build_totals_table(plan, words), highlight=False)
    console.print()
    if not advice:
        console.print(f"[green]{words('plan.no_warnings')}[/]")
        return
    heading = words("plan.one_warning") if len(advice) == 1 else words("plan.warnings", n=len(advice))
    console.print(f"[bold yellow]{heading}[/]", highlight=False)
    console.print(_build_advice_table(advice, words), highlight=False)


def _build_label_table() -> Table:
    """Build a table without lines: labels, then texts."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(min_width=LABEL_WIDTH, style="cyan", no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    return table


def _build_candles_table(plan: RunPlan, words: Words) -> Table:
    from kronos.data.audit import summarise_findings
    from kronos.data.quality.findings import SEVERITIES

    table = _build_label_table()
    table.add_row(words("plan.candles"), escape(translate_into(plan.candles, words.language)))
    counts = Counter(finding.severity for finding in plan.findings)
    texts = [
        words(f"plan.one_of_severity.{each}") if counts[each] == 1 else words(f"plan.severities.{each}", n=counts[each])
        for each in SEVERITIES
        if counts[each]
    ]
    table.add_row(words("plan.audit"), ", ".join(texts) or words("plan.nothing_found"))
    for line in summarise_findings(plan.findings):
        table.add_row("", escape(translate_into(line, words.language)))
    data = plan.config.data
    window = words("plan.window_of", window=data.window, lookback=data.lookback_window, horizon=data.predict_window)
    table.add_row(words("plan.window"), window)
    return table


def _build_splits_table(plan: RunPlan, words: Words) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="cyan")
    table.add_column(f"\n{words('plan.split')}", min_width=LABEL_WIDTH, style="cyan")
    for heading in ("candles", "windows", "independent"):
        table.add_column(f"\n{words(f'plan.{heading}')}", justify="right")
    for name, split in plan.splits.items():
        table.add_row(name, f"{split.candles:,}", f"{split.windows:,}", f"{split.independent:,}")
    return table


def _build_stages_table(plan: RunPlan, words: Words) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", min_width=LABEL_WIDTH, style="cyan", no_wrap=True)
    for name in plan.stages:
        table.add_column(words(f"plan.stages.{name}"), ratio=1, overflow="fold")
    stages = plan.stages.values()
    columns = [
        _describe_settings(plan, stage, words) | _describe_costs(stage, words) | _describe_existing(plan, stage, words)
        for stage in stages
    ]
    for label in dict.fromkeys(label for column in columns for label in column):
        cells = [column.get(label, "") for column in columns]
        if any(cells):
            table.add_row(label if label.startswith("--") else words(f"plan.{label}"), *map(escape, cells))
    return table


def _describe_settings(plan: RunPlan, stage: StagePlan, words: Words) -> dict[str, str]:
    """Describe what a stage trains, by row; a row that is empty for all stages is left out."""
    n_windows, share = stage.windows_a_step, stage.windows_a_step // stage.n_ranks
    on_ranks = words("plan.windows_of_ranks", n=n_windows, ranks=stage.n_ranks, share=share)
    all_trained = stage.n_trainable == stage.n_parameters
    steps = {"n": stage.total_steps, "epochs": stage.epochs, "steps_an_epoch": stage.steps_an_epoch}
    return {
        "weights": stage.source if stage.pre_trained else words("plan.from_scratch", source=stage.source),
        "parameters": f"{stage.n_parameters:,}",
        "trainable": words("plan.all") if all_trained else f"{stage.n_trainable:,}",
        "learning_rate": f"{stage.learning_rate:g}, {plan.config.training.lr_scheduler}",
        "device": f"{stage.device}, {stage.precision}",
        "windows_a_step": on_ranks if stage.n_ranks > 1 else f"{n_windows:,}",
        "steps": words("plan.steps_of", **steps),
        "resumes_from": words("plan.from_step", n=stage.first_step) if stage.first_step else "",
    }


def _describe_costs(stage: StagePlan, words: Words) -> dict[str, str]:
    """Describe what was measured, by row."""
    from kronos.report.words.numbers import format_bytes

    measured = stage.measurement
    if measured is None:
        return {}
    step, each = measured.step_seconds, stage.validation_seconds / max(stage.validations, 1)
    validation, n = _format_time(stage.validation_seconds), stage.validations
    peak, growth = format_bytes(measured.memory_mb * 2**20), format_bytes(measured.growth_mb * 2**20)
    step_values = {"time": _format_short(step), "n": measured.n_steps, "tokens": stage.tokens_a_second}
    compiling = measured.compiling
    costs = {"saved": _format_time(compiling.saved_seconds), "takes": _format_time(compiling.compile_seconds)}
    return {
        "torch_compile": words(f"plan.compiling.{compiling.reason}", **costs),
        "a_step": words("plan.a_step_of", **step_values),
        "training": _format_time(stage.train_seconds),
        "validation": words("plan.validation_of", time=validation, n=n, each=_format_short(each)),
        "time": words("plan.about", time=_format_time(stage.seconds)),
        "peak_memory": words("plan.peak_memory_of", peak=peak, growth=growth),
        "checkpoint": format_bytes(measured.checkpoint_bytes),
        "on_disk": words("plan.up_to", size=format_bytes(stage.disk_bytes)),
    }


def _describe_existing(plan: RunPlan, stage: StagePlan, words: Words) -> dict[str, str]:
    """Describe what happens to the results in the folder of the stage, and what --skip-existing does."""
    outlook = stage.outlook
    starts_again = not plan.skip_existing or outlook.action in ("nothing", "start")
    reason = translate_into(outlook.reason, words.language)
    refused = words("plan.refused") if plan.skip_existing else words("plan.refused_because", reason=reason)
    texts = {
        "nothing": words("plan.nothing_to_resume"),
        "skip": reason,
        "start": reason,
        "resume": words("plan.resumes", n=outlook.step),
        "refuse": refused,
    }
    existing = words("plan.set_aside") if stage.occupied and starts_again else ""
    return {"existing": existing, "--skip-existing": texts[outlook.action]}


def _build_totals_table(plan: RunPlan, words: Words) -> Table:
    from kronos.report.words.numbers import format_bytes

    table = _build_label_table()
    total = "plan.total_of_early" if plan.config.training.early_stopping_patience else "plan.total_of"
    takes = words(total, time=_format_time(plan.seconds)) if plan.seconds else words("plan.nothing_to_train")
    table.add_row(words("plan.total"), takes)
    if "basemodel" in plan.stages:
        table.add_row(words("plan.recipe"), _describe_recipe(plan, words))
    if plan.config.evaluation.enabled and "basemodel" in plan.stages:
        table.add_row(words("plan.verdict"), _describe_evaluation(plan, words))
    sizes = {"needed": format_bytes(plan.disk_bytes), "free": format_bytes(plan.free_bytes)}
    table.add_row(words("plan.disk"), words("plan.disk_of", **sizes))
    return table


def _describe_recipe(plan: RunPlan, words: Words) -> str:
    """Name the recipe of the run, the one that fits its candles, and why."""
    from kronos.planning.recipe import suggest_recipe

    hint, used = suggest_recipe(plan.config, plan.splits), plan.config.recipe
    reason = words(f"plan.recipe_reasons.{hint.reason}", train=hint.train, val=hint.val)
    return words(
        "plan.recipe_fits" if used == hint.name else "plan.recipe_other", used=used, name=hint.name, why=reason
    )


def _describe_evaluation(plan: RunPlan, words: Words) -> str:
    """Describe how much evidence the verdict will have, and how long it takes."""
    test, minutes = plan.splits.get("test"), plan.config.evaluation.budget_minutes
    takes = words("plan.budget", minutes=minutes) if minutes else words("plan.no_budget")
    if test:
        return words("plan.verdict_test", n=test.origins, takes=takes)
    return words("plan.verdict_val", n=plan.splits["val"].origins // 2, takes=takes)


def _build_advice_table(advice: Sequence[Advice], words: Words) -> Table:
    from kronos.report.advice import describe_advice

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="yellow")
    table.add_column(ratio=1, overflow="fold")
    for number, each in enumerate(advice, start=1):
        table.add_row(f"{number}", f"{escape(describe_advice(each, words))} [dim]({each.code})[/]")
    return table


def _format_short(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _format_time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds))) if seconds >= 1 else _format_short(seconds)
