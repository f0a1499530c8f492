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

from kronos.config.training import LOSS_NAME
from kronos.errors import CheckpointError, KronosError, WriteError
from kronos.training.pipeline import run_pipeline
from kronos.tuning.plan import SearchDisplay, SearchPlan, TrialResult, TrialStatus

logger = logging.getLogger(__name__)


def run_trial(
    plan: SearchPlan, trial: Trial, folder: Path, fixed: Sequence[str], display: SearchDisplay
) -> TrialResult:
    """Run a trial, or resume an interrupted one; a failure that its values cause is a result, too.

    Args:
        folder: the trial's own.
        fixed: overrides that all trials share.

    Raises:
        KronosError: the values are not the cause: a model that cannot be read, a full disk.
    """
    started = time.monotonic()
    paths = {"exp_name": folder.name, "base_path": folder.parent, "base_save_path": folder}
    own = [f"model_paths.{key}={value}" for key, value in paths.items()]
    with display.redirect_log(folder):
        loss, error, pruned = _train(plan, trial, [*fixed, *own], display)
    gc.collect()  # a traceback can hold tensors
    torch.cuda.empty_cache()
    status: TrialStatus = "failed" if error else "pruned" if pruned else "done"
    return TrialResult(trial.number, trial.params, status, loss, time.monotonic() - started, error)


def _train(plan: SearchPlan, trial: Trial, overrides: Sequence[str], display: SearchDisplay) -> tuple[float, str, bool]:
    """Return the validation loss, the error message, and whether the trial was ended early."""
    last = plan.stages[-1]
    try:
        config = plan.build([*plan.overrides(trial.params), *overrides])
        folder = config.model_paths.run_folder.stage(last).path
        pruning = PruningCallback(trial, folder, display, plan.loss_name)
        record = run_pipeline(config, skip_existing=True, callbacks=[pruning]).records[last]
    except KronosError as error:
        if isinstance(error, CheckpointError | WriteError):  # every trial would fail
            raise
        logger.error("%s", error)
        return math.inf, str(error).splitlines()[0], False
    return math.inf if record.best_figure is None else record.best_figure, "", pruning.pruned


class PruningCallback(TrainerCallback):
    """Report the validations of one stage to Optuna, and end a trial that is worse than most were at that point."""

    def __init__(self, trial: Trial, stage_dir: Path, display: SearchDisplay, loss_name: str = LOSS_NAME) -> None:
        self._trial = trial
        self._loss_name = loss_name
        self._stage_dir = stage_dir
        self._display = display
        self.pruned = False

    def _is_last_stage(self, args: TrainingArguments) -> bool:
        return self._stage_dir in Path(args.output_dir or "").parents

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._is_last_stage(args):
            self._display.update_trial(state.global_step / state.max_steps)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not self._is_last_stage(args) or state.global_step == 0:
            return
        # The number of the validation, not of the step: trials with other batch sizes validate at other steps.
        n = state.global_step // int(args.eval_steps) if args.eval_steps else round(state.epoch or 0)
        self._trial.report(kwargs["metrics"][f"eval_{self._loss_name}"], n)
        if state.global_step < state.max_steps and self._trial.should_prune():
            self.pruned = True
            control.should_training_stop = True
