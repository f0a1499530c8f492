"""`transformers.Trainer`, with only those methods overridden that do not fit our models.

Everything of the Trainer that this class overrides, calls or reads is listed here with the reason. Names that begin with
an underscore are private: transformers may change them in any minor version. That is why pyproject.toml allows only the
minor versions that were tested. tests/training/test_trainer.py compares this list with both classes.

Overridden, private:
    _prepare_inputs           the base model reads tokens and noise, made from the candles on the device
    _get_grad_norm            a loss or gradient that is not finite must stop the run before the weights change
    _maybe_log_save_evaluate  nothing is saved after divergence; a signal ends the run between two steps
    _save_checkpoint          a checkpoint is complete or absent; the oldest is removed after the newest is complete
    _load_from_checkpoint     the weights are checked before they are loaded
    _load_optimizer_and_scheduler  the same of moments and rates, which nothing may replace by what they are not
    _load_scaler              the same of the scale of fp16
    _load_rng_state           the same; and the loss summed since the last log line belongs to the state of a resumed run
    _run_epoch                a run that was interrupted after its last step takes no further step
    _get_train_sampler        every rank draws the same windows, in whole global batches
Overridden, public:
    train                     remembers the step that the run resumes from
    get_batch_samples         the tokenizer's loss needs a mean over the whole batch
    training_step             notes the loss and the windows of each step for messages
    create_scheduler          a warm-up from 0 would waste the first step
    get_train_dataloader      loader processes must survive a signal until the checkpoint is written
    get_eval_dataloader       the same
    get_decay_parameter_names the Trainer would apply weight decay to our norms and embeddings
    evaluation_loop           each validation window counts once, and logits stay on the device
Called or read, private:
    _get_learning_rate        for the message of a diverged step
    _tr_loss                  the loss summed since the last log line
    _globalstep_last_logged   the step of that log line
"""

import math
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer
from transformers.trainer_utils import EvalLoopOutput, TrainOutput

from kronos.candles import Array
from kronos.config.data import DataConfig
from kronos.config.training import HORIZON_LOSS_NAME, LOSS_NAME
from kronos.data import WindowDataset
from kronos.data.windows.dataset import Batch, PrepareBatch
from kronos.errors import KronosError, Terminated
from kronos.files import seal_folder, write_json
from kronos.model import KronosTokenizer
from kronos.names import Message
from kronos.timing import timed
from kronos.training.criterion import BY_LOSS, Criterion
from kronos.training.device_use import fork_random_state
from kronos.training.inputs.sampler import WindowSampler
from kronos.training.inputs.workers import keep_workers_alive
from kronos.training.safety.divergence import HealthCheck
from kronos.training.safety.stopping import StopRequest
from kronos.training.saved import checkpoint_files
from kronos.training.saved.checkpoints import remove_checkpoints, step_of, writing


