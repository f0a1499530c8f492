"""`transformers.Trainer`, with the few methods overridden that stand in the way."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer
from transformers.trainer_utils import EvalLoopOutput

from kronos.config.data import DataConfig
from kronos.data import WindowDataset
from kronos.errors import KronosError
from kronos.training.sampler import WindowSampler
from kronos.training.sharding import compute_in_bf16

Batch = dict[str, Tensor]
# From a batch of windows to the model's inputs; the step is None in validation.
PrepareBatch = Callable[[Batch, int | None], Batch]


class KronosTrainer(Trainer):
    """Trains a model whose forward returns its loss and the validation loss of each window."""

    model: nn.Module
    train_dataset: WindowDataset

    def __init__(self, *, prepare_batch: PrepareBatch, data_config: DataConfig, **kwargs: Any) -> None:
        self._prepare_batch = prepare_batch
        self.data_config = data_config
        super().__init__(**kwargs)

    def _prepare_inputs(self, inputs: Batch) -> Batch:
        batch = super()._prepare_inputs(inputs)
        return self._prepare_batch(batch, self.state.global_step if self.model.training else None)

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> WindowSampler:
        batch = self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return WindowSampler(self.train_dataset, self.data_config, batch, self.args.seed)

    def _wrap_model(self, model: nn.Module, training: bool = True, dataloader: Any = None) -> nn.Module:
        if self.is_fsdp_enabled and self.args.bf16:
            compute_in_bf16(model, self.args.device)
        return super()._wrap_model(model, training, dataloader)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Decay the weights of linear layers only; the Trainer's own rule would miss our norms and embeddings."""
        return [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)]

    def evaluation_loop(
        self,
        dataloader: DataLoader[Batch],
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Average the validation loss over the windows, each counted once.

        The Trainer's own loop averages batch means, so that the windows with which ranks fill up their last batch
        would count twice; and it would bring every logit to the CPU.
        """
        self.model.eval()
        self.callback_handler.eval_dataloader = dataloader
        losses = []
        # Torch's loader draws a seed: forked, so that a validation more or less does not change the training.
        with torch.no_grad(), torch.random.fork_rng():
            for batch in dataloader:
                window_loss = self.model(**self._prepare_inputs(batch)).window_loss
                losses.append(self.accelerator.gather_for_metrics(window_loss).cpu())
                self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)
        loss = torch.cat(losses).double().mean().item()
        if not math.isfinite(loss):
            raise KronosError(
                f"the validation loss is {loss} at step {self.state.global_step}: training has diverged or the model is "
                "damaged. Lower the learning rate; the best model so far is kept."
            )
        n_windows = sum(len(part) for part in losses)
        return EvalLoopOutput(np.empty(0), None, {f"{metric_key_prefix}_loss": loss}, n_windows)
