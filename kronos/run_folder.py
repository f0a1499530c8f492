"""Every path that a run leaves: {base_path}/{exp_name}/ and what is in it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from kronos.disk.reading import read_json
from kronos.disk.temporaries import remove_temporaries
from kronos.errors import KronosError
from kronos.files import find_replaced, replacing_folder, restore_folder
from kronos.names import hash_text
from kronos.urls import CandleSource, hash_source, name_source

LONGEST_NAMES = 60
StageName = Literal["tokenizer", "basemodel"]


@dataclass(frozen=True)
class StageFolder:
    """The folder of one stage, or of the LSTM, which is trained in the same way."""

    path: Path

    @property
    def best_model(self) -> Path:
        """The best model; `from_pretrained` loads it."""
        return self.path / "best_model"

    @property
    def rejected_model(self) -> Path:
        """A fine-tuned tokenizer that reconstructs prices worse than the one before training."""
        return self.path / "rejected_model"

    @property
    def trained_model(self) -> Path:
        """The best fine-tuned base model if none was better than the model before training (training.blend)."""
        return self.path / "trained_model"

    @property
    def unblended_model(self) -> Path:
        """The best base model without the blend, if best_model is a blend."""
        return self.path / "unblended_model"

    @property
    def checkpoints(self) -> Path:
        """A folder with a checkpoint for each saved step, to resume from."""
        return self.path / "checkpoints"

    @property
    def record(self) -> Path:
        """What the stage was trained on, and how far it came."""
        return self.path / "stage.json"

    @property
    def metrics(self) -> Path:
        """Losses and learning rates, one line for each logged step."""
        return self.path / "metrics.jsonl"

    @property
    def health(self) -> Path:
        """The reconstruction error of the tokenizer before and after training."""
        return self.path / "health.json"

    @property
    def blend(self) -> Path:
        """The validation losses of the base model's blends with the pretrained one, and the chosen share."""
        return self.path / "blend.json"

    @property
    def config(self) -> Path:
        """The resolved configuration that the stage was trained with."""
        return self.path / "config.yaml"

    @property
    def tracking(self) -> Path:
        """What experiment trackers write."""
        return self.path / "tracking"


@dataclass(frozen=True)
class ReportFolder:
    """The folder of a verdict: its page, its figures and its pictures."""

    path: Path

    @property
    def page(self) -> Path:
        return self.path / "index.html"

    @property
    def results(self) -> Path:
        """The evaluation as plain values."""
        return self.path / "metrics.json"

    def is_for(self, subject: str) -> bool:
        """Whether the folder holds no verdict on something else than `hash_subject` names."""
        return not self.results.exists() or self._read("subject") == subject

    def read_settings(self) -> dict[str, object]:
        """Return the settings of the verdict that is there, by key; empty if there is none, or of an earlier version."""
        settings = self._read("settings")
        return settings if isinstance(settings, dict) else {}

    def with_settings(self, changed: Mapping[str, object]) -> ReportFolder:
        """Return the folder of a verdict with other settings than this one: values by key."""
        names = "-".join(key.rpartition(".")[2] for key in sorted(changed))[:LONGEST_NAMES]
        digest = hashlib.sha256(repr(sorted(changed.items())).encode()).hexdigest()[:8]
        return _restore(Path(f"{self.path}-with-{names}-{digest}"))

    def _read(self, key: str) -> object:
        try:
            return read_json(self.results)[key]
        except (OSError, ValueError, LookupError, TypeError):
            return None

    @property
    def losses(self) -> Path:
        """Every forecast with its actual value and its losses."""
        return self.path / "losses.csv"

    @property
    def forecasts(self) -> list[Path]:
        """The pictures of held-out forecasts that are there."""
        return sorted(self.path.glob("forecast_*.png"), key=lambda path: (len(path.name), path.name))

    def forecast(self, n: int) -> Path:
        """Return the picture of the n-th held-out forecast, counted from 1."""
        return self.path / f"forecast_{n}.png"

    def example(self, kind: str) -> Path:
        """Return the picture of the best, the median or the worst forecast."""
        return self.path / f"example_{kind}.png"

    def chart(self, name: str) -> Path:
        return self.path / f"{name}.png"

    def is_foreign(self, path: Path) -> bool:
        """Whether an entry of the folder is not of a report, but was put there by somebody."""
        return path.suffix != ".png" and path not in (self.page, self.results, self.losses)

    @contextmanager
    def replacing(self) -> Iterator[ReportFolder]:
        """Give an empty report to fill; on success it replaces this one as a whole.

        Raises:
            WriteError: the file system refuses.
        """
        with replacing_folder(self.path, self.is_foreign) as new:
            yield ReportFolder(new)


