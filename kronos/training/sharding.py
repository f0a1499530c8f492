"""`distributed.strategy: fsdp`: each process holds a share of the model's weights, gradients and optimizer state (FSDP2)."""

import logging
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType, PartialState
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from transformers import TrainingArguments

from kronos.config import Config
from kronos.errors import ConfigError
from kronos.model.layers import TransformerBlock
from kronos.model.pretrained import PretrainedModel

logger = logging.getLogger(__name__)

SHARDED_WEIGHTS = "pytorch_model_fsdp_0"  # the Trainer's name for a folder in a checkpoint


def is_sharded(config: Config) -> bool:
    """Whether this run shards its models; a process alone has nobody to share with."""
    return config.distributed.strategy == "fsdp" and int(PartialState().num_processes) > 1


def check_sharding(config: Config, world_size: int) -> None:
    """Check that what is asked for beside `distributed.strategy: fsdp` works with it, and say what is done.

    Raises:
        ConfigError: it does not.
    """
    if config.distributed.strategy != "fsdp":
        return
    if world_size == 1:
        logger.warning(
            "distributed.strategy is fsdp, but this is one process: it holds the whole model (docs/scaling.md)"
        )
        return
    training, beside_gpus = config.training, torch.cuda.is_available()
    clashes = {
        "training.lora": training.lora is not None,
        "training.torch_compile": training.torch_compile,
        "training.auto_find_batch_size": training.auto_find_batch_size,
        "training.precision=fp16": training.precision == "fp16",
        f"training.best_by={training.best_by}": training.best_by != "loss",
        "device.use_cuda=false (where there are GPUs)": beside_gpus and config.device.use_cuda is False,
        "distributed.backend=gloo (on GPUs)": beside_gpus and config.distributed.backend == "gloo",
    }
    if asked_for := [key for key, is_on in clashes.items() if is_on]:
        raise ConfigError(
            f"distributed.strategy=fsdp does not work together with {', '.join(asked_for)}: leave out one or the other "
            "(strategy ddp works with them)."
        )
    logger.info("distributed.strategy=fsdp: each of %d processes holds a share of the model", world_size)


def sharding_arguments(config: Config) -> dict[str, Any]:
    """Return the training arguments that shard the model block by block; none where it is not sharded."""
    if not is_sharded(config):
        return {}
    settings = {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "transformer_layer_cls_to_wrap": [TransformerBlock.__name__],
        "reshard_after_forward": True,
        # Each process writes its own share of a checkpoint: nobody has to hold the whole.
        "state_dict_type": "SHARDED_STATE_DICT",
    }
    return {"fsdp": True, "fsdp_config": settings}


def prepare_sharding(args: TrainingArguments) -> None:
    """Add to a stage's arguments what TrainingArguments has no words for; nothing where the model is not sharded."""
    if args.fsdp_plugin_args is None:
        return
    # bf16 weights, or autocast would keep a whole bf16 copy of them for the backward pass; sums of gradients in float32.
    dtype = torch.bfloat16 if args.bf16 else None
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    args.fsdp_plugin_args["mixed_precision_policy"] = policy
    state = PartialState()
    if state.distributed_type == DistributedType.MULTI_CPU:
        # Accelerate shards on accelerators only, and would quietly fall back to DDP; PyTorch shards over gloo as well.
        state.distributed_type = DistributedType.MULTI_GPU


def compute_in_bf16(model: nn.Module, device: torch.device) -> None:
    """Let a model that is about to be sharded compute under autocast, so that its losses are in float32.

    Accelerate does this for every strategy but FSDP2, where the loss would be rounded to 8 bits of mantissa.
    """
    model.forward = torch.autocast(device.type, torch.bfloat16)(model.forward)


def gather_model(model: PretrainedModel) -> PretrainedModel:
    """Return the model as a plain one with all its weights; every rank must call this.

    Of a sharded model rank 0 gets the weights, in main memory; the other ranks get a model without.
    """
    if not isinstance(model, FSDPModule):
        return model
    weights: Any = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    plain_class: Any = next(base for base in type(model).__mro__ if not issubclass(base, FSDPModule))
    config: Any = model._hub_mixin_config
    with torch.device("meta"):
        plain: PretrainedModel = plain_class(**config)
    if weights:
        # Rows that do not divide among the ranks come in padded memory, which safetensors refuses to write.
        plain.load_state_dict({name: weight.clone() for name, weight in weights.items()}, assign=True)
    return plain


def check_resumable(checkpoint: Path, config: Config) -> None:
    """Check that a checkpoint was written with the strategy that it is to be read with.

    Raises:
        ConfigError: it was not; the two have other files.
    """
    was_sharded = (checkpoint / SHARDED_WEIGHTS).is_dir()
    if was_sharded == is_sharded(config):
        return
    before, now = ("several processes with", "without") if was_sharded else ("without", "several processes with")
    raise ConfigError(
        f"{checkpoint}: was written by {before} distributed.strategy=fsdp and cannot be resumed {now} it. Restore the strategy "
        "and the launch line, or run without --skip-existing to start anew (what is there is set aside)."
    )
