from pathlib import Path

import pytest
import torch
from accelerate import PartialState

from kronos.config import load_config
from kronos.errors import ConfigError
from kronos.training.arguments import build_arguments, start_process
from kronos.training.fit.precision import lacks_gpu, runs_on_cpu


@pytest.mark.parametrize(
    ("stage", "epochs", "rate", "max_grad_norm"), [("tokenizer", 3, 0.5, 2.0), ("basemodel", 4, 0.25, 3.0)]
)
def test_each_key_reaches_the_trainer(
    tiny_config: Path, tmp_path: Path, stage: str, epochs: int, rate: float, max_grad_norm: float
) -> None:
    PartialState(cpu=True)
    overrides = [
        "tokenizer_epochs=3",
        "basemodel_epochs=4",
        "tokenizer_learning_rate=0.5",
        "predictor_learning_rate=0.25",
    ]
    overrides += ["adam_beta1=0.7", "adam_beta2=0.8", "adam_weight_decay=0.9", "batch_size=12", "accumulation_steps=3"]
    overrides += ["seed=5", "log_interval=7", "save_steps=11", "num_workers=1"]
    config = load_config(tiny_config, [f"training.{override}" for override in overrides])
    arguments = build_arguments(config, stage, tmp_path, evaluate_first=True)
    assert (arguments.num_train_epochs, arguments.learning_rate, arguments.max_grad_norm) == (
        epochs,
        rate,
        max_grad_norm,
    )
    assert (arguments.adam_beta1, arguments.adam_beta2, arguments.weight_decay) == (0.7, 0.8, 0.9)
    assert (arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps) == (4, 3)
    assert (arguments.seed, arguments.logging_steps, arguments.save_steps) == (5, 7, 11)
    assert arguments.save_strategy == "steps" and arguments.dataloader_num_workers == 1
    assert arguments.optim == "adamw_torch_fused" and arguments.report_to == []
    assert arguments.lr_scheduler_type == "cosine" and arguments.get_warmup_steps(1000) == 30
    assert arguments.tf32 is False
    assert not arguments.dataloader_drop_last  # it would cut the validation too


def test_use_ddp_false_under_torchrun_is_refused(tiny_config: Path) -> None:
    with pytest.raises(ConfigError, match=r"launched as 2 processes, but distributed\.use_ddp is false"):
        start_process(load_config(tiny_config, ["distributed.use_ddp=false"]), world_size=2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there(tiny_config: Path) -> None:
    """A YAML that asks for it goes on with the CPU; nccl, which several processes need, has none."""
    for override in ("device.use_cuda=true", "device.device_id=3"):
        config = load_config(tiny_config, [override])
        assert lacks_gpu(config) and runs_on_cpu(config)
        start_process(load_config(tiny_config, [override, "distributed.backend=nccl"]), world_size=1)
        with pytest.raises(ConfigError, match=r"is not available to PyTorch .* Set device\.use_cuda=false"):
            start_process(load_config(tiny_config, [override, "distributed.backend=nccl"]), world_size=2)
    assert not lacks_gpu(load_config(tiny_config, ["device.use_cuda=false", "device.device_id=3"]))