class KronosTrainer(Trainer):
    """Trains a model whose forward returns its loss and the validation loss of each window."""

    model: nn.Module
    train_dataset: WindowDataset

    def __init__(
        self,
        *,
        prepare_batch: PrepareBatch,
        data_config: DataConfig,
        health: HealthCheck,
        stop: StopRequest,
        save_total_limit: int,
        criterion: Criterion = BY_LOSS,
        **kwargs: Any,
    ) -> None:
        self._prepare_batch = prepare_batch
        self._criterion = criterion
        self.data_config = data_config
        self._health = health
        self._stop = stop
        self._save_total_limit = save_total_limit
        self._saved_step: int | None = None
        super().__init__(**kwargs)
        if self.accelerator.ddp_handler:  # gradients are averaged where they lie, without a copy of all of them
            self.accelerator.ddp_handler.gradient_as_bucket_view = True

    # single training step
    # The Trainer calls these methods in this order; between them it steps the optimizer and the scheduler:
    #   get_batch_samples → for each part: training_step (→ _prepare_inputs → forward → backward)
    #   → _get_grad_norm (clips) → optimizer.step → scheduler.step → _maybe_log_save_evaluate

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], Tensor | int | None]:
        """Fetch the parts of a batch; give each part what the model needs to know about the whole batch."""
        parts, n_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        if len(parts) > 1 and isinstance(self.model, KronosTokenizer):
            whole = self._measure_whole(self.model, parts)
            parts = [part | {"whole": whole} for part in parts]
        return parts, n_items

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Any = None) -> Tensor:
        windows: Array = inputs["window"]
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)  # forward and backward
        self._health.add_loss(loss, windows)
        return loss

    def _prepare_inputs(self, inputs: Batch) -> Batch:
        batch: Batch = super()._prepare_inputs(inputs)  # to the device
        return self._prepare_batch(batch, self.state.global_step if self.model.training else None)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        norm: Tensor = super()._get_grad_norm(model, grad_norm)  # type: ignore[no-untyped-call]
        self._health.end_step(self.state.global_step + 1, self._get_learning_rate(), norm)
        if norm.device.type == "cpu":  # no device to wait for, so check before the weights change
            self._health.check()
        return norm

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        control = self.control
        if control.should_log or control.should_save or control.should_evaluate:
            self._health.check()  # before anything is saved
        stop = self._stop.agreed()
        if stop:
            control.should_evaluate, control.should_save = False, True
        super()._maybe_log_save_evaluate(*args, **kwargs)
        if stop and self.state.global_step:
            raise Terminated(stop, Message(" at step {step}", step=self.state.global_step))

    def _measure_whole(self, model: KronosTokenizer, parts: list[Batch]) -> Tensor:
        """Return the mean probability of each code bit over all parts of a batch on all ranks."""
        with torch.no_grad(), fork_random_state(), self.accelerator.autocast():
            on_device = [super(KronosTrainer, self)._prepare_inputs(part) for part in parts]
            step = self.state.global_step  # the model may still be in eval mode
            measured = [model.measure_batch(self._prepare_batch(part, step)["candles"]) for part in on_device]
        whole = torch.stack(measured).mean(0)
        return self.accelerator.reduce(whole, reduction="mean")  # type: ignore[no-any-return]

    # validation

    @timed("validation")
    def evaluation_loop(
        self,
        dataloader: DataLoader[Batch],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Average the validation losses over the windows, and compute the score if a score chooses the best model.

        The Trainer's own loop averages batch means. It would count the windows twice with which ranks fill up their last
        batch, and it would copy all logits to the CPU.
        """
        self.model.eval()
        self.callback_handler.eval_dataloader = dataloader
        losses: list[Tensor] = []
        horizon_losses: list[Tensor] = []
        # PyTorch's loader draws a seed. The fork keeps the training independent of the number of validations.
        with torch.no_grad(), fork_random_state():
            for batch in dataloader:
                output = self.model(**self._prepare_inputs(batch))
                losses.append(self._gather(output.window_loss))
                if "horizon_loss" in output:  # of the base model
                    horizon_losses.append(self._gather(output.horizon_loss))
                self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
                self._stop_if_agreed()
        loss = _average(losses)
        if not math.isfinite(loss):
            raise KronosError(
                "The validation loss is {loss} at step {step}: training has diverged, or the model is damaged. Lower the "
                "learning rate. The best model so far is kept.",
                loss=loss,
                step=self.state.global_step,
            )
        n_windows = sum(len(part) for part in losses)
        figures = {LOSS_NAME: loss} | self._criterion.compute(self.model, self.state.global_step)
        if horizon_losses:
            figures[HORIZON_LOSS_NAME] = _average(horizon_losses)
        self._stop_if_agreed()
        metrics = {f"{metric_key_prefix}_{name}": figure for name, figure in figures.items()}
        return EvalLoopOutput(np.empty(0), None, metrics, n_windows)

    def _gather(self, window_loss: Tensor) -> Tensor:
        """Return the losses of a batch's windows from all ranks, on the device: nothing waits for them until the last batch."""
        return self.accelerator.gather_for_metrics(window_loss)  # type: ignore[no-any-return]

    def _stop_if_agreed(self) -> None:
        """Stop in the middle of a validation, leaving a checkpoint of the step that it belongs to."""
        stop = self._stop.agreed()
        if not stop:
            return
        if self.state.global_step:  # before the first step there is nothing to save
            self._save_checkpoint(self.model, None)
        raise Terminated(stop, Message(" in the validation at step {step}", step=self.state.global_step))

    # checkpoints and resuming

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> TrainOutput:
        if resume_from_checkpoint:
            self._saved_step = step_of(Path(str(resume_from_checkpoint)))
        return super().train(resume_from_checkpoint, *args, **kwargs)

    @timed("checkpoints")
    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save a checkpoint that is complete or absent, then remove the oldest."""
        if self.state.global_step == self._saved_step:  # saved before the validation of this step, or resumed from
            return
        folder = Path(self.args.output_dir or "") / f"checkpoint-{self.state.global_step}"
        try:
            with writing(folder):
                super()._save_checkpoint(model, trial)
                loss = self.accelerator.gather(self._tr_loss.reshape(1)).mean().item()
                self.accelerator.wait_for_everyone()  # each rank has written its random state
                if self.args.should_save:
                    write_json(
                        folder / checkpoint_files.PROGRESS, {"loss": loss, "last_logged": self._globalstep_last_logged}
                    )
                    seal_folder(folder)
        except KronosError:
            shutil.rmtree(folder, ignore_errors=True)  # an incomplete checkpoint only takes space
            raise
        self._saved_step = self.state.global_step
        if self.args.should_save:
            remove_checkpoints(folder.parent, self._save_total_limit)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        checkpoint_files.check_checkpoint(Path(resume_from_checkpoint))
        checkpoint_files.load_weights(Path(resume_from_checkpoint), model or self.model)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            checkpoint_files.load_optimizer(Path(checkpoint), cast(Optimizer, self.optimizer))
            checkpoint_files.load_scheduler(Path(checkpoint), self.lr_scheduler)

    def _load_scaler(self, checkpoint: str | None) -> None:
        if checkpoint is not None and self.accelerator.scaler is not None:
            checkpoint_files.load_scaler(Path(checkpoint), self.accelerator.scaler)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        """Load the random state and the loss summed since the last log line: the next line shows no interruption."""
        if checkpoint is None:
            return
        rank = f"_{self.args.process_index}" if self.args.world_size > 1 else ""
        states = Path(checkpoint) / f"rng_state{rank}.pth"
        if states.exists():  # not if the number of processes has changed
            checkpoint_files.check_random_state(states)
        with checkpoint_files.reading(states):
            super()._load_rng_state(checkpoint)
        progress = checkpoint_files.read_progress(Path(checkpoint))
        self._tr_loss += progress.loss
        self._globalstep_last_logged = progress.last_logged

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Take no step if the run was interrupted after its last one; the Trainer would take another."""
        if self.state.global_step < self.state.max_steps and not self.control.should_training_stop:
            super()._run_epoch(*args, **kwargs)  # type: ignore[no-untyped-call]

    # optimizer, schedule, data

    @property
    def global_batch(self) -> int:
        """The windows of an optimizer step, over all parts and processes."""
        return int(self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size)

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> LRScheduler:
        """Begin with the schedule's second step: a warm-up starts at rate 0, where the first step would learn nothing."""
        scheduler: LRScheduler = super().create_scheduler(num_training_steps + 1, optimizer)
        with warnings.catch_warnings(action="ignore"):  # PyTorch warns that the optimizer has taken no step yet
            scheduler.step()
        return scheduler

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Apply weight decay to the weights of linear layers only."""
        return [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)]

    def get_train_dataloader(self) -> DataLoader[Batch]:
        return keep_workers_alive(super().get_train_dataloader())

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Batch]:
        return keep_workers_alive(super().get_eval_dataloader(eval_dataset))

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> WindowSampler:
        return WindowSampler(self.train_dataset, self.data_config, self.global_batch, self.args.seed)


def _average(losses: list[Tensor]) -> float:
    return torch.cat(losses).cpu().double().mean().item()
