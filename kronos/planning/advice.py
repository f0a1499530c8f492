"""What a careful friend would say of a plan before the hours are spent; each rule is a function of the plan alone.

docs/dry_run.md says where the limits come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from kronos.config.training import RATE_KEYS
from kronos.planning.plan import RunPlan, StagePlan

# Rates that are known to work: the published models' fine-tuning scripts; for training from scratch the paper's.
FINE_TUNING_RATE = {"tokenizer": 2e-4, "basemodel": 4e-5}
FROM_SCRATCH_RATE = 1e-3
LORA_RATE_FACTOR = 10.0  # low-rank additions want about ten times the rate of the weights themselves
HIGHEST = 10.0  # times the known rate
LOWEST = {True: 100.0, False: 10.0}  # of which a rate may be that small a part; pretrained, from scratch
ADAPTING_SHARE = 0.01  # of a pretrained model's parameters: what low-rank fine-tuning gets by with
MAX_DRIFT_RATIO = 10.0  # of the tokenizer's rate x steps to the base model's; the defaults' is 7.5
MIN_INDEPENDENT_VAL = 30  # the standard error of their mean is then 18 % of their spread
MAX_CLIPPED = 0.05
MAX_HOURS = 24
MAX_HOURS_AT_RISK = 1
FULL_THRESHOLD = 0.9  # of a memory or a disk


@dataclass(frozen=True)
class Advice:
    """A warning: its name, and a sentence with the reason and the remedy."""

    code: str
    message: str


def advise(plan: RunPlan) -> list[Advice]:
    """Return the warnings that apply to a plan, those that stop or spoil a run first."""
    return [Advice(code, message) for code, rule in RULES.items() for message in rule(plan)]


def _refused(plan: RunPlan) -> Iterator[str]:
    for stage in plan.stages.values():
        if plan.skip_existing and stage.outlook.action == "refuse":
            yield f"This run would stop: {stage.outlook.reason}"


def _disk(plan: RunPlan) -> Iterator[str]:
    if plan.disk_bytes > FULL_THRESHOLD * plan.free_bytes:
        yield (
            f"The checkpoints and models need up to {format_bytes(plan.disk_bytes)}, but only {format_bytes(plan.free_bytes)} are free "
            f"where {plan.config.model_paths.base_save_path} will be: lower training.save_total_limit, or choose another disk "
            "with model_paths.base_path."
        )


def _memory(plan: RunPlan) -> Iterator[str]:
    for stage in _measured(plan):
        peak = stage.measurement.memory_mb if stage.measurement else 0.0
        if peak > FULL_THRESHOLD * plan.memory_mb:
            yield (
                f"{_name(stage)}: {format_bytes(peak * 2**20)} of the {format_bytes(plan.memory_mb * 2**20)} that a process may have "
                "were taken after a few steps, and a longer run takes somewhat more: raise training.accumulation_steps, which "
                "computes the same in smaller parts."
            )


def _little_data(plan: RunPlan) -> Iterator[str]:
    """Count each train candle once; where fewer than the parameters that have to move, they can be learnt by heart."""
    distinct = plan.splits["train"].independent * plan.config.data.window
    for stage in _measured(plan):
        moving = stage.n_trainable
        if stage.pre_trained:
            moving = min(moving, round(ADAPTING_SHARE * stage.n_parameters))
        if distinct < moving:
            share = "a hundredth of its" if moving < stage.n_trainable else "its"
            yield (
                f"{_name(stage)}: {distinct:,} train candles in windows that do not overlap are few for {share} "
                f"{stage.n_parameters if moving < stage.n_trainable else stage.n_trainable:,} parameters, so that it can learn "
                "them by heart: give more candles or symbols, take a smaller model, or stop early "
                "(training.early_stopping_patience, fewer epochs)."
            )


def _rate(plan: RunPlan) -> Iterator[str]:
    for stage in _measured(plan):
        known = FINE_TUNING_RATE[stage.name] if stage.pre_trained else FROM_SCRATCH_RATE
        if stage.name == "basemodel" and plan.config.training.lora:
            known *= LORA_RATE_FACTOR
        key = RATE_KEYS[stage.name]
        start = "fine-tuning a published model" if stage.pre_trained else "training from scratch"
        if stage.learning_rate > HIGHEST * known * (1 + 1e-9):
            yield (
                f"{_name(stage)}: a learning rate of {stage.learning_rate:g} is more than {HIGHEST:g} times what is known to work "
                f"for {start} ({known:g}), so that the loss may diverge: lower training.{key}."
            )
        if stage.learning_rate < known / LOWEST[stage.pre_trained] * (1 - 1e-9):
            yield (
                f"{_name(stage)}: a learning rate of {stage.learning_rate:g} is less than 1/{LOWEST[stage.pre_trained]:g} of what is "
                f"known to work for {start} ({known:g}), so that little will be learnt: raise training.{key}."
            )


def _drift(plan: RunPlan) -> Iterator[str]:
    """AdamW moves a weight by about the rate a step, so that rate x steps bounds how far it can go."""
    if not {"tokenizer", "basemodel"} <= plan.stages.keys():
        return
    tokenizer, base = plan.stages["tokenizer"], plan.stages["basemodel"]
    if not (tokenizer.pre_trained and base.pre_trained):
        return
    ratio = tokenizer.learning_rate * tokenizer.total_steps / (base.learning_rate * base.total_steps)
    if ratio > MAX_DRIFT_RATIO * (1 + 1e-9):
        yield (
            f"The tokenizer's learning rate × steps is {ratio:.0f} times the base model's, which may be too slow to relearn tokens "
            "whose meaning has moved: lower training.tokenizer_learning_rate or tokenizer_epochs, give the base model more, or "
            "keep the published tokenizer (--skip-tokenizer)."
        )


def _context(plan: RunPlan) -> Iterator[str]:
    data = plan.config.data
    if data.window > data.max_context:
        yield (
            f"lookback_window + predict_window is {data.window}, but max_context {data.max_context}, so that forecasts slide and "
            f"lose sight of their first {data.window - data.max_context} candles, which training has seen: set "
            f"data.lookback_window to at most {data.max_context - data.predict_window}, or raise data.max_context if the model "
            "can attend to more (Kronos-mini: 2048)."
        )


def _large_batch(plan: RunPlan) -> Iterator[str]:
    n_windows, n_independent = next(iter(plan.stages.values())).windows_a_step, plan.splits["train"].independent
    if n_windows > n_independent:
        yield (
            f"A step takes {n_windows} windows, but only {n_independent} of the train windows do not overlap, so that a batch "
            "repeats itself: lower training.batch_size for more steps an epoch, or give more candles."
        )


def _few_steps(plan: RunPlan) -> Iterator[str]:
    """AdamW's mean of squared gradients remembers 1 / (1 - beta2) steps."""
    memory = 1 / (1 - plan.config.training.adam_beta2)
    for stage in _measured(plan):
        if stage.total_steps < 3 * memory:
            yield (
                f"{_name(stage)}: {stage.total_steps} steps are fewer than AdamW needs to find its pace "
                f"(3 / (1 − adam_beta2) = {3 * memory:.0f}): give more epochs, or lower training.batch_size."
            )


