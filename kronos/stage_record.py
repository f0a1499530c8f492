"""stage.json: the settings of a stage, its progress, and how good its best model is."""

import logging
from pathlib import Path
from typing import Any

from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kronos.config.training import HORIZON_LOSS_NAME, LOSS_NAME, STAGES, ModelName
from kronos.disk.reading import read_regular
from kronos.errors import CheckpointError
from kronos.files import hash_file, write_json
from kronos.model.stored.identity import ModelIdentity
from kronos.names import Template
from kronos.run_folder import StageFolder

GLOBAL_BATCH = "windows a step"
MODEL_FILES = CONFIG_NAME, SAFETENSORS_SINGLE_FILE


class StageRecord(BaseModel):
    """The state of a stage. Losses are validation losses; step 0 is the model before training.

    best_by: the figure that chose the best model (training.best_by). If it is not the loss, the scores hold its values.
    """

    model_config = ConfigDict(frozen=True)

    stage: ModelName
    finished: bool = False
    steps: int = 0  # optimizer steps of the whole stage
    start_loss: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    best_by: str = LOSS_NAME
    start_score: float | None = None
    best_score: float | None = None
    blend: float | None = None  # share of the fine-tuned weights in the best base model; None: not blended
    tokenizer_hash: str | None = None  # of the tokenizer that a base model was trained with
    start_hash: str | None = None  # of the untouched model; None with LoRA
    start_model: ModelIdentity | None = None  # the pretrained model; None: from scratch, or of an earlier version
    tokenizer: ModelIdentity | None = None  # that a base model was trained with
    n_processes: int = Field(1, ge=1)  # at the start of the stage
    n_parts: int | None = Field(1, ge=1)  # in which each process computes its share of a batch; None: not found yet
    threads: int | None = Field(None, ge=1)  # that compute it, where they were chosen when the stage started
    settings: dict[str, Any]  # everything that changes the result, by its YAML name
    best_model_sha256: dict[str, str] | None = None  # of the files of best_model; None: not known, or about to change

    @property
    def improved(self) -> bool:
        """Whether training improved on the model before it."""
        return bool(self.best_step)

    @property
    def log_level(self) -> int:
        """Of what is logged about the stage: the training of a baseline is a detail."""
        return logging.INFO if self.stage in STAGES else logging.DEBUG

    @property
    def figure_name(self) -> str:
        """The figure that chose the best model, for a log line."""
        names: dict[str, Template] = {LOSS_NAME: "validation loss", HORIZON_LOSS_NAME: "validation loss of the horizon"}
        return names.get(self.best_by, self.best_by)

    @property
    def start_figure(self) -> float | None:
        """The figure of the model before training."""
        return self.start_loss if self.best_by == LOSS_NAME else self.start_score

    @property
    def best_figure(self) -> float | None:
        """The figure of the best model."""
        return self.best_loss if self.best_by == LOSS_NAME else self.best_score

    def write(self, folder: Path) -> None:
        write_json(StageFolder(folder).record, self.model_dump())

    def begin_change(self, folder: Path) -> None:
        """Write the record without the hashes of best_model, which is about to change."""
        if self.best_model_sha256:
            self.model_copy(update={"best_model_sha256": None}).write(folder)

    def seal(self, folder: Path) -> "StageRecord":
        """Write the record with the hashes of best_model as it is now, and return it."""
        best_model = StageFolder(folder).best_model
        hashes = {name: hash_file(best_model / name) for name in MODEL_FILES}
        record = self.model_copy(update={"best_model_sha256": hashes})
        record.write(folder)
        return record

    def fits_best_model(self, folder: Path) -> bool:
        """Whether best_model has not changed since it was sealed, as far as the record knows its hashes."""
        best_model = StageFolder(folder).best_model
        try:
            return all(hash_file(best_model / name) == each for name, each in (self.best_model_sha256 or {}).items())
        except OSError:
            return False

    @classmethod
    def read_beside(cls, model: str | Path) -> "StageRecord | None":
        """Read the record of the stage that left a model, {stage}/best_model; None for other models."""
        path = Path(model).expanduser()
        is_best = path.is_dir() and path.name == StageFolder(path.parent).best_model.name
        return cls.read(path.resolve().parent) if is_best else None

    @classmethod
    def read(cls, folder: Path) -> "StageRecord | None":
        """Read a stage folder's record; None if there is none.

        Raises:
            CheckpointError: the file is damaged.
        """
        path = StageFolder(folder).record
        if not path.is_file():
            return None
        try:
            record = cls.model_validate_json(read_regular(path))
            record.settings[GLOBAL_BATCH]
            return record
        except (OSError, ValidationError, UnicodeDecodeError, KeyError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise CheckpointError(
                "{path}: damaged ({reason}). Move the folder {folder} away and start again.",
                path=path,
                reason=reason,
                folder=folder,
            ) from None
