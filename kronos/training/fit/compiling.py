"""Whether to compile a stage's model with torch.compile: chosen once, when the stage starts (training.torch_compile)."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from torch import nn

from kronos.config import Config
from kronos.config.training import AUTO
from kronos.errors import first_line
from kronos.stage_record import StageRecord
from kronos.training.saved.stage_settings import COMPILE_KEY

logger = logging.getLogger(__name__)

# Small takes 31 s to compile on an H100 (8 blocks), and half of its step of 44 ms is saved there. Other models are not
# measured, so less is expected.
SECONDS_A_BLOCK = 4.0
SHARE_SAVED = 0.4


@dataclass(frozen=True)
class CompileChoice:
    """Whether a stage's model is compiled, and why. Seconds are estimates for the whole stage.

    reason: "on" and "off" as set; of auto: "cpu", "repays", "too_few_steps", or "no_compiler".
    obstacle: with "no_compiler", PyTorch's message.
    """

    compiles: bool
    reason: Literal["on", "off", "cpu", "repays", "too_few_steps", "no_compiler"]
    saved_seconds: float = 0.0
    compile_seconds: float = 0.0
    obstacle: str = ""

    @property
    def gained_seconds(self) -> float:
        """How much sooner the stage ends than its step without compiling shows."""
        return self.saved_seconds - self.compile_seconds if self.reason == "repays" else 0.0


def choose_compiling(config: Config, model: nn.Module, step_seconds: float, n_steps: int) -> CompileChoice:
    """Choose whether to compile a model. All ranks must call this, with the same arguments.

    Args:
        step_seconds: what a step takes; not compiled, with auto.
        n_steps: of the whole stage.
    """
    wanted = config.training.torch_compile
    if not isinstance(wanted, str):
        return CompileChoice(wanted, "on" if wanted else "off")
    if PartialState().device.type != "cuda":
        return CompileChoice(False, "cpu")
    n_blocks = sum(name.endswith("attn") for name, _ in model.named_modules())
    saved, takes = SHARE_SAVED * step_seconds * n_steps, SECONDS_A_BLOCK * n_blocks
    if saved <= takes:
        return CompileChoice(False, "too_few_steps", saved, takes)
    if obstacle := next(filter(None, gather_object([_find_obstacle()])), ""):
        return CompileChoice(False, "no_compiler", obstacle=obstacle)
    return CompileChoice(True, "repays", saved, takes)


def settle_compiling(
    config: Config, record: StageRecord, model: nn.Module, measure_step: Callable[[], float], n_steps: int
) -> tuple[Config, StageRecord]:
    """Return the configuration with torch_compile on or off, and the record of the stage, which keeps the choice.

    A resumed stage keeps the choice in its record. Otherwise auto is settled here, by the slowest of all ranks.

    Args:
        measure_step: measures the seconds of a step that is not compiled.
    """
    config = keep_choice(config, record)
    if config.training.torch_compile != AUTO:
        return config, record
    choice = CompileChoice(False, "cpu")
    if PartialState().device.type == "cuda":
        choice = choose_compiling(config, model, max(gather_object([measure_step()])), n_steps)
    if choice.obstacle:
        logger.warning(
            "%s  torch_compile is off, because PyTorch cannot compile here (%s). Install a C compiler and Triton.",
            *(record.stage, choice.obstacle),
        )
    elif choice.reason != "cpu":
        logger.debug(
            "%s  torch_compile is %s: over %s steps it saves about %.0f s, and compiling takes about %.0f s",
            *(record.stage, "on" if choice.compiles else "off", f"{n_steps:,}"),
            *(choice.saved_seconds, choice.compile_seconds),
        )
    settings = record.settings | ({COMPILE_KEY: choice.compiles} if COMPILE_KEY in record.settings else {})
    return config.override({COMPILE_KEY: choice.compiles}), record.model_copy(update={"settings": settings})


def keep_choice(config: Config, record: StageRecord | None) -> Config:
    """Return the configuration with what was chosen when a stage started, if that is known."""
    chosen = record.settings.get(COMPILE_KEY, AUTO) if record else AUTO
    return config if chosen == AUTO else config.override({COMPILE_KEY: chosen})


@contextmanager
def fall_back_to_eager(on: bool) -> Iterator[None]:
    """Compute without compiling, with a warning of PyTorch, what it fails to compile in the body."""
    if not on:
        yield
        return
    import torch._dynamo  # takes a second

    with torch._dynamo.config.patch(suppress_errors=True):
        yield


def _find_obstacle() -> str:
    """Compile a small function on the device; return why that failed, or an empty text."""
    try:
        torch.compile(lambda x: (2 * x + 1).sum())(torch.ones(8, device=PartialState().device))
    except Exception as error:  # of Triton, of the C compiler or of PyTorch
        return first_line(error)
    return ""