def _restore(path: Path) -> ReportFolder:
    """Return a report, brought back if it was being replaced when the process ended."""
    restore_folder(path)
    return ReportFolder(path)


OWN_NAMES = frozenset(("report", "evaluation", "logs", "tune", "push", "config.yaml", "data.json", "readme.md"))


def is_own_name(name: str) -> bool:
    """Whether a run writes something of this name into its folder, beside the stages."""
    plain = name.casefold()
    return plain in OWN_NAMES or plain.startswith("report-") or bool(re.search(r"\.previous(-\d+)?$", plain))


def hash_subject(data: Sequence[CandleSource], model: str = "") -> str:
    """Return a short hash of what a verdict is on: candles and, if no run here has trained it, the model."""
    paths = [hash_source(each) for each in data]
    return hash_text(repr((paths, str(Path(model).resolve()) if Path(model).exists() else model)))


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, wherever it has been moved to.

    Args:
        path: {base_path}/{exp_name}.
        tokenizer_name, basemodel_name: the folders of the two stages (model_paths.tokenizer_save_name, basemodel_save_name).
    """

    path: Path
    tokenizer_name: str = "tokenizer"
    basemodel_name: str = "basemodel"

    @classmethod
    def of_model(cls, model: Path) -> RunFolder:
        """Return the folder of the run that left a model in {run}/{stage}/best_model."""
        return cls(model.resolve().parent.parent)

    @property
    def tokenizer(self) -> StageFolder:
        return StageFolder(self.path / self.tokenizer_name)

    @property
    def basemodel(self) -> StageFolder:
        return StageFolder(self.path / self.basemodel_name)

    def stage(self, name: StageName) -> StageFolder:
        return self.tokenizer if name == "tokenizer" else self.basemodel

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def audit(self) -> Path:
        """What is wrong with the candles, and until when they reach."""
        return self.path / "data.json"

    @property
    def log(self) -> Path:
        return self.path / "logs" / "train.log"

    @property
    def lock(self) -> Path:
        """The file that a running command holds locked."""
        return self.path / "logs" / "train.lock"

    @property
    def report(self) -> ReportFolder:
        """The main report: the verdict on the run's own candles, with its own settings."""
        return _restore(self.path / "report")

    def report_on(self, data: Sequence[CandleSource]) -> ReportFolder:
        """Return the folder of a verdict on other candles: files, folders, globs and URLs.

        It is report-{name of the first}, or report-{name}-{hash} if the former holds a verdict on others of this name.
        """
        report, subject = _restore(self.path / f"report-{name_source(data[0])}"), hash_subject(data)
        return report if report.is_for(subject) else _restore(Path(f"{report.path}-{subject}"))

    def list_reports(self) -> list[ReportFolder]:
        """Return the folders of all verdicts that are there, that on the run's own candles first."""
        for old in self.path.glob(".report*.old"):
            restore_folder(find_replaced(old))
        folders = sorted(path.parent for path in self.path.glob("report*/metrics.json"))
        return [ReportFolder(path) for path in folders]

    @property
    def evaluation(self) -> Path:
        """The forecasts that verdicts are computed from."""
        return self.path / "evaluation"

    @property
    def random_walks(self) -> Path:
        """The forecasts of random walks, which show how much drift the models invent."""
        return self.evaluation / "random_walks"

    @property
    def calibration(self) -> Path:
        """The corrections of the forecasts' bands that an evaluation found (evaluation.calibrate)."""
        return self.evaluation / "calibration.json"

    @property
    def lstm(self) -> StageFolder:
        """The LSTM that the run is compared with."""
        return StageFolder(self.evaluation / "lstm")

    @property
    def tune(self) -> Path:
        """The trials of `kronos tune`."""
        return self.path / "tune"


@contextmanager
def lock_run_folder(run: RunFolder, rank: int = 0) -> Iterator[None]:
    """Keep other commands out of a run's folder, and remove what killed ones left. The lock ends with the process.

    Raises:
        KronosError: another command holds the folder.
    """
    if rank:
        yield
        return
    lock = FileLock(run.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise KronosError(
            "{folder}: another run is writing here. Wait for it, or choose another folder with model_paths.exp_name.",
            folder=run.path,
        ) from None
    try:
        remove_temporaries(run.path)
        yield
    finally:
        lock.release()
