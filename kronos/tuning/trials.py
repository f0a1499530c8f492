"""The trials of a search on disk: a database, a folder each, and locks that tell a running trial from a killed one."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from kronos.errors import CheckpointError, ConfigError
from kronos.run_folder import StageFolder
from kronos.training.saved.stage_record import describe_differences
from kronos.tuning.space import Parameter, Space

MAX_RETRIES = 2  # of a trial whose process was killed: the third time it is likely what kills it
DATABASE_NAME = "search.db"
BUSY_SECONDS = 120  # for which SQLite waits for another process to end its transaction


class Trials:
    """The trials of one search; several processes may work on them at a time."""

    def __init__(self, folder: Path, space: Space, settings: dict[str, Any], seed: int) -> None:
        """Open a search, or begin one.

        Args:
            folder: where it is.
            space: what is tried.
            settings: all that must not change while the search goes on, by name.
            seed: of the sampler.

        Raises:
            ConfigError: the search was begun with other settings. CheckpointError: its database is damaged.
        """
        self.folder = folder
        self._distributions = {parameter.key: _distribution(parameter) for parameter in space}
        self._seed = seed
        self._locks: dict[int, FileLock] = {}
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.mkdir(parents=True, exist_ok=True)
        with self.alone():
            self.study = _open(folder / DATABASE_NAME)
            if "settings" not in self.study.user_attrs:
                self.study.set_user_attr("settings", settings)
            known = self.study.user_attrs["settings"]
        if differences := describe_differences(known, settings):
            raise ConfigError(
                f"{folder}: this search was begun with other settings ({differences}), and losses under different "
                "settings cannot be compared. Restore them to go on with it, or begin another: model_paths.exp_name=…, "
                "or move this folder away."
            )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from handing out and ending trials meanwhile."""
        with FileLock(self.folder / "search.lock"):
            yield

    def directory(self, number: int) -> Path:
        """Return a trial's folder, which is a run's."""
        return self.folder / f"trial-{number:04}"

    def frozen(self, *states: TrialState) -> list[FrozenTrial]:
        """Return the trials in these states, or all."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def take(self) -> Trial:
        """Hand out a trial, its values drawn, which other processes then leave alone. Call it within `alone`."""
        # Seeded by the number of trials before, so that an interrupted search does not draw the same again.
        seed = np.random.SeedSequence([self._seed, len(self.frozen())]).generate_state(1)[0]
        self.study.sampler = TPESampler(seed=int(seed), multivariate=True, constant_liar=True)
        trial = self.study.ask(self._distributions)
        folder = self.directory(trial.number)
        if (earlier := trial.user_attrs.get("retry_of")) is not None and self.directory(earlier).is_dir():
            self.directory(earlier).rename(folder)
        self._locks[trial.number] = _lock_of(folder)
        self._locks[trial.number].acquire(timeout=0)
        return trial

    def release(self, number: int) -> None:
        """Let go of a trial that has ended."""
        self._locks.pop(number).release()

    def give_up_killed(self) -> list[int]:
        """Mark trials whose process is gone as failed and put their values in the queue. Call it within `alone`.

        Returns:
            The numbers of those that will be tried again.
        """
        again = []
        for trial in self.frozen(TrialState.RUNNING):
            if trial.number in self._locks or not self._is_free(trial.number):
                continue
            self.study.tell(trial.number, state=TrialState.FAIL)
            retries = trial.user_attrs.get("retries", 0)
            if trial.params and retries < MAX_RETRIES:
                self.study.enqueue_trial(trial.params, {"retry_of": trial.number, "retries": retries + 1})
                again.append(trial.number)
        return again

    def _is_free(self, number: int) -> bool:
        try:
            with _lock_of(self.directory(number)).acquire(timeout=0):
                return True
        except Timeout:
            return False

    def free_disk(self, best: int | None, stage_names: Sequence[str]) -> None:
        """Delete checkpoints of the trials that have ended, and models but the best's. Call it within `alone`."""
        waiting = {trial.user_attrs.get("retry_of") for trial in self.frozen(TrialState.WAITING)}
        for trial in self.frozen(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
            if trial.number in waiting:
                continue
            for name in stage_names:
                stage = StageFolder(self.directory(trial.number) / name)
                shutil.rmtree(stage.checkpoints, ignore_errors=True)
                if trial.number != best:
                    shutil.rmtree(stage.best_model, ignore_errors=True)


def _lock_of(folder: Path) -> FileLock:
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "trial.lock")


def _open(path: Path) -> optuna.Study:
    # SQLite rather than Optuna's journal file: half a line, as a full disk or a power cut leaves it, spoils a journal
    # for good, while an unfinished transaction is rolled back.
    try:
        storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS}})
        return optuna.create_study(
            storage=storage,
            study_name="search",
            direction="minimize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(),
        )
    except (SQLAlchemyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: cannot be opened ({reason}); move {path.parent} away to begin anew.") from None


def _distribution(parameter: Parameter) -> BaseDistribution:
    if parameter.choices:
        return CategoricalDistribution([parameter.to_text(choice) for choice in parameter.choices])
    if parameter.whole:
        return IntDistribution(int(parameter.low), int(parameter.high), parameter.log, int(parameter.step or 1))
    return FloatDistribution(parameter.low, parameter.high, parameter.log, parameter.step)
