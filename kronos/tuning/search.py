"""A search over settings: each trial is a run of its own, and Optuna compares their validation losses."""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, Trial, TrialState

from kronos.config.load import dump_config
from kronos.data.audit import audit_candles
from kronos.disk.temporaries import remove_temporaries
from kronos.errors import KronosError
from kronos.files import write_text
from kronos.model import KronosTokenizer
from kronos.model.pretrained import hash_weights
from kronos.saved_run import find_tokenizer, load_model
from kronos.stage_record import StageRecord
from kronos.training.pipeline import run_pipeline
from kronos.training.saved.stage_settings import collect_settings
from kronos.tuning.database import DATABASE_NAME, translate_database_errors
from kronos.tuning.plan import SearchDisplay, SearchPlan, TrialResult, TrialStatus
from kronos.tuning.trial_run import run_trial
from kronos.tuning.trials import Trials

logger = logging.getLogger(__name__)

BEST_NAME = "best.yaml"
MAX_FAILURES = 5  # in one call, if no trial has ever succeeded
MIN_FOR_IMPORTANCE = 10  # finished trials, without the pruned ones


@dataclass(frozen=True)
class SearchResult:
    """The finished trials, the best first.

    Attributes:
        trials: pruned and failed trials included.
        n_running: trials that other processes are still running.
        best_config: a YAML file to train with; None if no trial succeeded.
        best_run: the folder of the best trial. best_model: its model.
        start_loss: the validation loss before training, in the best trial.
        importance: the share of each key, 1 in all; empty if there are too few trials.
    """

    trials: tuple[TrialResult, ...]
    n_running: int
    best_config: Path | None
    best_run: Path | None
    best_model: Path | None
    start_loss: float | None
    importance: dict[str, float]

    @property
    def best(self) -> TrialResult | None:
        """The trial with the lowest validation loss; None if none succeeded."""
        return find_best_trial(self.trials)

    @property
    def improved(self) -> bool:
        """Whether the best trial beat the model before training."""
        return self.best is not None and self.start_loss is not None and self.best.loss < self.start_loss


def run_search(plan: SearchPlan, display: SearchDisplay) -> SearchResult:
    """Run trials until there are as many as planned or the time is up; continue an earlier search of this folder.

    Several processes may search in one folder at the same time.

    Raises:
        ConfigError: the earlier search had other settings.
        KronosError: the candles or models cannot be read, the disk is full, or none of the first trials succeeded.
    """
    started = time.monotonic()
    if plan.stage == "both":
        logger.warning(
            "each trial trains its own tokenizer, and a poor tokenizer can make tokens that are easy to predict: losses of "
            "base models on different tokenizers are hard to compare. Safer: --stage tokenizer, then --stage basemodel."
        )
    remove_temporaries(plan.folder)
    with translate_database_errors(plan.folder / DATABASE_NAME):
        return _run_trials(plan, display, started)


def _run_trials(plan: SearchPlan, display: SearchDisplay, started: float) -> SearchResult:
    fixed = _prepare_fixed_overrides(plan)
    trials = Trials(plan.folder, plan.space, _collect_settings(plan, fixed), plan.config.training.seed)
    _enqueue_configured_values(plan, trials)
    n_failed = 0
    while (trial := _start_next_trial(plan, trials, started)) is not None:
        display.start_trial(trial.number, len(_read_results(trials)))
        result = run_trial(plan, trial, trials.directory(trial.number), fixed, display)
        best = _record_result(plan, trial, trials, result)
        display.finish_trial(result, best)
        n_failed += result.status == "failed"
        if best is None and n_failed >= MAX_FAILURES:
            raise KronosError(
                "none of {n} trials succeeded; the last failed with: {error}", n=n_failed, error=result.error
            )
    return _summarize(plan, trials, fixed)


def _prepare_fixed_overrides(plan: SearchPlan) -> list[str]:
    """Return the overrides that all trials share: the stages that run and, if only the base model does, its tokenizer."""
    fixed = [f"experiment.train_{name}={str(name in plan.stages).lower()}" for name in ("tokenizer", "basemodel")]
    fixed.append(f"training.best_by={plan.loss_name}")  # trials are compared by it
    if plan.stage != "basemodel":
        return fixed
    tokenizer = _train_tokenizer(plan) if plan.config.experiment.train_tokenizer else find_tokenizer(plan.config)
    pretrained = tokenizer == plan.config.model_paths.pretrained_tokenizer
    return fixed if pretrained else [*fixed, f"model_paths.finetuned_tokenizer={tokenizer}"]


def _train_tokenizer(plan: SearchPlan) -> Path:
    """Return the fine-tuned tokenizer of the run; if the run has none yet, train it once for the search."""
    paths = plan.config.model_paths
    plan.folder.mkdir(parents=True, exist_ok=True)
    stage_of_search = replace(paths.run_folder, path=plan.folder).tokenizer
    with FileLock(plan.folder / "tokenizer.lock"):  # another process waits until it is trained
        for stage in (stage_of_search, paths.run_folder.tokenizer):
            record = StageRecord.read(stage.path)
            if record and record.finished and stage.best_model.is_dir():
                return stage.best_model
        logger.info("the base model needs a trained tokenizer; it is trained once, in %s", plan.folder)
        overrides = [f"model_paths.base_save_path={plan.folder}", "experiment.train_basemodel=false"]
        run_pipeline(plan.build(overrides), skip_existing=True)
    return stage_of_search.best_model


