"""What happens beside the training steps: progress, metrics on disk, the best model."""

import json
import logging
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import torch
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kronos.files import replacing, write_text
from kronos.model.pretrained import PretrainedModel
from kronos.training.record import StageRecord
from kronos.training.sharding import gather_model

logger = logging.getLogger(__name__)


def measure_memory_mb(device: torch.device) -> float:
    """Peak GPU memory of this process on a CUDA device, else its resident memory, in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return float(psutil.Process().memory_info().rss) / 2**20


class ProgressCallback(TrainerCallback):
    """A progress bar, a line every log_interval steps, and the same figures in metrics.jsonl; on rank 0 only."""

    def __init__(self, stage: str, metrics_path: Path) -> None:
        self._stage = stage
        self._metrics_path = metrics_path
        self._bar: tqdm[Any] | None = None
        self._validation_bar: tqdm[Any] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._first_step = state.global_step
        self._started = time.monotonic()
        if not state.is_world_process_zero:
            return
        _forget_after(self._metrics_path, state.global_step)
        self._bar = tqdm(  # silent where there is no terminal; the log lines remain
            desc=self._stage, total=state.max_steps, initial=state.global_step, unit="step", disable=None, leave=False
        )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._bar is not None:
            self._bar.update(state.global_step - self._bar.n)
        if state.global_step == state.max_steps:
            control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        logs: dict[str, float] = kwargs["logs"]
        if not state.is_world_process_zero or "loss" not in logs:
            return
        elapsed = time.monotonic() - self._started
        done = state.global_step - self._first_step
        left = elapsed / done * (state.max_steps - state.global_step)
        memory = measure_memory_mb(args.device)
        logger.info(
            "%s  step %d/%d  epoch %.2f  loss %.4f  lr %.2e  grad %.2f  elapsed %s  left %s  memory %.0f MB",
            *(self._stage, state.global_step, state.max_steps, logs["epoch"], logs["loss"], logs["learning_rate"]),
            *(logs["grad_norm"], _clock(elapsed), _clock(left), memory),
        )
        keys = ("epoch", "loss", "learning_rate", "grad_norm")
        self._write_metrics(
            state.global_step,
            {key: logs[key] for key in keys},
            elapsed_seconds=round(elapsed, 3),
            left_seconds=round(left, 3),
            memory_mb=round(memory),
        )

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        if self._bar is None:
            return
        if self._validation_bar is None:
            total = len(kwargs["eval_dataloader"])
            self._validation_bar = tqdm(desc="validation", total=total, unit="batch", disable=None, leave=False)
        self._validation_bar.update()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        if not state.is_world_process_zero:
            return
        if self._validation_bar is not None:
            self._validation_bar.close()
            self._validation_bar = None
        loss: float = kwargs["metrics"]["eval_loss"]
        note = "  (the untouched model)" if state.global_step == 0 else ""
        logger.info(
            "%s  step %d/%d  validation loss %.5f%s",
            *(self._stage, state.global_step, state.max_steps, loss, note),
        )
        self._write_metrics(state.global_step, {"epoch": state.epoch or 0.0, "val_loss": loss})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def _write_metrics(self, step: int, *figures: dict[str, float], **more: float) -> None:
        line = {"step": step} | {key: value for group in (*figures, more) for key, value in group.items()}
        with self._metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


class BestModelCallback(TrainerCallback):
    """Keeps the model with the lowest validation loss in best_model/, the untouched one being the first candidate."""

    def __init__(self, folder: Path, record: StageRecord) -> None:
        self._folder = folder
        self.record = record

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        step, loss = state.global_step, kwargs["metrics"]["eval_loss"]
        if self.record.best_loss is not None and loss >= self.record.best_loss:
            return
        changes: dict[str, Any] = {"best_step": step, "best_loss": loss, "steps": state.max_steps}
        if step == 0:
            changes["start_loss"] = loss
        self.record = self.record.model_copy(update=changes)
        model = gather_model(kwargs["model"])  # by all ranks: each may hold a share
        if state.is_world_process_zero:
            save_model(model, self._folder / "best_model")
            self.record.write(self._folder)


def save_model(model: PretrainedModel, folder: Path) -> None:
    """Save a model so that a reader finds the old files or the new ones, never half of one.

    The files are written under temporary names and renamed; config.json does not change within a stage.
    """
    staging = folder.with_name(f".{folder.name}.new")
    model.save_pretrained(staging)
    readable = (staging / "config.json").stat().st_mode  # safetensors would let only the owner read
    for file in sorted(staging.iterdir()):
        file.chmod(readable)
        with replacing(folder / file.name) as temporary:
            file.rename(temporary)
    staging.rmdir()


def _forget_after(metrics_path: Path, step: int) -> None:
    """Drop the lines that a resumed run is about to write again."""
    if not metrics_path.exists():
        return
    lines = metrics_path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if _precedes(line, step)]
    write_text(metrics_path, "".join(line + "\n" for line in kept))


def _precedes(line: str, step: int) -> bool:
    try:
        figures = json.loads(line)
    except ValueError:  # half a line, from a run that was killed
        return False
    return bool(figures["step"] < step or (figures["step"] == step and "loss" in figures))


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
