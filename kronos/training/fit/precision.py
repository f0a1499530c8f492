"""The device and the precision that the models compute with."""

from typing import Literal

import torch

from kronos.config import Config


def choose_precision(config: Config) -> Literal["fp32", "bf16", "fp16"]:
    """Return the precision to compute in; weights and optimizer state are always float32."""
    if config.training.precision != "auto":
        return config.training.precision
    return "bf16" if _multiplies_bf16(on_cpu=runs_on_cpu(config)) else "fp32"


def _multiplies_bf16(on_cpu: bool) -> bool:
    """Whether the processor multiplies bfloat16 natively; emulated, it is slower than float32."""
    if not on_cpu:
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def runs_on_cpu(config: Config) -> bool:
    """Whether to compute on the CPU. Accelerate needs this explicitly, or it would not average gradients between CPUs."""
    if config.device.use_cuda is False:
        return True
    return not (torch.cuda.is_available() or torch.backends.mps.is_available())


def lacks_gpu(config: Config) -> bool:
    """Whether the configuration asks for a CUDA device that this machine, or this PyTorch, does not have."""
    device = config.device
    wants_cuda = device.use_cuda or (device.use_cuda is None and device.device_id > 0)
    return bool(wants_cuda) and not torch.cuda.is_available()
