"""How much of the processor that trains is in use: memory and, for a GPU, what its driver tells."""

import psutil
import torch


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
