"""The search: its trials, what it survives, what it leaves."""

import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import torch
from optuna.trial import TrialState
from transformers import TrainerControl

from kronos import Kronos, load_config
from kronos.config import Config
from kronos.errors import CheckpointError, ConfigError, KronosError
from kronos.training import run_pipeline
from kronos.training.saved.stage_record import StageRecord
from kronos.tuning import trial_run
from kronos.tuning.plan import SearchPlan, TrialResult
from kronos.tuning.search import SearchResult, _measure_importance, search
from kronos.tuning.space import Parameter, Searched, Space
from kronos.tuning.trial_run import PruningCallback
from kronos.tuning.trials import DATABASE_NAME, MAX_RETRIES, Trials
from tests.conftest import ROOT

RATE = Parameter("training.predictor_learning_rate", 1e-4, 0.1, log=True)
BATCH = Parameter("training.batch_size", choices=(8, 16))
SHORT = ("training.max_steps=3", "experiment.train_tokenizer=false")


class Quiet:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.outcomes: list[TrialResult] = []
        self.shares: list[float] = []

    def starts(self, number: int, n_ended: int) -> None:
        pass

    def goes_on(self, share: float) -> None:
        self.shares.append(share)

    def ends(self, outcome: TrialResult, best: TrialResult | None) -> None:
        self.outcomes.append(outcome)

    @contextmanager
    def quiet(self, folder: Path) -> Iterator[None]:
        yield


def plan(
    path: Path,
    n_trials: int,
    *overrides: str,
    space: Space = (RATE, BATCH),
    stage: Searched = "basemodel",
    seconds=None,
) -> SearchPlan:
    def build(more: Sequence[str]) -> Config:
        return load_config(path, [*SHORT, *overrides, *more])

    return SearchPlan(build, space, stage, n_trials, seconds)


def run(*arguments, **named) -> tuple[SearchResult, Quiet]:
    watcher = Quiet()
    return search(plan(*arguments, **named), watcher), watcher


@pytest.fixture
def tune_dir(tiny_config: Path) -> Path:
    return load_config(tiny_config).model_paths.base_save_path / "tune"


def test_a_search(tiny_config: Path, tune_dir: Path) -> None:
    result, watcher = run(tiny_config, 3)
    assert [outcome.number for outcome in watcher.outcomes] == [0, 1, 2] and watcher.shares[-1] == 1
    assert watcher.outcomes[0].values == {RATE.key: 0.01, BATCH.key: "16"}, "the first is the configuration itself"
    losses = [outcome.loss for outcome in result.outcomes]
    assert losses == sorted(losses) and result.improved and not result.importance
    for outcome in watcher.outcomes:
        folder = tune_dir / f"trial-{outcome.number:04}"
        config = load_config(folder / "config.yaml")
        assert config.training.predictor_learning_rate == outcome.values[RATE.key]
        assert str(config.training.batch_size) == outcome.values[BATCH.key]
        assert StageRecord.read(folder / "basemodel").best_loss == outcome.loss
        assert (folder / "basemodel" / "metrics.jsonl").is_file()
        is_best = outcome.number == result.outcomes[0].number
        assert (folder / "basemodel" / "best_model").is_dir() == is_best
        assert not (folder / "basemodel" / "checkpoints").exists()
    Kronos.from_pretrained(result.best_run / "basemodel" / "best_model")


def test_the_best_configuration_trains_to_the_best_loss_in_a_folder_of_its_own(
    tiny_config: Path, tune_dir: Path
) -> None:
    result, _ = run(tiny_config, 2)
    best = load_config(result.best_config)
    assert best.model_paths.exp_name == "tiny-best"
    assert best.model_paths.base_save_path == tune_dir.parents[1] / "tiny-best"
    record = run_pipeline(best, skip_existing=False).records["basemodel"]
    assert record.best_loss == result.outcomes[0].loss


def test_the_same_search_goes_on(tiny_config: Path) -> None:
    whole, _ = run(tiny_config, 4, "model_paths.exp_name=whole")
    run(tiny_config, 2)
    result, watcher = run(tiny_config, 4)
    assert [outcome.number for outcome in watcher.outcomes] == [2, 3]
    assert [(o.values, o.loss) for o in result.outcomes] == [(o.values, o.loss) for o in whole.outcomes]
    assert run(tiny_config, 4)[1].outcomes == []
    assert run(tiny_config, 9, seconds=0.0)[1].outcomes == []


def test_another_space_configuration_or_data_is_refused(tiny_config: Path, tmp_path: Path) -> None:
    run(tiny_config, 1)
    other = Parameter(RATE.key, 1e-4, 0.2, log=True)
    with pytest.raises(ConfigError, match=r"space training.predictor_learning_rate 0.0001 to 0.1, log → 0.0001 to 0.2"):
        run(tiny_config, 2, space=(other, BATCH))
    with pytest.raises(ConfigError, match=r"training.max_steps 3 → 4"):
        run(tiny_config, 2, "training.max_steps=4")
    with pytest.raises(ConfigError, match=r"stage basemodel → tokenizer"):
        run(tiny_config, 2, stage="tokenizer", space=(BATCH,))
    candles = tmp_path / "candles.csv"
    candles.write_text("".join(candles.open().readlines()[:-1]))
    with pytest.raises(ConfigError, match=r"begun with other settings \(candles "):
        run(tiny_config, 2)


