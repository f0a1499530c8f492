"""What a search is to do, and what its trials give."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from kronos.config import Config
from kronos.config.training import LOSS_NAME, LOSS_NAMES, StageName
from kronos.tuning.space import Space, TrialStages

TrialStatus = Literal["done", "pruned", "failed"]
BuildConfig = Callable[[Sequence[str]], Config]


@dataclass(frozen=True)
class SearchPlan:
    """What is to be searched.

    Attributes:
        build: returns the configuration with further overrides, "section.key=value" each.
        space: the keys and values to try.
        stage: what each trial trains.
        n_trials: number of trials, including those of earlier calls.
        seconds: no trial starts later than this after the start of the search.
    """

    build: BuildConfig
    space: Space
    stage: TrialStages
    n_trials: int
    seconds: float | None = None

    @cached_property
    def config(self) -> Config:
        """The configuration that the search starts from."""
        return self.build([])

    @property
    def stages(self) -> tuple[StageName, ...]:
        """What a trial trains, in order; the validation loss of the last stage counts."""
        return ("tokenizer", "basemodel") if self.stage == "both" else (self.stage,)

    @property
    def loss_name(self) -> str:
        """The validation loss that trials are compared by; a score of forecasts would be too noisy."""
        best_by = self.config.training.best_by
        return best_by if best_by in LOSS_NAMES and self.stages[-1] == "basemodel" else LOSS_NAME

    @property
    def folder(self) -> Path:
        """The folder of the search: the database, the trials and the best configuration."""
        return self.config.model_paths.run_folder.tune

    def overrides(self, values: dict[str, Any]) -> list[str]:
        """Write the values of a trial as overrides."""
        return [f"{parameter.key}={parameter.to_text(values[parameter.key])}" for parameter in self.space]


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended. A failed one has the validation loss inf and an error message."""

    number: int
    values: dict[str, Any]
    status: TrialStatus
    loss: float
    seconds: float
    error: str = ""


class SearchDisplay(Protocol):
    """Shows the progress of a search."""

    def start_trial(self, number: int, n_finished: int) -> None:
        """Show that a trial starts after n_finished others."""

    def update_trial(self, share: float) -> None:
        """Show which share of the steps of the last stage is done."""

    def finish_trial(self, result: TrialResult, best: TrialResult | None) -> None:
        """Show the result of a trial, and the best one so far."""

    def redirect_log(self, folder: Path) -> AbstractContextManager[None]:
        """Write the log of a trial to a file in its folder instead of the screen."""
        ...
