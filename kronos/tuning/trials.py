"""The trials of a search on disk: a database, a folder for each, and locks that tell a running trial from a killed one."""

import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, QMCSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from kronos.errors import ConfigError
from kronos.run_folder import StageFolder
from kronos.training.saved.stage_settings import describe_differences
from kronos.tuning.database import DATABASE_NAME, open_study
from kronos.tuning.space import Parameter, Space

MAX_RETRIES = 2  # of a trial whose process was killed: the third time, the trial itself is probably the cause
N_SPREAD = 10  # trials of a search over one key, until TPE looks closer at the best part


class Trials:
    """The trials of one search; several processes may work on them at the same time."""

    def __init__(self, folder: Path, space: Space, settings: dict[str, Any], seed: int) -> None:
        """Open a search, or begin one.

        Args:
            folder: where it is.
            space: the keys and values to try.
            settings: all that must not change during the search, by name.
            seed: of the sampler.

        Raises:
            ConfigError: the search was begun with other settings. CheckpointError: its database is damaged. WriteError: the disk is full.
        """
        self.folder = folder
        self._distributions = {parameter.key: _build_distribution(parameter) for parameter in space}
        self._seed = seed
        self._locks: dict[int, FileLock] = {}
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        with self.lock():
            self.study = open_study(folder / DATABASE_NAME)
            if "settings" not in self.study.user_attrs:
                self.study.set_user_attr("settings", settings)
            earlier = self.study.user_attrs["settings"]
        if differences := describe_differences(earlier, settings):
            raise ConfigError(
                "{folder}: this search was begun with other settings ({differences}), and losses under different settings "
                "cannot be compared. Restore the settings, set another model_paths.exp_name, or move this folder away.",
                folder=folder,
                differences=differences,
            )

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from starting and finishing trials."""
        with FileLock(self.folder / "search.lock"):
            yield

    def directory(self, number: int) -> Path:
        """Return the folder of a trial; it is the folder of a run."""
        return self.folder / f"trial-{number:04}"

    def select(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states; all trials if no state is given."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def start(self) -> Trial:
        """Sample the values of a trial and lock it for this process. Call it within `lock`."""
        self.study.sampler = self._build_sampler(len(self.select()))
        trial = self.study.ask(self._distributions)
        folder = self.directory(trial.number)
        if (earlier := trial.user_attrs.get("retry_of")) is not None and self.directory(earlier).is_dir():
            self.directory(earlier).rename(folder)
        self._locks[trial.number] = _build_trial_lock(folder)
        self._locks[trial.number].acquire(timeout=0)
        return trial

    def _build_sampler(self, n_trials: int) -> BaseSampler:
        """Build the sampler of the next trial, seeded by the number of trials: a resumed search draws other values."""
        seed = int(np.random.SeedSequence([self._seed, n_trials]).generate_state(1)[0])
        is_number = [not isinstance(each, CategoricalDistribution) for each in self._distributions.values()]
        if is_number == [True] and n_trials < N_SPREAD:  # evenly spread values make a better curve than random ones
            with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                return QMCSampler(qmc_type="halton", seed=seed, warn_independent_sampling=False)
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)

    def release(self, number: int) -> None:
        """Unlock a trial that has ended."""
        self._locks.pop(number).release()

    def requeue_killed(self) -> list[int]:
        """Mark trials whose process is gone as failed and put their values in the queue. Call it within `lock`.

        Returns:
            The numbers of the trials that will be run again.
        """
        requeued = []
        for trial in self.select(TrialState.RUNNING):
            if trial.number in self._locks or not self._is_unlocked(trial.number):
                continue
            self.study.tell(trial.number, state=TrialState.FAIL)
            retries = trial.user_attrs.get("retries", 0)
            if trial.params and retries < MAX_RETRIES:
                self.study.enqueue_trial(trial.params, {"retry_of": trial.number, "retries": retries + 1})
                requeued.append(trial.number)
        return requeued

    def _is_unlocked(self, number: int) -> bool:
        try:
            with _build_trial_lock(self.directory(number)).acquire(timeout=0):
                return True
        except Timeout:
            return False

    def free_disk(self, best: int | None, stage_names: Sequence[str]) -> None:
        """Delete checkpoints of finished trials, and models of all but the best. Call it within `lock`."""
        waiting = {trial.user_attrs.get("retry_of") for trial in self.select(TrialState.WAITING)}
        for trial in self.select(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
            if trial.number in waiting:
                continue
            for name in stage_names:
                stage = StageFolder(self.directory(trial.number) / name)
                shutil.rmtree(stage.checkpoints, ignore_errors=True)
                if trial.number != best:
                    for model in (stage.best_model, stage.unblended_model, stage.trained_model):
                        shutil.rmtree(model, ignore_errors=True)


def _build_trial_lock(folder: Path) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "trial.lock")


def _build_distribution(parameter: Parameter) -> BaseDistribution:
    if parameter.choices:
        return CategoricalDistribution([parameter.to_text(choice) for choice in parameter.choices])
    if parameter.whole:
        return IntDistribution(int(parameter.low), int(parameter.high), parameter.log, int(parameter.step or 1))
    return FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)
