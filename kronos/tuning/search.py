"""A search over settings: each trial is a run of its own, judged by its validation loss (Optuna)."""

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
from kronos.errors import KronosError
from kronos.files import write_text
from kronos.model import KronosTokenizer
from kronos.model.pretrained import hash_weights
from kronos.training.pipeline import run_pipeline
from kronos.training.saved.saved_run import find_tokenizer
from kronos.training.saved.stage_record import StageRecord, collect_settings
from kronos.tuning.plan import Ending, SearchPlan, TrialResult, Watcher
from kronos.tuning.trial_run import run_trial
from kronos.tuning.trials import Trials

logger = logging.getLogger(__name__)

BEST_NAME = "best.yaml"
MAX_FAILURES = 5  # in one call, where no trial has ever succeeded
MIN_FOR_IMPORTANCE = 10  # trials that were not cut short


@dataclass(frozen=True)
class SearchResult:
    """The trials that ended, the best first, and what came of them."""

    outcomes: tuple[TrialResult, ...]
    n_running: int  # in other processes
    best_config: Path | None  # a YAML to train with
    best_run: Path | None  # the folder of the best trial, its model in it
    improved: bool  # whether the best trial's model beat the untouched one
    importance: dict[str, float]  # adds up to 1; empty where there are too few trials


def search(plan: SearchPlan, watcher: Watcher) -> SearchResult:
    """Run trials until there are as many as planned or the time is up; go on with an earlier search of this folder.

    Several processes may search in one folder at a time.

    Raises:
        ConfigError: the earlier search had other settings.
        KronosError: the candles or models cannot be read, the disk is full, or none of the first trials succeeded.
    """
    started = time.monotonic()
    if plan.stage == "both":
        logger.warning(
            "each trial has a tokenizer of its own here, and a poor one can make tokens that are easy to foresee: losses of "
            "base models on different tokenizers compare badly. Safer: --stage tokenizer, then --stage basemodel."
        )
    fixed = _fix_stages(plan)
    trials = Trials(plan.folder, plan.space, _collect_settings(plan, fixed), plan.config.training.seed)
    _begin_with_the_configured(plan, trials)
    n_faults = 0
    while (trial := _take(plan, trials, started)) is not None:
        watcher.starts(trial.number, len(_outcomes(trials)))
        outcome = run_trial(plan, trial, trials.directory(trial.number), fixed, watcher)
        best = _end(plan, trial, trials, outcome)
        watcher.ends(outcome, best)
        n_faults += outcome.ending == "failed"
        if best is None and n_faults >= MAX_FAILURES:
            raise KronosError(f"none of {n_faults} trials succeeded; the last failed with: {outcome.fault}")
    return _conclude(plan, trials, fixed)


def _fix_stages(plan: SearchPlan) -> list[str]:
    """Return the overrides that all trials share: which stages run and, where only the base model's does, its tokenizer."""
    on = [f"experiment.train_{name}={str(name in plan.stages).lower()}" for name in ("tokenizer", "basemodel")]
    on.append("training.best_by=loss")  # by which trials are compared
    if plan.stage != "basemodel":
        return on
    tokenizer = _train_tokenizer(plan) if plan.config.experiment.train_tokenizer else find_tokenizer(plan.config)
    pretrained = tokenizer == plan.config.model_paths.pretrained_tokenizer
    return on if pretrained else [*on, f"model_paths.finetuned_tokenizer={tokenizer}"]


def _train_tokenizer(plan: SearchPlan) -> Path:
    """Return what the run's tokenizer stage left or, where it has not run, what it leaves here."""
    paths = plan.config.model_paths
    plan.folder.mkdir(parents=True, exist_ok=True)
    searched = replace(paths.run_folder, path=plan.folder).tokenizer
    with FileLock(plan.folder / "tokenizer.lock"):  # another process waits until it is there
        for stage in (searched, paths.run_folder.tokenizer):
            record = StageRecord.read(stage.path)
            if record and record.finished and stage.best_model.is_dir():
                return stage.best_model
        logger.info("the base model needs the tokenizer stage first; it is trained once, in %s", plan.folder)
        where = [f"model_paths.base_save_path={plan.folder}", "experiment.train_basemodel=false"]
        run_pipeline(plan.build([*where, "training.best_by=loss"]), skip_existing=True)
    return searched.best_model


