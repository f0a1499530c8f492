"""What a search is to do, how its trials end, and who is told."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from kronos.config import Config
from kronos.config.training import StageName
from kronos.tuning.space import Searched, Space

Ending = Literal["done", "pruned", "failed"]
Build = Callable[[Sequence[str]], Config]


@dataclass(frozen=True)
class SearchPlan:
    """What is to be searched.

    Attributes:
        build: gives the configuration with further overrides, "section.key=value" each.
        space: what is tried.
        stage: what is trained in each trial.
        n_trials: how many, those of earlier calls counted.
        seconds: no trial begins later than this after the start.
    """

    build: Build
    space: Space
    stage: Searched
    n_trials: int
    seconds: float | None = None

    @cached_property
    def config(self) -> Config:
        """The configuration that the search begins from."""
        return self.build([])

    @property
    def stages(self) -> tuple[StageName, ...]:
        """What a trial trains, in order; the last one's validation loss counts."""
        return ("tokenizer", "basemodel") if self.stage == "both" else (self.stage,)

    @property
    def folder(self) -> Path:
        """Where the search leaves everything."""
        return self.config.model_paths.run_folder.tune

    def overrides(self, values: dict[str, Any]) -> list[str]:
        """Write the values of a trial as overrides."""
        return [f"{parameter.key}={parameter.to_text(values[parameter.key])}" for parameter in self.space]


@dataclass(frozen=True)
class TrialResult:
    """How a trial ended; the validation loss is inf where it failed, and the fault says why."""

    number: int
    values: dict[str, Any]
    ending: Ending
    loss: float
    seconds: float
    fault: str = ""


class Watcher(Protocol):
    """Who is told how a search goes."""

    def starts(self, number: int, n_ended: int) -> None:
        """Told which trial begins, and how many have ended."""

    def goes_on(self, share: float) -> None:
        """Told after each step which share of the trial's last stage is done."""

    def ends(self, outcome: TrialResult, best: TrialResult | None) -> None:
        """Told how a trial ended, and the best one so far."""

    def quiet(self, folder: Path) -> AbstractContextManager[None]:
        """Surround a trial, whose log belongs in a file in its folder and not on the screen."""
        ...
