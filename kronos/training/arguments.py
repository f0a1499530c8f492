"""Translate our configuration into the arguments of `transformers.Trainer`."""

import math
import os
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import TrainingArguments, get_scheduler

from kronos.config import Config
from kronos.config.training import ModelName, StageName, TrainingConfig
from kronos.errors import ConfigError
from kronos.timing import timed
from kronos.training.fit.precision import choose_precision, lacks_gpu, runs_on_cpu
from kronos.training.trackers import check_trackers

SCHEDULER_NEEDS = {
    "warmup_stable_decay": " It needs num_decay_steps: the number of last steps in which the rate falls.",
    "cosine_with_min_lr": " It needs min_lr_rate: the share of the rate that remains at the end.",
}
MAX_GRAD_NORM = {"tokenizer": 2.0, "basemodel": 3.0, "lstm": 3.0}  # as the published models were trained


def build_arguments(config: Config, stage: ModelName, output_dir: Path, evaluate_first: bool) -> TrainingArguments:
    """Build a stage's training arguments; with evaluate_first, validation comes before the first step."""
    training = config.training
    arguments = TrainingArguments(
        output_dir=str(output_dir),
        run_name=f"{config.experiment.name}-{config.model_paths.exp_name}-{stage}",
        report_to="none",  # trackers.py reports
        per_device_train_batch_size=training.batch_size // training.accumulation_steps,
        per_device_eval_batch_size=training.batch_size,
        gradient_accumulation_steps=training.accumulation_steps,
        num_train_epochs=training.epochs_of(stage),
        max_steps=training.max_steps or -1,
        learning_rate=config.rate_of(stage),
        lr_scheduler_type=training.lr_scheduler,
        lr_scheduler_kwargs=training.lr_scheduler_kwargs,
        warmup_steps=training.warmup_ratio,
        adam_beta1=training.adam_beta1,
        adam_beta2=training.adam_beta2,
        weight_decay=training.adam_weight_decay,
        optim="adamw_torch_fused",
        max_grad_norm=MAX_GRAD_NORM[stage],
        logging_steps=training.log_interval,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if training.eval_steps else "epoch",
        eval_steps=training.eval_steps,
        eval_on_start=evaluate_first,
        save_strategy="steps" if training.save_steps else "epoch",
        save_steps=training.save_steps or 500,
        save_total_limit=None,  # KronosTrainer removes the oldest after the newest is complete
        bf16=choose_precision(config) == "bf16",
        fp16=choose_precision(config) == "fp16",
        torch_compile=training.torch_compile is True,  # compiling.py settles auto
        tf32=False,  # torch_compile would switch it on for the whole process, forecasts included
        seed=training.seed,
        data_seed=training.seed,
        dataloader_num_workers=_num_workers(config),
        dataloader_pin_memory=torch.cuda.is_available(),
        accelerator_config={"non_blocking": torch.cuda.is_available()},
        remove_unused_columns=False,
        label_names=[],
        ddp_find_unused_parameters=False,
        ddp_backend=PartialState().backend,
        use_cpu=runs_on_cpu(config),
        disable_tqdm=True,  # callbacks.py has its own progress bar and log lines
        log_level="error",
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several would split each batch; torchrun uses them all
    return arguments


def check_schedule(training: TrainingConfig, stage: StageName, n_steps: int) -> None:
    """Check that a stage's learning-rate schedule can be built for its steps.

    Raises:
        ConfigError: lr_scheduler_kwargs do not fit lr_scheduler, or ask for more decay steps than the stage has.
    """
    name, arguments = training.lr_scheduler, training.lr_scheduler_kwargs
    if name.startswith("constant") and arguments:
        raise ConfigError(
            "training.lr_scheduler_kwargs: lr_scheduler={name} takes no arguments. Remove training.lr_scheduler_kwargs.",
            name=name,
        )
    n_warmup = math.ceil(training.warmup_ratio * n_steps)
    probe = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=training.rate_of(stage))
    try:
        get_scheduler(name, probe, n_warmup, n_steps, arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "training.lr_scheduler_kwargs does not fit training.lr_scheduler={name}: {reason}.{needs}",
            name=name,
            reason=str(error).splitlines()[0],
            needs=SCHEDULER_NEEDS.get(name, ""),
        ) from None
    n_decay = arguments.get("num_decay_steps")
    if isinstance(n_decay, int | float) and n_decay > n_steps - n_warmup:
        raise ConfigError(
            "training.lr_scheduler_kwargs.num_decay_steps is {n_decay}, but the {stage} stage has only {n_left} steps after its "
            "warm-up and would never reach its learning rate. Set num_decay_steps lower.",
            n_decay=n_decay,
            stage=stage,
            n_left=n_steps - n_warmup,
        )


def check_gpu(config: Config) -> None:
    """Check that there is a GPU if the configuration asks for one.

    Raises:
        ConfigError: there is none.
    """
    if lacks_gpu(config):
        raise ConfigError(
            "CUDA device {device_id} is not available to PyTorch (device.use_cuda, device.device_id). Set device.use_cuda=false "
            "to use the CPU, or install a CUDA build of PyTorch and check nvidia-smi.",
            device_id=config.device.device_id,
        )


@timed("start_up")
def start_process(config: Config, world_size: int) -> None:
    """Choose the device and, if there are several processes, join the process group.

    Raises:
        ConfigError: a tracker or, for several processes with nccl, a GPU is missing; or several processes were launched with
            distributed.use_ddp=false.
    """
    check_trackers(config)
    if world_size > 1 and config.distributed.backend == "nccl":
        check_gpu(config)  # otherwise a YAML from another machine goes on with the CPU (kronos.report.advice warns)
    on_cpu = runs_on_cpu(config)
    if world_size == 1:
        PartialState(cpu=on_cpu)
        return
    if config.distributed.use_ddp is False:
        raise ConfigError(
            "launched as {n_processes} processes, but distributed.use_ddp is false. Remove distributed.use_ddp, or launch with "
            "python instead of torchrun.",
            n_processes=world_size,
        )
    # nccl needs GPUs; on CPUs the backend is always gloo.
    PartialState(cpu=on_cpu, backend="gloo" if on_cpu else config.distributed.backend or "nccl")


def _num_workers(config: Config) -> int:
    """Return num_workers, but at most one for each core: more would only wait for each other."""
    return min(config.training.num_workers, os.cpu_count() or 1)
