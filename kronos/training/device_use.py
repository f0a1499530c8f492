"""The processor that trains: its random state, its memory and, for a GPU, what its driver tells."""

from contextlib import AbstractContextManager

import psutil
import torch
from accelerate import PartialState


def fork_random_state() -> AbstractContextManager[None]:
    """Restore the random states of the CPU and of this process's GPU after the body.

    PyTorch's own default sets up every GPU of the machine in every process, which takes memory on each.
    """
    device = PartialState().device
    if device.type == "cuda":
        return torch.random.fork_rng([device], device_type="cuda")
    return torch.random.fork_rng([] if device.type == "cpu" else None)


def measure_memory_mb(device: torch.device) -> float:
    """Peak GPU memory of this process on a CUDA device, else its resident memory, in MB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return float(psutil.Process().memory_info().rss) / 2**20


def measure_gpu(device: torch.device) -> dict[str, int]:
    """Return the GPU's utilisation (%) over the last second and its temperature (°C), where the driver tells them.

    PyTorch asks the driver through the package nvidia-ml-py. Without it, or without a GPU, there are no figures.
    """
    if device.type != "cuda":
        return {}
    try:
        return {
            "gpu_utilisation_percent": torch.cuda.utilization(device),
            "gpu_temperature_c": torch.cuda.temperature(device),
        }
    except Exception:  # the package is missing, or the driver refuses; each has an exception of its own
        return {}
