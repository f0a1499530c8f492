"""Callbacks of the Trainer: progress, metrics on disk, the best model."""

import json
import logging
import shutil
import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from kronos.config.training import LOSS_NAME, LOSS_NAMES, STAGES
from kronos.disk.reading import parse_json, read_regular
from kronos.disk.temporaries import name_temporary
from kronos.files import replacing, write_text
from kronos.model.pretrained import PretrainedModel
from kronos.names import Message
from kronos.progress.bars import Progress
from kronos.run_folder import StageFolder
from kronos.stage_record import StageRecord
from kronos.timing import timed
from kronos.training.criterion import BY_LOSS, Criterion
from kronos.training.device_use import measure_gpu, measure_memory_mb
from kronos.training.fit.lora_and_freezing import merge
from kronos.training.saved.checkpoints import writing

logger = logging.getLogger(__name__)


class ProgressCallback(TrainerCallback):
    """Shows how far a stage is, logs details every log_interval steps and writes them to metrics.jsonl, on rank 0."""

    def __init__(self, stage: str, metrics_path: Path, criterion: Criterion = BY_LOSS) -> None:
        self._stage = stage
        self._metrics_path = metrics_path
        self._criterion = criterion
        self._progress: Progress | None = None
        self._validation: Progress | None = None
        self._notes: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.close()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._first_step = state.global_step
        self._started = time.monotonic()
        if not state.is_world_process_zero:
            return
        self._elapsed_before = _forget_after(self._metrics_path, state.global_step, not args.eval_on_start)
        level = logging.INFO if self._stage in STAGES else logging.DEBUG  # the training of a baseline is a detail
        self._progress = Progress(self._stage, state.max_steps, "steps", initial=state.global_step, level=level)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._progress is not None:
            self._progress.update(state.global_step - self._progress.done)
        if state.global_step == state.max_steps:
            control.should_log = True
            control.should_evaluate |= args.eval_strategy == "steps"  # the last state may be the best

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
        since_start = time.monotonic() - self._started
        done = max(state.global_step - self._first_step, 1)
        left = since_start / done * (state.max_steps - state.global_step)
        elapsed = self._elapsed_before + since_start
        memory = measure_memory_mb(args.device)
        logger.debug(
            "%s  step %d/%d  epoch %.2f  loss %.4f  lr %.2e  grad %.2f  elapsed %s  left %s  memory %.0f MB",
            *(self._stage, state.global_step, state.max_steps, logs["epoch"], logs["loss"], logs["learning_rate"]),
            *(logs["grad_norm"], _format_duration(elapsed), _format_duration(left), memory),
        )
        self._show(loss=logs["loss"])
        keys = ("epoch", "loss", "learning_rate", "grad_norm")
        self._write_metrics(
            state.global_step,
            {key: logs[key] for key in keys},
            elapsed_seconds=round(elapsed, 3),
            left_seconds=round(left, 3),
            memory_mb=round(memory),
            **measure_gpu(args.device),
        )

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        if self._progress is None:
            return
        if self._validation is None:
            self._validation = Progress(Message("validation"), len(kwargs["eval_dataloader"]), "batches")
        self._validation.update()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        if not state.is_world_process_zero:
            return
        if self._validation is not None:
            self._validation.close()
            self._validation = None
        if self._progress is not None and state.global_step == self._first_step:
            self._progress.restart()
        figures = pick_validation_figures(kwargs["metrics"], self._criterion.name)
        note = "  (before training)" if state.global_step == 0 else ""
        logger.debug(
            "%s  step %d/%d  validation %s%s",
            *(self._stage, state.global_step, state.max_steps),
            *("  ".join(f"{name} {figure:.5f}" for name, figure in figures.items()), note),
        )
        self._show(validation=figures.get(self._criterion.name, figures[LOSS_NAME]))
        self._write_metrics(state.global_step, {"epoch": state.epoch or 0.0}, prefix_with_val(figures))

    def _show(self, **figures: float) -> None:
        template = "{name} {figure:.4f}"
        self._notes |= {n: Message(template, name=Message(n), figure=figure) for n, figure in figures.items()}
        if self._progress is not None:
            self._progress.set_note(Message.join(self._notes.values(), "  "))

    def _write_metrics(self, step: int, *figures: dict[str, float], **more: float) -> None:
        line = {"step": step} | {key: value for group in (*figures, more) for key, value in group.items()}
        with writing(self._metrics_path), self._metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def pick_validation_figures(metrics: dict[str, float], best_by: str) -> dict[str, float]:
    """Return the losses of a validation and the figure best_by, those that it has computed, from the Trainer's metrics."""
    names = dict.fromkeys([*LOSS_NAMES, best_by])
    return {name: metrics[f"eval_{name}"] for name in names if f"eval_{name}" in metrics}