def test_what_fails_by_its_values_does_not_end_the_search(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = Parameter(RATE.key, choices=(0.01, 1e30))
    batches = Parameter(BATCH.key, choices=(16, 100))
    result, _ = run(tiny_config, 6, space=(rates, batches))
    faults = {(o.values[rates.key], o.values[batches.key]): o.fault for o in result.outcomes}
    assert faults["0.01", "16"] == ""
    assert any("loss is" in fault for fault in faults.values())
    assert any("only 61 train windows" in fault for fault in faults.values())
    failed = [outcome for outcome in result.outcomes if outcome.fault]
    assert all(o.ending == "failed" and o.loss == math.inf for o in failed)

    def no_memory(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Kronos, "forward", no_memory)
    with pytest.raises(KronosError, match="the last failed with: basemodel: out of memory"):
        run(tiny_config, 6, "model_paths.exp_name=large", space=(rates,))


def test_a_fault_of_every_trial_ends_the_search(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only = Parameter(RATE.key, choices=(1e30, 1e31))
    with pytest.raises(KronosError, match=r"none of 5 trials succeeded; the last failed with: basemodel: the loss is"):
        run(tiny_config, 20, space=(only,))
    with pytest.raises(CheckpointError, match="no folder of this name"):
        run(tiny_config, 2, "model_paths.exp_name=other", "model_paths.pretrained_predictor=./none")

    def disk_is_full(*args: object, **kwargs: object) -> None:
        raise KronosError("cannot be written: No space left on device") from OSError(28, "No space left on device")

    monkeypatch.setattr(trial_run, "run_pipeline", disk_is_full)
    with pytest.raises(KronosError, match="No space left"):
        run(tiny_config, 2, "model_paths.exp_name=another")


def test_the_tokenizer_is_trained_once(tiny_config: Path, tune_dir: Path) -> None:
    on = "experiment.train_tokenizer=true"
    result, _ = run(tiny_config, 2, on)
    model = tune_dir / "tokenizer" / "best_model"
    assert model.is_dir() and not list(tune_dir.glob("trial-*/tokenizer"))
    best = load_config(result.best_config)
    assert best.model_paths.finetuned_tokenizer == model and not best.experiment.train_tokenizer
    config = load_config(tiny_config, [*SHORT, on, "experiment.train_basemodel=false", "model_paths.exp_name=own"])
    run_pipeline(config, skip_existing=False)
    run(tiny_config, 1, on, "model_paths.exp_name=own")
    assert not (config.model_paths.base_save_path / "tune" / "tokenizer").exists(), "the run's own is used"


def test_other_stages(tiny_config: Path, tune_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    on = "experiment.train_tokenizer=true"
    tokenizer, _ = run(tiny_config, 2, on, stage="tokenizer", space=(BATCH,))
    assert (tokenizer.best_run / "tokenizer" / "best_model").is_dir()
    assert not list(tune_dir.glob("trial-*/basemodel"))
    assert load_config(tokenizer.best_config).experiment.train_basemodel
    with caplog.at_level(logging.WARNING, logger="kronos"):
        both, _ = run(tiny_config, 1, on, "model_paths.exp_name=both", stage="both")
    assert "different tokenizers compare badly" in caplog.text
    record = StageRecord.read(both.best_run / "basemodel")
    assert both.outcomes[0].loss == record.best_loss
    assert (both.best_run / "tokenizer" / "best_model").is_dir()


def test_a_killed_trial_is_taken_up_again(tiny_config: Path, tune_dir: Path, tmp_path: Path) -> None:
    overrides = ("training.max_steps=60", "training.save_steps=3", "training.eval_steps=60")
    (tmp_path / "space.yaml").write_text(f"{RATE.key}: {{low: 1.0e-4, high: 0.1, log: true}}\n")
    command = [sys.executable, "-m", "kronos", "tune", "--config", tiny_config, "--space", tmp_path / "space.yaml"]
    process = subprocess.Popen(
        [*map(str, command), *SHORT[1:], *overrides], cwd=ROOT, env=os.environ, stderr=subprocess.DEVNULL
    )
    while not (tune_dir / "trial-0000/basemodel/checkpoints/checkpoint-6").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result, watcher = run(tiny_config, 1, *overrides, space=(RATE,))
    assert [(o.number, o.values) for o in watcher.outcomes] == [(1, {RATE.key: 0.01})]
    lines = [json.loads(line) for line in (tune_dir / "trial-0001/basemodel/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 61))
    assert watcher.shares[0] > 1 / 60, "it went on from a checkpoint"
    assert not (tune_dir / "trial-0000").exists()
    whole, _ = run(tiny_config, 1, *overrides, "model_paths.exp_name=whole", space=(RATE,))
    assert result.outcomes[0].loss == whole.outcomes[0].loss


def leave(trials: Trials, number: int) -> None:
    """As a kill does: the lock is gone, nothing was entered."""
    trials.release(number)


def test_a_trial_that_is_killed_again_and_again_is_given_up(tmp_path: Path) -> None:
    trials = Trials(tmp_path, (RATE,), {}, seed=1)
    values = []
    for n in range(MAX_RETRIES + 1):
        trial = trials.take()
        (trials.directory(trial.number) / "mark").touch()
        values.append(trial.params)
        leave(trials, trial.number)
        assert trials.give_up_killed() == ([n] if n < MAX_RETRIES else [])
    assert values == [values[0]] * 3, "the same values each time"
    assert trials.take().params != values[0]


def test_processes_share_the_trials(tmp_path: Path) -> None:
    """A trial that runs in one process is left alone by another."""
    first, second = (Trials(tmp_path, (RATE,), {}, seed=1) for _ in range(2))
    mine, other = first.take(), second.take()
    assert (mine.number, other.number) == (0, 1) and mine.params != other.params
    assert second.give_up_killed() == [] and first.give_up_killed() == []
    leave(first, 0)
    assert second.give_up_killed() == [0]
    assert first.take().params == mine.params


def test_an_interrupted_search_draws_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    def draw(folder: Path, reopen: bool) -> list[dict]:
        trials, drawn = Trials(folder, (RATE, BATCH), {}, seed=3), []
        for n in range(14):  # more than are drawn at random
            trial = trials.take()
            trials.study.tell(trial, trial.params[RATE.key] if n % 4 else math.inf)
            trials.release(trial.number)
            drawn.append(trial.params)
            trials = Trials(folder, (RATE, BATCH), {}, seed=3) if reopen else trials
        return drawn

    drawn = draw(tmp_path / "whole", reopen=False)
    assert drawn == draw(tmp_path / "reopened", reopen=True)
    assert len({each[RATE.key] for each in drawn}) == 14


def test_what_matters_is_found(tmp_path: Path) -> None:
    trials = Trials(tmp_path, (RATE, BATCH), {}, seed=3)
    for _ in range(20):
        trial = trials.take()
        trials.study.tell(trial, abs(math.log(trial.params[RATE.key] / 1e-3)))
    importance = _measure_importance(trials)
    assert sum(importance.values()) == pytest.approx(1) and importance[RATE.key] > 0.8


def test_a_damaged_database_is_said(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).write_text("not a database, but long enough to be taken for one" * 30)
    with pytest.raises(CheckpointError, match=r"search.db: cannot be opened \(.*\); move .* away to begin anew"):
        Trials(tmp_path, (RATE,), {}, seed=1)


def test_a_poor_trial_is_ended_early(tmp_path: Path) -> None:
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=1))
    good = study.ask()
    for n in (1, 2, 3):
        good.report(1.0, n)
    study.tell(good, 1.0)
    callback = PruningCallback(study.ask(), tmp_path / "basemodel", Quiet())

    def evaluate(folder: str, step: int, loss: float) -> bool:
        args = SimpleNamespace(output_dir=str(tmp_path / folder / "checkpoints"), eval_steps=10)
        control = TrainerControl()
        state = SimpleNamespace(global_step=step, max_steps=40, epoch=0.5)
        callback.on_evaluate(args, state, control, metrics={"eval_loss": loss})
        return control.should_training_stop

    assert not evaluate("tokenizer", 10, 9.0), "only the last stage counts"
    assert not evaluate("basemodel", 0, 9.0), "the untouched model is nobody's fault"
    assert not evaluate("basemodel", 10, 0.9)
    assert evaluate("basemodel", 20, 1.1) is False, "its best so far is better"
    callback = PruningCallback(study.ask(), tmp_path / "basemodel", Quiet())
    assert evaluate("basemodel", 10, 1.5) and callback.pruned
    assert not evaluate("basemodel", 40, 1.5), "at the end there is nothing left to save"


def test_pruned_trials_are_entered_as_such(tiny_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda self: self.number == 1)
    result, _ = run(tiny_config, 2, "training.eval_steps=1")
    assert [(o.number, o.ending) for o in result.outcomes] == [(0, "done"), (1, "pruned")]
    state = TrialState.PRUNED
    folder = result.best_run.parent
    trials = Trials.__new__(Trials)
    trials.study = optuna.load_study(study_name="search", storage=f"sqlite:///{folder / DATABASE_NAME}")
    assert [trial.number for trial in trials.frozen(state)] == [1]
    lines = (folder / "trial-0001/basemodel/metrics.jsonl").read_text().splitlines()
    assert max(json.loads(line)["step"] for line in lines) == 1
