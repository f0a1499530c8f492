"""The search: its trials, what it survives, what it leaves."""

import json
import logging
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import torch
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError
from transformers import TrainerControl

from kronos import Kronos, load_config
from kronos.config import Config
from kronos.errors import CheckpointError, ConfigError, KronosError, WriteError
from kronos.stage_record import StageRecord
from kronos.training import run_pipeline
from kronos.tuning import trial_run
from kronos.tuning.database import DATABASE_NAME, translate_database_errors
from kronos.tuning.plan import SearchPlan, TrialResult
from kronos.tuning.search import SearchResult, _measure_importance, run_search
from kronos.tuning.space import Parameter, Space, TrialStages
from kronos.tuning.trial_run import PruningCallback
from kronos.tuning.trials import MAX_RETRIES, N_SPREAD, Trials
from tests.conftest import ROOT

RATE = Parameter("training.predictor_learning_rate", 1e-4, 0.1, log=True)
BATCH = Parameter("training.batch_size", choices=(8, 16))
SHORT = ("training.max_steps=2", "experiment.train_tokenizer=false")
WITH_TOKENIZER = "experiment.train_tokenizer=true"


class RecordingDisplay:
    """A display that keeps what it is asked to show."""

    def __init__(self) -> None:
        self.results: list[TrialResult] = []
        self.shares: list[float] = []

    def start_trial(self, number: int, n_finished: int) -> None:
        pass

    def update_trial(self, share: float) -> None:
        self.shares.append(share)

    def finish_trial(self, result: TrialResult, best: TrialResult | None) -> None:
        self.results.append(result)

    @contextmanager
    def redirect_log(self, folder: Path) -> Iterator[None]:
        yield


def plan(
    path: Path,
    n_trials: int,
    *overrides: str,
    space: Space = (RATE, BATCH),
    stage: TrialStages = "basemodel",
    seconds=None,
) -> SearchPlan:
    def build(more: Sequence[str]) -> Config:
        return load_config(path, [*SHORT, *overrides, *more])

    return SearchPlan(build, space, stage, n_trials, seconds)


def run(*arguments, **named) -> tuple[SearchResult, RecordingDisplay]:
    display = RecordingDisplay()
    return run_search(plan(*arguments, **named), display), display


@pytest.fixture
def tune_dir(tiny_config: Path) -> Path:
    return load_config(tiny_config).model_paths.base_save_path / "tune"