def _collect_settings(plan: SearchPlan, fixed: Sequence[str]) -> dict[str, Any]:
    """Collect, by name, what must be the same in all trials for their losses to be comparable."""
    config = plan.build(fixed)
    candles = audit_candles(config.data, config.repairs).candles
    settings = {
        name: value for stage in plan.stages for name, value in collect_settings(config, stage, candles).items()
    }
    searched = {parameter.key for parameter in plan.space}
    if "training.batch_size" in searched:
        searched.add("windows a step")
    settings = {name: value for name, value in settings.items() if name not in searched}
    if plan.stage == "basemodel":
        tokenizer = load_model(KronosTokenizer, find_tokenizer(config), config.model_paths.hub_endpoint)
        settings["tokenizer"] = hash_weights(tokenizer)
    return {"stage": plan.stage} | settings | {f"space {parameter.key}": str(parameter) for parameter in plan.space}


def _enqueue_configured_values(plan: SearchPlan, trials: Trials) -> None:
    """Make the configuration itself the first trial, if it lies in the space; the others have to beat it."""
    values = {parameter.key: parameter.find_configured(plan.config) for parameter in plan.space}
    with trials.lock():
        if None not in values.values() and not trials.select():
            trials.study.enqueue_trial(values)


def _start_next_trial(plan: SearchPlan, trials: Trials, started: float) -> Trial | None:
    """Start a trial; None if there are enough or the time is up."""
    with trials.lock():
        for number in trials.requeue_killed():
            logger.info("trial %d  was interrupted and is resumed", number)
        n_started = len(trials.select(TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING))
        late = plan.seconds is not None and time.monotonic() - started >= plan.seconds
        return None if late or n_started >= plan.n_trials else trials.start()


def _record_result(plan: SearchPlan, trial: Trial, trials: Trials, result: TrialResult) -> TrialResult | None:
    """Write a result to the database, free the disk, and return the best trial so far."""
    trial.set_user_attr("seconds", result.seconds)
    trial.set_user_attr("error", result.error)
    with trials.lock():
        if result.status == "pruned":
            trials.study.tell(trial, state=TrialState.PRUNED)
        else:  # a failed trial gets the worst loss, which keeps the sampler away from its values
            trials.study.tell(trial, result.loss)
        best = find_best_trial(_read_results(trials))
        model_paths = plan.config.model_paths
        stage_names = (model_paths.tokenizer_save_name, model_paths.basemodel_save_name)
        trials.free_disk(best.number if best else None, stage_names)
        trials.release(trial.number)
    return best


def _read_results(trials: Trials) -> list[TrialResult]:
    """Return the results of the finished trials, the best first."""
    results = [_read_result(trial) for trial in trials.select(TrialState.COMPLETE, TrialState.PRUNED)]
    return sorted(results, key=lambda result: (("done", "pruned", "failed").index(result.status), result.loss))


def _read_result(trial: FrozenTrial) -> TrialResult:
    loss = math.inf if trial.value is None else trial.value
    error, seconds = trial.user_attrs.get("error", ""), trial.user_attrs.get("seconds", 0.0)
    pruned = trial.state == TrialState.PRUNED
    status: TrialStatus = "pruned" if pruned else "done" if math.isfinite(loss) else "failed"
    return TrialResult(trial.number, trial.params, status, loss, seconds, error)


def find_best_trial(results: Sequence[TrialResult]) -> TrialResult | None:
    """Return the first of the sorted results if it is a finished trial."""
    return results[0] if results and results[0].status == "done" else None


def _summarize(plan: SearchPlan, trials: Trials, fixed: Sequence[str]) -> SearchResult:
    with trials.lock():
        results = _read_results(trials)
        n_running = len(trials.select(TrialState.RUNNING))
        best = find_best_trial(results)
        best_config = _write_best(plan, best, fixed) if best else None
    n_done = sum(result.status == "done" for result in results)
    importance = _measure_importance(trials) if n_done >= MIN_FOR_IMPORTANCE else {}
    best_run = trials.directory(best.number) if best else None
    stage = replace(plan.config.model_paths.run_folder, path=best_run).stage(plan.stages[-1]) if best_run else None
    record = StageRecord.read(stage.path) if stage else None
    start_loss = record.start_figure if record else None
    best_model = stage.best_model if stage else None
    return SearchResult(tuple(results), n_running, best_config, best_run, best_model, start_loss, importance)


def _write_best(plan: SearchPlan, best: TrialResult, fixed: Sequence[str]) -> Path:
    """Write the configuration with the best values; it trains in a folder of its own, beside the run's."""
    run_dir = plan.config.model_paths.base_save_path
    names = [f"model_paths.exp_name={plan.config.model_paths.exp_name}-best"]
    names += [f"model_paths.base_save_path={run_dir.with_name(run_dir.name + '-best')}"]
    # After a search for the tokenizer alone, the base model is still to be trained.
    stages = ["experiment.train_tokenizer=true"] if plan.stage == "tokenizer" else fixed
    config = plan.build([*plan.overrides(best.values), *stages, *names])
    write_text(plan.folder / BEST_NAME, dump_config(config))
    return plan.folder / BEST_NAME


def _measure_importance(trials: Trials) -> dict[str, float]:
    """Return how much each key decides whether a trial is in the better half (PED-ANOVA, arXiv 2304.10255)."""
    return get_param_importances(trials.study, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.5))
