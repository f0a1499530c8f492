"""Warnings about a plan before hours are spent on it, as codes and values; `kronos.report.advice` words them.

docs/dry_run.md explains the limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from kronos.config import Config
from kronos.config.training import RATE_KEYS
from kronos.data.windows.splits import SplitName
from kronos.planning.disk import MOMENT_BYTES, WEIGHT_BYTES, compute_disk_bytes, measure_free_bytes
from kronos.planning.evidence import MIN_INDEPENDENT_VAL, MIN_ORIGINS
from kronos.planning.plan import RunPlan, SplitPlan, StagePlan, StageSettings, collect_stage_settings, plan_splits
from kronos.saved_run import describe_long_context
from kronos.training.pipeline import RunInputs
from kronos.training.step_counts import count_steps_an_epoch

# Rates that are known to work: the published models' fine-tuning scripts; for training from scratch the paper's.
FINE_TUNING_RATE = {"tokenizer": 2e-4, "basemodel": 4e-5}
FROM_SCRATCH_RATE = 1e-3
LORA_RATE_FACTOR = 10.0  # low-rank additions need about ten times the rate of whole layers
HIGHEST_FACTOR = 10.0  # times the usual rate
LOWEST_FRACTION = {True: 100.0, False: 10.0}  # one part in so many of the usual rate; pretrained, from scratch
ADAPTING_SHARE = 0.01  # of a pretrained model's parameters: enough for low-rank fine-tuning
MAX_HOURS = 24
MAX_HOURS_AT_RISK = 1
BUSY_CANDLES = 32_768  # in a step on one GPU; with fewer it mostly waits for the next operation to be launched
FULL_THRESHOLD = 0.9  # of a memory or a disk


@dataclass(frozen=True)
class Advice:
    """A warning: its code, and the values that its text names. Values whose names end in `_bytes` are sizes."""

    code: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class RunSettings:
    """What is known of a run before its first step.

    stages: those that would train.
    """

    config: Config
    splits: dict[SplitName, SplitPlan]
    stages: list[StageSettings]


Rule = Callable[[RunPlan], Iterator[Advice]]
SettingsRule = Callable[[RunSettings], Iterator[Advice]]


def advise(plan: RunPlan) -> list[Advice]:
    """Return the warnings about a measured plan, those that stop or spoil a run first."""
    settings = RunSettings(plan.config, plan.splits, list(_measured(plan)))
    first, last = ([advice for rule in rules for advice in rule(plan)] for rules in (STOPPING_RULES, TIME_RULES))
    return [*first, *_advise_on(settings), *last]


def advise_on_inputs(config: Config, inputs: RunInputs, skip_existing: bool = False) -> list[Advice]:
    """Return the warnings that need no measuring, for the start of a training."""
    settings = RunSettings(config, plan_splits(config, inputs), collect_stage_settings(config, inputs, skip_existing))
    unit = config.training.save_steps or count_steps_an_epoch(config, inputs.windows["train"])
    disk = _warn_of_disk(
        config, estimate_disk_bytes(settings, unit), measure_free_bytes(config.model_paths.base_save_path)
    )
    return [*disk, *_advise_on(settings)]


def estimate_disk_bytes(settings: RunSettings, steps_a_checkpoint: int) -> int:
    """Estimate, from the numbers of parameters, the most that the checkpoints and models of a run need."""
    total, kept = 0, settings.config.training.save_total_limit
    for stage in settings.stages:
        model_bytes = WEIGHT_BYTES * stage.n_parameters
        checkpoint_bytes = model_bytes + MOMENT_BYTES * stage.n_trainable
        total += compute_disk_bytes(kept, stage.total_steps, steps_a_checkpoint, checkpoint_bytes, model_bytes)
    return total


def _advise_on(settings: RunSettings) -> list[Advice]:
    return [advice for rule in SETTINGS_RULES for advice in rule(settings)]


def _measured(plan: RunPlan) -> Iterator[StagePlan]:
    return (stage for stage in plan.stages.values() if stage.measurement)


def _check_refused(plan: RunPlan) -> Iterator[Advice]:
    for stage in plan.stages.values():
        if plan.skip_existing and stage.outlook.action == "refuse":
            yield Advice("refused", {"reason": stage.outlook.reason})


def _check_disk(plan: RunPlan) -> Iterator[Advice]:
    yield from _warn_of_disk(plan.config, plan.disk_bytes, plan.free_bytes)


def _warn_of_disk(config: Config, needed: int, free: int) -> Iterator[Advice]:
    if needed > FULL_THRESHOLD * free:
        folder = config.model_paths.base_save_path
        yield Advice("disk", {"needed_bytes": needed, "free_bytes": free, "folder": folder})


def _check_memory(plan: RunPlan) -> Iterator[Advice]:
    for stage in _measured(plan):
        peak = stage.measurement.memory_mb if stage.measurement else 0.0
        if peak > FULL_THRESHOLD * plan.memory_mb:
            memory_bytes = plan.memory_mb * 2**20
            yield Advice("memory", {"stage": stage.name, "peak_bytes": peak * 2**20, "memory_bytes": memory_bytes})


def _check_context(settings: RunSettings) -> Iterator[Advice]:
    data = settings.config.data
    if data.window > data.max_context:
        lookback, lost = data.max_context - data.predict_window, data.window - data.max_context
        sizes = {"window": data.window, "max_context": data.max_context, "lookback": lookback, "lost": lost}
        yield Advice("context", sizes)
    model = settings.config.model_paths.pretrained_predictor
    fine_tuned = any(stage.name == "basemodel" and stage.pre_trained for stage in settings.stages)
    if fine_tuned and (warning := describe_long_context(model, data.window, data.max_context)):
        yield Advice("long_context", {"warning": warning})


def _check_rate(settings: RunSettings) -> Iterator[Advice]:
    for stage in settings.stages:
        usual = FINE_TUNING_RATE[stage.name] if stage.pre_trained else FROM_SCRATCH_RATE
        if stage.name == "basemodel" and settings.config.training.lora:
            usual *= LORA_RATE_FACTOR
        values: dict[str, object] = {"stage": stage.name, "rate": stage.learning_rate, "usual": usual}
        values["key"] = f"training.{RATE_KEYS[stage.name]}"
        fraction, start = LOWEST_FRACTION[stage.pre_trained], "" if stage.pre_trained else "_from_scratch"
        if stage.learning_rate > HIGHEST_FACTOR * usual * (1 + 1e-9):
            yield Advice(f"rate_high{start}", values | {"factor": HIGHEST_FACTOR})
        if stage.learning_rate < usual / fraction * (1 - 1e-9):
            yield Advice(f"rate_low{start}", values | {"fraction": fraction})


def _check_amount_of_data(settings: RunSettings) -> Iterator[Advice]:
    """Count each train candle once: a model can memorise fewer candles than it has parameters to change."""
    candles = settings.splits["train"].independent * settings.config.data.window
    for stage in settings.stages:
        values: dict[str, object] = {"stage": stage.name, "candles": candles}
        adapting = round(ADAPTING_SHARE * stage.n_parameters)
        if stage.pre_trained and adapting < stage.n_trainable:
            if candles < adapting:
                yield Advice("little_data_pretrained", values | {"parameters": stage.n_parameters})
        elif candles < stage.n_trainable:
            yield Advice("little_data", values | {"parameters": stage.n_trainable})


def _check_steps(settings: RunSettings) -> Iterator[Advice]:
    """AdamW's mean of squared gradients covers about 1 / (1 - beta2) steps."""
    needed = _count_needed_steps(settings.config)
    for stage in settings.stages:
        if stage.total_steps < needed:
            yield Advice("few_steps", {"stage": stage.name, "steps": stage.total_steps, "needed": needed})


