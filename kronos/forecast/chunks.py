"""Splitting work into chunks that fit the memory."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import psutil
import torch
from torch import nn

from kronos.errors import ConfigError
from kronos.model import Kronos, KronosTokenizer
from kronos.model.layers import TransformerBlock

CPU_LIMIT = 2**30  # bytes; larger chunks are no faster on a CPU
GROUP, GROUP_ON_GPU = 16, 128  # series; a GPU is not busy with few
ALLOCATOR_SLACK = 2.0  # covers what the estimate does not count


def choose_group_size(device: torch.device) -> int:
    """Return how many of many series are forecast together, then written, to lose little if interrupted."""
    return GROUP_ON_GPU if device.type == "cuda" else GROUP


class Chunk(NamedTuple):
    """Some series, by their positions in the list, and some of their paths."""

    series: list[int]
    paths: slice


class Footprint(NamedTuple):
    """Bytes used while decoding, for each known token of a series and for each path."""

    token: int
    path: int


def estimate_footprint(tokenizer: KronosTokenizer, model: Kronos, max_context: int, horizon: int) -> Footprint:
    """Estimate the memory of decoding from the widths of the two models."""
    size = next(model.parameters()).element_size()
    d_model, n_layers = model.norm.weight.shape[0], len(model.transformer) + 1
    cached = 2 * n_layers * d_model * size  # keys and values of one token
    widest = max(block.ffn.w1.out_features for block in _blocks(model.transformer))
    activations = (6 * d_model + 3 * widest) * size
    n_heads = max(block.self_attn.n_heads for block in _blocks([*model.transformer, *tokenizer.decoder]))
    scores = 4 * n_heads * horizon * max_context * 4  # the tokenizer decodes a path's horizon at once
    decoded = horizon * tokenizer.head.in_features * 4 * (2 * len(tokenizer.decoder) + 12)
    logits = 6 * 4 * 2 ** max(model.s1_bits, model.s2_bits)
    return Footprint(
        int(ALLOCATOR_SLACK * (cached + activations)),
        int(ALLOCATOR_SLACK * (horizon * cached + scores + decoded + logits)),
    )


def _blocks(modules: Iterable[nn.Module]) -> Iterator[TransformerBlock]:
    return (module for module in modules if isinstance(module, TransformerBlock))


def measure_budget(device: torch.device) -> int:
    """Return how many bytes one chunk may use on a device."""
    if device.type == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # reserved by PyTorch, and free
        return (torch.cuda.mem_get_info(device)[0] + idle) // 2
    return min(CPU_LIMIT, psutil.virtual_memory().available // 4)


def measure_total(device: torch.device) -> int:
    """Return the bytes of a device's memory."""
    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total


@contextmanager
def translate_forecast_out_of_memory() -> Iterator[None]:
    """Turn a GPU's out-of-memory error into a ConfigError."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise ConfigError(
            "the device has too little memory for this forecast. Free some, sample fewer paths, or choose device='cpu'."
        ) from None


def check_room(shape: tuple[int, ...]) -> None:
    """Check that sampled paths of this shape, in float64, fit into memory with room for copies.

    Raises:
        ConfigError: they do not.
    """
    wanted, free = 8 * math.prod(shape), psutil.virtual_memory().available
    if wanted > free // 4:  # forecasts, their quantiles and tables are copies
        raise ConfigError(
            "{n_series:,} series × {n_paths:,} paths × {horizon:,} candles take {wanted:,.1f} GiB, but only {free:,.1f} GiB "
            "are free. Sample fewer paths, or forecast fewer series at a time.",
            n_series=shape[0],
            n_paths=shape[1],
            horizon=shape[2],
            wanted=wanted / 2**30,
            free=free / 2**30,
        )


def plan_chunks(lengths: Sequence[int], n_paths: int, footprint: Footprint, budget: int) -> Iterator[Chunk]:
    """Yield chunks that together cover every path of every series. The series of a chunk are of similar length.

    Args:
        lengths: the number of known tokens of each series.
        budget: bytes of one chunk, which holds at least one path of one series.
    """
    order = sorted(range(len(lengths)), key=lambda i: lengths[i], reverse=True)
    while order:
        prefix = lengths[order[0]] * footprint.token  # the longest; the others are padded to it
        n_series = max(budget // (prefix + n_paths * footprint.path), 1)
        n_together = n_paths if n_series > 1 else min(max((budget - prefix) // footprint.path, 1), n_paths)
        for first in range(0, n_paths, n_together):
            yield Chunk(order[:n_series], slice(first, min(first + n_together, n_paths)))
        order = order[n_series:]