def _collect_settings(plan: SearchPlan, fixed: Sequence[str]) -> dict[str, Any]:
    """Collect what must be the same for the losses of two trials to be comparable, by name."""
    config = plan.build(fixed)
    candles = audit_candles(config).candles
    settings = {
        name: value for stage in plan.stages for name, value in collect_settings(config, stage, candles).items()
    }
    searched = {parameter.key for parameter in plan.space}
    if "training.batch_size" in searched:
        searched.add("windows a step")
    settings = {name: value for name, value in settings.items() if name not in searched}
    if plan.stage == "basemodel":
        settings["tokenizer"] = hash_weights(KronosTokenizer.from_pretrained(find_tokenizer(config)))
    return {"stage": plan.stage} | settings | {f"space {parameter.key}": str(parameter) for parameter in plan.space}


def _begin_with_the_configured(plan: SearchPlan, trials: Trials) -> None:
    """Let the first trial be the configuration as it is, where that lies in the space, for the others to beat."""
    values = {parameter.key: parameter.find_in(plan.config) for parameter in plan.space}
    with trials.alone():
        if None not in values.values() and not trials.frozen():
            trials.study.enqueue_trial(values)


def _take(plan: SearchPlan, trials: Trials, started: float) -> Trial | None:
    """Hand out a trial; None where there are enough or the time is up."""
    with trials.alone():
        for number in trials.give_up_killed():
            logger.info("trial %d  was interrupted and is taken up again", number)
        counted = trials.frozen(TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        late = plan.seconds is not None and time.monotonic() - started >= plan.seconds
        return None if late or len(counted) >= plan.n_trials else trials.take()


def _end(plan: SearchPlan, trial: Trial, trials: Trials, outcome: TrialResult) -> TrialResult | None:
    """Enter an outcome, free the disk, and return the best so far."""
    trial.set_user_attr("seconds", outcome.seconds)
    trial.set_user_attr("fault", outcome.fault)
    with trials.alone():
        if outcome.ending == "pruned":
            trials.study.tell(trial, state=TrialState.PRUNED)
        else:  # a failed one with the worst of losses, so that the sampler keeps away from there
            trials.study.tell(trial, outcome.loss)
        best = _best(_outcomes(trials))
        model_paths = plan.config.model_paths
        trials.free_disk(
            best.number if best else None, (model_paths.tokenizer_save_name, model_paths.basemodel_save_name)
        )
        trials.release(trial.number)
    return best


def _outcomes(trials: Trials) -> list[TrialResult]:
    """Return how the trials ended, the best first."""
    ended = [_outcome(trial) for trial in trials.frozen(TrialState.COMPLETE, TrialState.PRUNED)]
    return sorted(ended, key=lambda outcome: (("done", "pruned", "failed").index(outcome.ending), outcome.loss))


def _outcome(trial: FrozenTrial) -> TrialResult:
    loss = math.inf if trial.value is None else trial.value
    fault, seconds = trial.user_attrs.get("fault", ""), trial.user_attrs.get("seconds", 0.0)
    ending: Ending = "pruned" if trial.state == TrialState.PRUNED else "done" if math.isfinite(loss) else "failed"
    return TrialResult(trial.number, trial.params, ending, loss, seconds, fault)


def _best(outcomes: Sequence[TrialResult]) -> TrialResult | None:
    return outcomes[0] if outcomes and outcomes[0].ending == "done" else None


def _conclude(plan: SearchPlan, trials: Trials, fixed: Sequence[str]) -> SearchResult:
    with trials.alone():
        outcomes = _outcomes(trials)
        n_running = len(trials.frozen(TrialState.RUNNING))
        best = _best(outcomes)
        path = _write_best(plan, best, fixed) if best else None
    n_done = sum(outcome.ending == "done" for outcome in outcomes)
    importance = _measure_importance(trials) if n_done >= MIN_FOR_IMPORTANCE else {}
    best_run = trials.directory(best.number) if best else None
    record = (
        StageRecord.read(replace(plan.config.model_paths.run_folder, path=best_run).stage(plan.stages[-1]).path)
        if best_run
        else None
    )
    return SearchResult(tuple(outcomes), n_running, path, best_run, bool(record and record.improved), importance)


def _write_best(plan: SearchPlan, best: TrialResult, fixed: Sequence[str]) -> Path:
    """Write the configuration with the best values, for a run beside the one it was searched for."""
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