def _count_needed_steps(config: Config) -> float:
    return 3 / (1 - config.training.adam_beta2)


def _check_validation(settings: RunSettings) -> Iterator[Advice]:
    n_independent = settings.splits["val"].independent
    if n_independent < MIN_INDEPENDENT_VAL:
        yield Advice("few_validations", {"windows": n_independent, "needed": MIN_INDEPENDENT_VAL})


def _check_test_split(settings: RunSettings) -> Iterator[Advice]:
    if "test" not in settings.splits:
        yield Advice("no_test")


def _check_evidence(settings: RunSettings) -> Iterator[Advice]:
    """Count the independent origins of the verdict, in the test split or in the later half of validation."""
    config, test = settings.config, settings.splits.get("test")
    if not (config.evaluation.enabled and config.experiment.train_basemodel):
        return
    n = test.origins if test else settings.splits["val"].origins // 2
    if n < MIN_ORIGINS:
        horizon = config.data.predict_window
        values = {"n": n, "needed": MIN_ORIGINS, "horizon": horizon, "candles": MIN_ORIGINS * horizon}
        yield Advice("few_origins" if test else "few_origins_val", values)


def _check_duration(plan: RunPlan) -> Iterator[Advice]:
    for stage in _measured(plan):
        if stage.train_seconds > MAX_HOURS * 3600:
            stride = plan.config.data.train_stride
            yield Advice("long", {"stage": stage.name, "hours": stage.train_seconds / 3600, "stride": stride})


def _check_hours_at_risk(plan: RunPlan) -> Iterator[Advice]:
    for stage in _measured(plan):
        steps = min(stage.steps_a_checkpoint, stage.total_steps)
        hours = steps * stage.train_seconds / max(stage.total_steps - stage.first_step, 1) / 3600
        if hours > MAX_HOURS_AT_RISK:
            half_hour_steps = max(round(steps / hours / 2), 1)
            yield Advice("at_risk", {"stage": stage.name, "hours": hours, "steps": half_hour_steps})


def _check_batch_size(plan: RunPlan) -> Iterator[Advice]:
    """Find the largest batch, by doubling, that a GPU has room for and that leaves enough steps."""
    stages = [stage for stage in _measured(plan) if stage.device not in ("cpu", "mps")]
    factor = min((_find_larger_batch(plan, stage) for stage in stages), default=1)
    if factor > 1:
        batch_size = plan.config.training.batch_size
        candles = batch_size * stages[0].window
        yield Advice("larger_batch", {"candles": candles, "batch_size": batch_size * factor})


def _find_larger_batch(plan: RunPlan, stage: StagePlan) -> int:
    """Return by what power of two the batch of a stage can grow until the GPU is busy, or full."""
    measured, factor = stage.measurement, 1
    if measured is None:
        return factor
    before, most = measured.memory_mb - measured.growth_mb, FULL_THRESHOLD * plan.memory_mb
    while (
        stage.windows_a_step // stage.n_ranks * stage.window * factor < BUSY_CANDLES
        and before + 2 * factor * measured.growth_mb <= most
        and stage.total_steps // (2 * factor) >= _count_needed_steps(plan.config)
    ):
        factor *= 2
    return factor


STOPPING_RULES: tuple[Rule, ...] = (_check_refused, _check_disk, _check_memory)
SETTINGS_RULES: tuple[SettingsRule, ...] = (
    _check_context,
    _check_rate,
    _check_amount_of_data,
    _check_steps,
    _check_validation,
    _check_test_split,
    _check_evidence,
)
TIME_RULES: tuple[Rule, ...] = (_check_duration, _check_hours_at_risk, _check_batch_size)
