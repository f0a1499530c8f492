"""Where the models compute, in which type and mode, without touching the caller's own."""

import copy
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import nn

from kronos.errors import ConfigError
from kronos.model import Kronos, KronosTokenizer

COMPILERS = ("g++", "clang++", "c++", "cl")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

Module = TypeVar("Module", bound=nn.Module)


def place_models(
    model: Kronos,
    tokenizer: KronosTokenizer,
    device: str | torch.device | None,
    dtype: str | torch.dtype | None,
    compile: bool,
) -> tuple[torch.device, Kronos, KronosTokenizer]:
    """Return the device to compute on and the models there; what must be changed is changed in a copy.

    Raises:
        ConfigError: there is no such device or type, or nothing to compile with.
    """
    chosen = choose_device(device, next(model.parameters()).device)
    wanted = next(model.parameters()).dtype if dtype is None else _choose_dtype(dtype)
    placed = _place(model, chosen, wanted)
    if compile:
        if not any(map(shutil.which, COMPILERS)):
            raise ConfigError(f"compile=True needs a C++ compiler ({', '.join(COMPILERS)}), and none is installed.")
        placed = copy.deepcopy(model) if placed is model else placed
        for block in placed.transformer:  # one graph serves them all, compiled once
            block.compile(dynamic=True)
    return chosen, placed, _place(tokenizer, chosen, next(tokenizer.parameters()).dtype)


def choose_device(device: str | torch.device | None, fallback: torch.device | str = "cpu") -> torch.device:
    """Return the device asked for; without one a GPU where there is one, else the fallback.

    Raises:
        ConfigError: there is no such device.
    """
    if device is None:
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return torch.device(fallback) if accelerator is None else accelerator
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"the device {device!r} cannot be used: {reason} Choose cpu, cuda, cuda:1, mps or none."
        ) from None
    return chosen


@contextmanager
def eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Switch dropout off, and give each module its mode back."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        for module in modules:
            module.eval()
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _choose_dtype(dtype: str | torch.dtype) -> torch.dtype:
    chosen = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if chosen is None or not chosen.is_floating_point:
        raise ConfigError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}.")
    return chosen


def _place(module: Module, device: torch.device, dtype: torch.dtype) -> Module:
    weight = next(module.parameters())
    if weight.device == device and weight.dtype == dtype:
        return module
    return copy.deepcopy(module).to(device, dtype)
