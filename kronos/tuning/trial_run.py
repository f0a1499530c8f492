"""One trial of a search: a run of the trained stages in a folder of its own."""

import gc
import logging
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from optuna.trial import Trial
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kronos.errors import CheckpointError, KronosError
from kronos.training.pipeline import run_pipeline
from kronos.tuning.plan import Ending, SearchPlan, TrialResult, Watcher

logger = logging.getLogger(__name__)


def run_trial(plan: SearchPlan, trial: Trial, folder: Path, fixed: Sequence[str], watcher: Watcher) -> TrialResult:
    """Run a trial, or go on with an interrupted one; what fails by its values is an outcome like another.

    Args:
        folder: the trial's own.
        fixed: overrides that all trials share.

    Raises:
        KronosError: the fault is not the trial's: a model that cannot be read, a full disk.
    """
    started = time.monotonic()
    paths = {"exp_name": folder.name, "base_path": folder.parent, "base_save_path": folder}
    own = [f"model_paths.{key}={value}" for key, value in paths.items()]
    with watcher.quiet(folder):
        loss, fault, pruned = _train(plan, trial, [*fixed, *own], watcher)
    gc.collect()  # what the traceback of a failure held
    torch.cuda.empty_cache()
    ending: Ending = "failed" if fault else "pruned" if pruned else "done"
    return TrialResult(trial.number, trial.params, ending, loss, time.monotonic() - started, fault)


def _train(plan: SearchPlan, trial: Trial, overrides: Sequence[str], watcher: Watcher) -> tuple[float, str, bool]:
    """Return the validation loss, what went wrong, and whether the trial was ended early."""
    last = plan.stages[-1]
    try:
        config = plan.build([*plan.overrides(trial.params), *overrides])
        pruning = PruningCallback(trial, config.model_paths.run_folder.stage(last).path, watcher)
        record = run_pipeline(config, skip_existing=True, callbacks=[pruning]).records[last]
    except KronosError as error:
        if isinstance(error, CheckpointError) or "cannot be written" in str(error):  # it would strike every trial
            raise
        logger.error("%s", error)
        return math.inf, str(error).splitlines()[0], False
    return math.inf if record.best_loss is None else record.best_loss, "", pruning.pruned


class PruningCallback(TrainerCallback):
    """Reports the validations of one stage to Optuna, and ends a trial that is worse than most were by then."""

    def __init__(self, trial: Trial, stage_dir: Path, watcher: Watcher) -> None:
        self._trial = trial
        self._stage_dir = stage_dir
        self._watcher = watcher
        self.pruned = False

    def _concerns(self, args: TrainingArguments) -> bool:
        return self._stage_dir in Path(args.output_dir or "").parents

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._concerns(args):
            self._watcher.goes_on(state.global_step / state.max_steps)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not self._concerns(args) or state.global_step == 0:
            return
        # By the number of the validation: trials with other batches take other numbers of steps to it.
        n = state.global_step // int(args.eval_steps) if args.eval_steps else round(state.epoch or 0)
        self._trial.report(kwargs["metrics"]["eval_loss"], n)
        if state.global_step < state.max_steps and self._trial.should_prune():
            self.pruned = True
            control.should_training_stop = True