def _few_validations(plan: RunPlan) -> Iterator[str]:
    n_independent = plan.splits["val"].independent
    if n_independent < MIN_INDEPENDENT_VAL:
        yield (
            f"Only {n_independent} validation windows have horizons that do not overlap, so that chance chooses the best model: "
            f"give validation more candles (data.val_ratio, data.val_end) for at least {MIN_INDEPENDENT_VAL}."
        )


def _no_test(plan: RunPlan) -> Iterator[str]:
    if "test" not in plan.splits:
        yield (
            "There is no test split, so that the forecasts at the end are drawn on the candles that chose the best model and "
            "look better than they are: set data.test_ratio (0.1, say), or data.train_end and data.val_end."
        )


def _clipping(plan: RunPlan) -> Iterator[str]:
    if plan.clipped > MAX_CLIPPED:
        yield (
            f"{plan.clipped:.0%} of the values in train windows lie beyond data.clip ({plan.config.data.clip:g} standard "
            "deviations) and are cut off there, as where volume or price changes its scale within a window: look at the candles "
            "with kronos check."
        )


def _long(plan: RunPlan) -> Iterator[str]:
    for stage in _measured(plan):
        if stage.train_seconds > MAX_HOURS * 3600:
            yield (
                f"{_name(stage)}: training takes more than {MAX_HOURS} hours, while neighbouring windows share all but "
                f"{plan.config.data.train_stride} of their candles: cap an epoch with data.windows_per_epoch, or raise "
                "data.train_stride."
            )


def _long_validation(plan: RunPlan) -> Iterator[str]:
    for stage in _measured(plan):
        if stage.validation_seconds > stage.train_seconds:
            yield (
                f"{_name(stage)}: validation takes longer than training: set data.val_windows, or validate less often "
                "(training.eval_steps)."
            )


def _at_risk(plan: RunPlan) -> Iterator[str]:
    for stage in _measured(plan):
        steps = min(stage.steps_a_checkpoint, stage.total_steps)
        hours = steps * stage.train_seconds / max(stage.total_steps - stage.first_step, 1) / 3600
        if hours > MAX_HOURS_AT_RISK:
            yield (
                f"{_name(stage)}: an interruption loses up to {hours:.1f} hours, the time between checkpoints: set "
                f"training.save_steps to {max(round(steps / hours / 2), 1):,}, for one every half hour."
            )


def _measured(plan: RunPlan) -> list[StagePlan]:
    return [stage for stage in plan.stages.values() if stage.measurement]


def _name(stage: StagePlan) -> str:
    return {"tokenizer": "Tokenizer", "basemodel": "Base model"}[stage.name]


def format_bytes(n: float) -> str:
    """Say a size in the unit that suits it, of 1024 each."""
    units = ("bytes", "KB", "MB", "GB", "TB")
    power = min(int(math.log(max(n, 1), 1024)), len(units) - 1)
    n /= 1024**power
    return f"{n:.0f} {units[power]}" if n >= 100 or not power else f"{n:.1f} {units[power]}"


RULES: dict[str, Callable[[RunPlan], Iterator[str]]] = {
    "refused": _refused,
    "disk": _disk,
    "memory": _memory,
    "context": _context,
    "rate": _rate,
    "drift": _drift,
    "little_data": _little_data,
    "large_batch": _large_batch,
    "few_steps": _few_steps,
    "few_validations": _few_validations,
    "no_test": _no_test,
    "clipping": _clipping,
    "long": _long,
    "long_validation": _long_validation,
    "at_risk": _at_risk,
}
