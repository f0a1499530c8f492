"""The device, number type and mode in which the models compute. The caller's own models never change."""

import copy
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from kronos.errors import CheckpointError, ConfigError
from kronos.model import Kronos, KronosTokenizer
from kronos.names import Message

COMPILERS = ("g++", "clang++", "c++", "cl")
DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
MODES = threading.RLock()

Module = TypeVar("Module", bound=nn.Module)


def place_models(
    model: Kronos,
    tokenizer: KronosTokenizer,
    device: str | torch.device | None,
    dtype: str | torch.dtype | None,
    compile: bool,
) -> tuple[torch.device, Kronos, KronosTokenizer]:
    """Return the device to compute on, and the models there: the same, or a copy if they must change.

    Raises:
        ConfigError: there is no such device or type, or no compiler. CheckpointError: a weight is not finite.
    """
    for module in (model, tokenizer):
        if not all(parameter.isfinite().all() for parameter in module.parameters()):
            raise CheckpointError(
                "the {kind} has weights that are not finite: its training diverged. Train it again with a smaller "
                "learning rate.",
                kind=type(module).__name__,
            )
    chosen = choose_device(device, next(model.parameters()).device)
    wanted = next(model.parameters()).dtype if dtype is None else _choose_dtype(dtype)
    placed = _place(model, chosen, wanted)
    if compile:
        if not any(map(shutil.which, COMPILERS)):
            raise ConfigError(
                "compile=True needs a C++ compiler ({compilers}), and none is installed.",
                compilers=", ".join(COMPILERS),
            )
        if not has_static_decoders(chosen):  # which compile the blocks of their own copy
            placed = copy.deepcopy(model) if placed is model else placed
            for block in placed.transformer:  # one graph is compiled for all of them
                block.compile(dynamic=True)
    return chosen, placed, _place(tokenizer, chosen, next(tokenizer.parameters()).dtype)


def has_static_decoders(device: torch.device) -> bool:
    """Whether decoding in buffers of fixed shape is faster on a device: where CUDA graphs can replay its steps."""
    return device.type == "cuda"


def choose_device(device: str | torch.device | None, fallback: torch.device | str = "cpu") -> torch.device:
    """Return the device asked for; for None or "auto", a GPU if there is one, else the fallback.

    Raises:
        ConfigError: there is no such device.
    """
    if device is None or device == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return torch.empty(1, device=accelerator or fallback).device
    try:
        chosen = torch.empty(1, device=device).device  # with its number: cuda becomes cuda:0
        if chosen.type != "meta":
            return chosen
        reason = "it holds no numbers"
    except (RuntimeError, AssertionError, TypeError, ImportError) as error:
        reason = str(error).split(",")[0].splitlines()[0]
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    raise ConfigError(
        "the device {device!r} cannot be used ({reason}). This machine has {devices}; auto takes a GPU if there is one.",
        device=str(device),
        reason=reason,
        devices=Message.join([accelerator.type, "cpu"], " and ") if accelerator else "cpu",
    )


@contextmanager
def eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Switch dropout off, then restore the mode of each module. Threads take turns, as they may share modules."""
    with MODES:
        modes = [(part, part.training) for module in modules for part in module.modules()]
        try:
            for module in modules:
                module.eval()
            yield
        finally:
            for part, mode in modes:
                part.training = mode


def _choose_dtype(dtype: str | torch.dtype) -> torch.dtype:
    for name, known in DTYPES.items():
        if isinstance(dtype, str | torch.dtype) and dtype in (name, known):
            return known
    raise ConfigError("dtype must be one of {known}; got {dtype!r}.", known=", ".join(DTYPES), dtype=dtype)


def _place(module: Module, device: torch.device, dtype: torch.dtype) -> Module:
    weight = next(module.parameters())
    if weight.device == device and weight.dtype == dtype:
        return module
    return copy.deepcopy(module).to(device, dtype)