def prefix_with_val(figures: dict[str, float]) -> dict[str, float]:
    """Return validation figures under their names in metrics.jsonl and in trackers."""
    return {f"val_{name}": figure for name, figure in figures.items()}


class BestModelCallback(TrainerCallback):
    """Keeps the best model by a criterion in best_model/. The untouched model is the first candidate."""

    def __init__(
        self,
        folder: Path,
        record: StageRecord,
        criterion: Criterion = BY_LOSS,
        patience: int | None = None,
        keep_trained: bool = False,
    ) -> None:
        """Keep the best model of a stage.

        Args:
            patience: the number of validations in a row without improvement that ends the stage.
            keep_trained: as long as no trained model beats the untouched one, keep the best of them in trained_model/.
        """
        self._keep_trained = keep_trained
        self._folder = folder
        self._criterion = criterion
        self._patience = patience
        self.record = record

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._has_lost_patience(state):  # before the interruption
            control.should_training_stop = True

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        step, figure = state.global_step, kwargs["metrics"][f"eval_{self._criterion.name}"]
        if self._has_lost_patience(state):
            logger.log(
                self.record.log_level,
                "%s  no improvement in %d validations, stops at step %d",
                *(self.record.stage, self._patience, step),
            )
            control.should_training_stop = True
        is_better = self._criterion.is_better(figure, self.record.best_figure)
        if not is_better:
            is_best_trained = step > 0 and not self.record.improved and self._count_since_best(state, first=1) == 0
            if self._keep_trained and is_best_trained and state.is_world_process_zero:
                save_model(kwargs["model"], StageFolder(self._folder).trained_model, self.record.tokenizer_hash)
            return
        figures = {"loss": kwargs["metrics"]["eval_loss"]}
        if self._criterion.name != LOSS_NAME:
            figures["score"] = figure
        changes: dict[str, Any] = {"best_step": step, "steps": state.max_steps}
        for point in ("start", "best") if step == 0 else ("best",):
            changes |= {f"{point}_{name}": value for name, value in figures.items()}
        before, self.record = self.record, self.record.model_copy(update=changes)
        if state.is_world_process_zero:
            before.begin_change(self._folder)
            save_model(kwargs["model"], StageFolder(self._folder).best_model, self.record.tokenizer_hash)
            self.record = self.record.seal(self._folder)

    def _has_lost_patience(self, state: TrainerState) -> bool:
        return bool(self._patience and state.global_step and self._count_since_best(state) >= self._patience)

    def _count_since_best(self, state: TrainerState, first: int = 0) -> int:
        """Count the validations since the best, from the checkpoint's history, so a resumed run counts the same.

        Args:
            first: the first step whose validation counts.
        """
        best, n_since = None, 0
        for entry in state.log_history:
            figure = entry.get(f"eval_{self._criterion.name}")
            if figure is not None and entry["step"] >= first:
                is_better = self._criterion.is_better(figure, best)
                best, n_since = (figure, 0) if is_better else (best, n_since + 1)
        return n_since


@timed("checkpoints")
def save_model(model: PretrainedModel, folder: Path, tokenizer_hash: str | None = None) -> None:
    """Save a model; a reader finds the old files or the new ones, never half a file.

    The files are written under temporary names and then renamed. config.json does not change within a stage.

    Args:
        tokenizer_hash: of the tokenizer that the base model was trained with; saved in the metadata of the weights.
    """
    staging = name_temporary(folder)
    plain = merge(model)
    plain.tokenizer_hash = tokenizer_hash
    try:
        with writing(folder):
            plain.save_pretrained(staging)
            readable = (staging / "config.json").stat().st_mode  # safetensors makes its file readable by the owner only
            for file in sorted(staging.iterdir()):
                file.chmod(readable)
                with replacing(folder / file.name) as temporary:
                    file.rename(temporary)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _forget_after(metrics_path: Path, step: int, validated: bool) -> float:
    """Drop the lines that a resumed run will write again; return the seconds that the others took."""
    if not metrics_path.exists():
        return 0.0
    text = read_regular(metrics_path).decode(errors="replace")
    lines = [_read_figures(line) for line in text.splitlines()]
    kept = [
        figures
        for figures in lines
        if figures and (figures["step"] < step or (figures["step"] == step and (validated or "loss" in figures)))
    ]
    write_text(metrics_path, "".join(json.dumps(figures) + "\n" for figures in kept))
    return max((figures.get("elapsed_seconds", 0.0) for figures in kept), default=0.0)


def _read_figures(line: str) -> dict[str, Any] | None:
    try:
        figures = parse_json(line)
    except ValueError:  # an incomplete line of a run that was killed
        return None
    return figures if isinstance(figures, dict) and isinstance(figures.get("step"), int) else None


def _format_duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
