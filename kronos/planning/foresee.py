"""The time that a run will take, foreseen at its start from a few small batches."""

from kronos.config import Config
from kronos.planning.plan import build_stages, count_validations
from kronos.training.fit.threads import take_small_batch
from kronos.training.pipeline import RunInputs
from kronos.training.safety.out_of_memory import measure_step
from kronos.training.stage import Stage
from kronos.training.step_counts import count_steps, count_steps_an_epoch

FORWARD_SHARE = 1 / 3  # of the time of a step: backward takes about twice as long as forward


def foresee_seconds(config: Config, inputs: RunInputs, skip_existing: bool = False) -> float:
    """Return about how many seconds the steps and validations to come take. The models stay as they are.

    The dry run (`kronos.planning.plan.plan_run`) is more accurate, and takes longer: it trains real steps.
    """
    stages = build_stages(config, inputs)
    return sum(
        _foresee_stage(config, stage, outlook.step if skip_existing else 0)
        for stage, outlook in stages.values()
        if not (skip_existing and outlook.action in ("skip", "refuse"))
    )


def _foresee_stage(config: Config, stage: Stage, first_step: int) -> float:
    small = take_small_batch(config)
    measured = measure_step(small, stage.model, stage.train, stage.prepare_batch)
    a_window = measured / small.training.batch_size
    steps, an_epoch = count_steps(config, stage.name, stage.train), count_steps_an_epoch(config, stage.train)
    validations = count_validations(steps, first_step, an_epoch, config.training.eval_steps)
    windows = (steps - first_step) * config.training.batch_size
    return a_window * (windows + validations * len(stage.val) * FORWARD_SHARE)
