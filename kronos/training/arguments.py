"""From our configuration to the arguments of `transformers.Trainer`."""

import math
import os
from pathlib import Path

import torch
from accelerate import PartialState
from transformers import TrainingArguments, get_scheduler

from kronos.config import Config
from kronos.config.training import ModelName, StageName, TrainingConfig
from kronos.errors import ConfigError
from kronos.training.fit.precision import choose_precision, runs_on_cpu
from kronos.training.trackers import check_trackers

SCHEDULER_NEEDS = {
    "warmup_stable_decay": " It needs num_decay_steps: the steps at the end in which the rate falls.",
    "cosine_with_min_lr": " It needs min_lr_rate: the share of the rate that is left at the end.",
}
MAX_GRAD_NORM = {"tokenizer": 2.0, "basemodel": 3.0, "lstm": 3.0}  # of the stages: as the published models were trained


def build_arguments(config: Config, stage: ModelName, output_dir: Path, evaluate_first: bool) -> TrainingArguments:
    """Build a stage's training arguments; evaluate_first validates before the first step."""
    training = config.training
    return TrainingArguments(
        output_dir=str(output_dir),
        run_name=f"{config.experiment.name}-{config.model_paths.exp_name}-{stage}",
        report_to="none",  # trackers.py does
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
        max_grad_norm=MAX_GRAD_NORM[stage],
        logging_steps=training.log_interval,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if training.eval_steps else "epoch",
        eval_steps=training.eval_steps,
        eval_on_start=evaluate_first,
        save_strategy="steps" if training.save_steps else "epoch",
        save_steps=training.save_steps or 500,
        save_total_limit=None,  # KronosTrainer removes the oldest, once the newest is whole
        bf16=choose_precision(config) == "bf16",
        fp16=choose_precision(config) == "fp16",
        torch_compile=training.torch_compile,
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
        disable_tqdm=True,  # our own progress bar and lines
        log_level="error",
    )


def check_schedule(training: TrainingConfig, stage: StageName, n_steps: int) -> None:
    """Check that a stage's learning-rate schedule can be built for its steps.

    Raises:
        ConfigError: lr_scheduler_kwargs do not suit lr_scheduler, or more steps are to decay than there are.
    """
    name, arguments = training.lr_scheduler, training.lr_scheduler_kwargs
    what = f"training.lr_scheduler_kwargs does not suit training.lr_scheduler={name}"
    if name.startswith("constant") and arguments:
        raise ConfigError(f"{what}, which takes none.")
    n_warmup = math.ceil(training.warmup_ratio * n_steps)
    probe = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=training.rate_of(stage))
    try:
        get_scheduler(name, probe, n_warmup, n_steps, arguments)
    except (TypeError, ValueError) as error:
        needs = SCHEDULER_NEEDS.get(name, "")
        raise ConfigError(f"{what}: {str(error).splitlines()[0]}.{needs}") from None
    if int(arguments.get("num_decay_steps", 0)) > n_steps - n_warmup:
        raise ConfigError(
            f"training.lr_scheduler_kwargs.num_decay_steps is {arguments['num_decay_steps']}, but the {stage} stage has "
            f"{n_steps - n_warmup} steps after its warm-up, so that it would never come to its learning rate: set it lower."
        )


def check_requirements(config: Config) -> None:
    """Check that the device and the trackers asked for are there.

    Raises:
        ConfigError: one is not.
    """
    device = config.device
    asked_for = device.use_cuda or (device.use_cuda is None and device.device_id > 0)
    if asked_for and not torch.cuda.is_available():
        raise ConfigError(
            f"CUDA device {device.device_id} is asked for (device.use_cuda, device.device_id), but PyTorch sees none of that "
            "number here: set device.use_cuda=false to compute on the CPU, or install a CUDA build of PyTorch and check "
            "nvidia-smi."
        )
    check_trackers(config)


def start_process(config: Config, world_size: int) -> None:
    """Note the device and, as one of world_size processes, join the process group.

    Raises:
        ConfigError: CUDA or a tracker is asked for and absent, or several processes were launched with distributed.use_ddp false.
    """
    check_requirements(config)
    on_cpu = runs_on_cpu(config)
    if world_size == 1:
        PartialState(cpu=on_cpu)
        return
    if config.distributed.use_ddp is False:
        raise ConfigError(
            f"launched as {world_size} processes, but distributed.use_ddp is false: set it to true (or leave it out), or "
            "launch with python instead of torchrun."
        )
    # nccl needs GPUs, so that on CPUs it is gloo whatever the file says.
    PartialState(cpu=on_cpu, backend="gloo" if on_cpu else config.distributed.backend or "nccl")


def _num_workers(config: Config) -> int:
    """As asked, but no more than there are cores: more only wait for each other."""
    return min(config.training.num_workers, os.cpu_count() or 1)