@pytest.mark.slow
def test_a_search_and_what_it_leaves(tiny_config: Path, tune_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three trials, of which one fails because of its values and one is pruned."""
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda self: self.number == 2)
    batches = Parameter(BATCH.key, choices=(16, 100))
    result, display = run(tiny_config, 3, "training.eval_steps=1", "training.seed=3", space=(RATE, batches))
    first, failed, pruned = display.results
    assert first.values == {RATE.key: 0.01, BATCH.key: "16"}, "the first is the configuration itself"
    assert [(each.number, each.status) for each in display.results] == [(0, "done"), (1, "failed"), (2, "pruned")]
    assert failed.loss == math.inf and "only 61 train windows" in failed.error
    assert [each.number for each in result.trials] == [0, 2, 1] and result.best.number == 0
    assert display.shares[-1] == 0.5, "the pruned trial stopped after one of two steps"
    assert result.improved and result.start_loss > first.loss and not result.importance
    for trial in (first, pruned):
        folder = tune_dir / f"trial-{trial.number:04}"
        config = load_config(folder / "config.yaml")
        assert config.training.predictor_learning_rate == trial.values[RATE.key]
        assert StageRecord.read(folder / "basemodel").best_loss == trial.loss
        assert (folder / "basemodel" / "metrics.jsonl").is_file()
        assert (folder / "basemodel" / "best_model").is_dir() == (trial.number == 0)
        assert not (folder / "basemodel" / "checkpoints").exists()
    Kronos.from_pretrained(result.best_run / "basemodel" / "best_model")
    study = optuna.load_study(study_name="search", storage=f"sqlite:///{tune_dir / DATABASE_NAME}")
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED]
    best = load_config(result.best_config)
    assert best.model_paths.exp_name == "tiny-best"
    assert best.model_paths.base_save_path == tune_dir.parents[1] / "tiny-best"
    assert best.training.predictor_learning_rate == 0.01


@pytest.mark.slow
def test_trials_are_compared_by_the_loss_of_the_horizon_if_that_chooses(tiny_config: Path, tune_dir: Path) -> None:
    result, _ = run(tiny_config, 1, "training.best_by=horizon_loss", "training.loss_on=horizon")
    record = StageRecord.read(tune_dir / "trial-0000" / "basemodel")
    assert (result.best.loss, result.start_loss) == (record.best_score, record.start_score)
    assert record.best_by == load_config(result.best_config).training.best_by == "horizon_loss"
    for stage, best_by in (("basemodel", "crps"), ("tokenizer", "horizon_loss")):
        assert plan(tiny_config, 1, f"training.best_by={best_by}", stage=stage).loss_name == "loss"


@pytest.mark.slow
def test_the_same_search_continues(tiny_config: Path) -> None:
    whole, _ = run(tiny_config, 4, "model_paths.exp_name=whole")
    run(tiny_config, 2)
    result, display = run(tiny_config, 4)
    assert [each.number for each in display.results] == [2, 3]
    assert [(o.values, o.loss) for o in result.trials] == [(o.values, o.loss) for o in whole.trials]
    assert run(tiny_config, 4)[1].results == []
    assert run(tiny_config, 9, seconds=0.0)[1].results == []
    record = run_pipeline(load_config(result.best_config), skip_existing=False).records["basemodel"]
    assert record.best_loss == result.trials[0].loss, "the best configuration trains to the best loss"


def test_another_space_configuration_or_data_is_refused(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, 1, seconds=0.0)
    other = Parameter(RATE.key, 1e-4, 0.2, log=True)
    with pytest.raises(ConfigError, match=r"space training.predictor_learning_rate 0.0001 to 0.1, log → 0.0001 to 0.2"):
        run(tiny_config, 2, space=(other, BATCH))
    with pytest.raises(ConfigError, match=r"training.max_steps 2 → 4"):
        run(tiny_config, 2, "training.max_steps=4")
    with pytest.raises(ConfigError, match=r"stage basemodel → tokenizer"):
        run(tiny_config, 2, stage="tokenizer", space=(BATCH,))
    candles = tmp_path / "candles.csv"
    candles.write_text("".join(candles.open().readlines()[:-1]))
    with pytest.raises(ConfigError, match=r"begun with other settings \(candles "):
        run(tiny_config, 2)


OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.slow
@pytest.mark.parametrize(
    "error", [None, pytest.param(OUT_OF_MEMORY, marks=pytest.mark.slow)], ids=["diverged", "memory"]
)
def test_an_error_of_every_trial_ends_the_search(
    tiny_config: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    monkeypatch.setattr("kronos.tuning.search.MAX_FAILURES", 2)
    if error:
        monkeypatch.setattr(Kronos, "forward", lambda *args, **kwargs: (_ for _ in ()).throw(error))
    rates = Parameter(RATE.key, choices=(1e30, 1e31))
    cause = "out of memory" if error else "the loss is"
    with pytest.raises(KronosError, match=rf"none of 2 trials succeeded; the last failed with: basemodel: {cause}"):
        run(tiny_config, 20, space=(rates,))


def test_an_error_that_the_values_do_not_cause_is_raised(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="no folder of this name"):
        run(tiny_config, 2, "model_paths.exp_name=other", "model_paths.pretrained_predictor=./none")

    def disk_is_full(*args: object, **kwargs: object) -> None:
        raise WriteError.about("best_model", OSError(28, "No space left on device"))

    monkeypatch.setattr(trial_run, "run_pipeline", disk_is_full)
    with pytest.raises(WriteError, match="No space left"):
        run(tiny_config, 2)


@pytest.mark.slow
def test_the_tokenizer_is_trained_once(tiny_config: Path, tune_dir: Path) -> None:
    result, _ = run(tiny_config, 2, WITH_TOKENIZER)
    model = tune_dir / "tokenizer" / "best_model"
    assert model.is_dir() and not list(tune_dir.glob("trial-*/tokenizer"))
    best = load_config(result.best_config)
    assert best.model_paths.finetuned_tokenizer == model and not best.experiment.train_tokenizer
    overrides = [*SHORT, WITH_TOKENIZER, "experiment.train_basemodel=false", "model_paths.exp_name=own"]
    config = load_config(tiny_config, overrides)
    run_pipeline(config, skip_existing=False)
    run(tiny_config, 1, WITH_TOKENIZER, "model_paths.exp_name=own")
    assert not (config.model_paths.base_save_path / "tune" / "tokenizer").exists(), "the run's own is used"


@pytest.mark.slow
def test_other_stages(tiny_config: Path, tune_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokenizer, _ = run(tiny_config, 1, WITH_TOKENIZER, stage="tokenizer", space=(BATCH,))
    assert (tokenizer.best_run / "tokenizer" / "best_model").is_dir()
    assert not list(tune_dir.glob("trial-*/basemodel"))
    assert load_config(tokenizer.best_config).experiment.train_basemodel
    with caplog.at_level(logging.WARNING, logger="kronos"):
        both, _ = run(tiny_config, 1, WITH_TOKENIZER, "model_paths.exp_name=both", stage="both")
    assert "different tokenizers are hard to compare" in caplog.text
    record = StageRecord.read(both.best_run / "basemodel")
    assert both.trials[0].loss == record.best_loss
    assert (both.best_run / "tokenizer" / "best_model").is_dir()


@pytest.mark.slow
@pytest.mark.process
def test_a_killed_trial_is_resumed(tiny_config: Path, tune_dir: Path) -> None:
    overrides = ("training.max_steps=30", "training.save_steps=3", "training.eval_steps=30")
    space = f"{RATE.key}: {{low: 1.0e-4, high: 0.1, log: true}}"
    command = [sys.executable, "-m", "kronos", "tune", "--config", str(tiny_config), "--space", space]
    process = subprocess.Popen([*command, SHORT[1], *overrides], cwd=ROOT, env=os.environ, stderr=subprocess.DEVNULL)
    while not (tune_dir / "trial-0000/basemodel/checkpoints/checkpoint-6").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result, display = run(tiny_config, 1, *overrides, space=(RATE,))
    assert [(o.number, o.values) for o in display.results] == [(1, {RATE.key: 0.01})]
    lines = [json.loads(line) for line in (tune_dir / "trial-0001/basemodel/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 31))
    assert display.shares[0] > 1 / 30, "it was resumed from a checkpoint"
    assert not (tune_dir / "trial-0000").exists()
    whole, _ = run(tiny_config, 1, *overrides, "model_paths.exp_name=whole", space=(RATE,))
    assert result.trials[0].loss == whole.trials[0].loss


def kill(trials: Trials, number: int) -> None:
    """Leave a trial as a killed process does: the lock is gone, no result was written."""
    trials.release(number)


def test_a_trial_that_is_killed_again_and_again_is_given_up(tmp_path: Path) -> None:
    trials = Trials(tmp_path, (RATE, BATCH), {}, seed=1)
    values = []
    for n in range(MAX_RETRIES + 1):
        trial = trials.start()
        values.append(trial.params)
        kill(trials, trial.number)
        assert trials.requeue_killed() == ([n] if n < MAX_RETRIES else [])
    assert values == [values[0]] * 3, "the same values each time"
    assert trials.start().params != values[0]


def test_processes_share_the_trials(tmp_path: Path) -> None:
    """A trial that runs in one process is left alone by another."""
    first, second = (Trials(tmp_path, (RATE,), {}, seed=1) for _ in range(2))
    mine, other = first.start(), second.start()
    assert (mine.number, other.number) == (0, 1) and mine.params != other.params
    assert second.requeue_killed() == [] and first.requeue_killed() == []
    kill(first, 0)
    assert second.requeue_killed() == [0]
    assert first.start().params == mine.params


@pytest.mark.slow
@pytest.mark.parametrize("space", [(RATE,), (RATE, BATCH)], ids=["one key", "two keys"])
def test_an_interrupted_search_draws_what_an_uninterrupted_one_does(tmp_path: Path, space: Space) -> None:
    def draw(folder: Path, reopen: bool) -> list[dict]:
        trials, drawn = Trials(folder, space, {}, seed=3), []
        for n in range(N_SPREAD + 2):  # more than are drawn at random
            trial = trials.start()
            trials.study.tell(trial, trial.params[RATE.key] if n % 4 else math.inf)
            trials.release(trial.number)
            drawn.append(trial.params)
            trials = Trials(folder, space, {}, seed=3) if reopen else trials
        return drawn

    drawn = draw(tmp_path / "whole", reopen=False)
    assert drawn == draw(tmp_path / "reopened", reopen=True)
    assert len({each[RATE.key] for each in drawn}) == len(drawn)


def test_one_key_is_swept_evenly(tmp_path: Path) -> None:
    """No gap between neighbouring values is wider than twice the even one."""
    trials = Trials(tmp_path, (RATE,), {}, seed=3)
    trials.study.enqueue_trial({RATE.key: 0.01})
    exponents = sorted(math.log10(trials.start().params[RATE.key]) for _ in range(N_SPREAD))
    even = (-1 - -4) / (N_SPREAD - 1)
    assert max(b - a for a, b in pairwise(exponents)) < 2 * even


@pytest.mark.slow
def test_the_key_that_matters_is_found(tmp_path: Path) -> None:
    trials = Trials(tmp_path, (RATE, BATCH), {}, seed=3)
    for _ in range(20):
        trial = trials.start()
        trials.study.tell(trial, abs(math.log(trial.params[RATE.key] / 1e-3)))
    importance = _measure_importance(trials)
    assert sum(importance.values()) == pytest.approx(1) and importance[RATE.key] > 0.8


def test_a_damaged_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).write_text("not a database, but long enough to be taken for one" * 30)
    with pytest.raises(
        CheckpointError, match=r"search.db: cannot be opened \(.*\). Move .* away to start a new search"
    ):
        Trials(tmp_path, (RATE,), {}, seed=1)


def test_a_database_on_a_full_disk_is_no_damaged_one(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA max_page_count = 1")
    with pytest.raises(sqlite3.OperationalError) as full:
        connection.execute("CREATE TABLE trials (number)")
    words = r"search\.db: cannot be written: No space left on device\. Free some space, or"
    with pytest.raises(WriteError, match=words), translate_database_errors(tmp_path / DATABASE_NAME):
        raise StorageInternalError("while committing") from OperationalError("INSERT", {}, full.value)


def test_a_poor_trial_is_ended_early(tmp_path: Path) -> None:
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=1))
    good = study.ask()
    for n in (1, 2, 3):
        good.report(1.0, n)
    study.tell(good, 1.0)
    callback = PruningCallback(study.ask(), tmp_path / "basemodel", RecordingDisplay())

    def evaluate(folder: str, step: int, loss: float) -> bool:
        args = SimpleNamespace(output_dir=str(tmp_path / folder / "checkpoints"), eval_steps=10)
        control = TrainerControl()
        state = SimpleNamespace(global_step=step, max_steps=40, epoch=0.5)
        callback.on_evaluate(args, state, control, metrics={"eval_loss": loss})
        return control.should_training_stop

    assert not evaluate("tokenizer", 10, 9.0), "only the last stage counts"
    assert not evaluate("basemodel", 0, 9.0), "the validation before training does not count"
    assert not evaluate("basemodel", 10, 0.9)
    assert evaluate("basemodel", 20, 1.1) is False, "its best so far is better"
    callback = PruningCallback(study.ask(), tmp_path / "basemodel", RecordingDisplay())
    assert evaluate("basemodel", 10, 1.5) and callback.pruned
    assert not evaluate("basemodel", 40, 1.5), "at the end there is nothing left to save"
