"""Read the files of a checkpoint in one place. Whatever is malformed is a CheckpointError, and nothing in it is executed.

A seal shows damage only: whoever can write a checkpoint can seal it again.
"""

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import TrainerState
from transformers.trainer_pt_utils import safe_globals

from kronos.errors import CheckpointError, first_line
from kronos.model.stored.weights import read_weights
from kronos.training.saved.checkpoints import step_of

WEIGHTS, OPTIMIZER, SCHEDULER, SCALER = "model.safetensors", "optimizer.pt", "scheduler.pt", "scaler.pt"
STATE, PROGRESS = "trainer_state.json", "progress.json"
ALWAYS_THERE = WEIGHTS, OPTIMIZER, SCHEDULER, STATE, PROGRESS
MAX_JSON_BYTES, MAX_JSON_BYTES_A_STEP = 1 << 24, 4096
MT_WORDS = 624  # of the Mersenne Twister's state


class Progress(BaseModel):
    """The loss summed since the last logged step."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    loss: float
    last_logged: int = Field(ge=0)


class _State(BaseModel):
    """The types of what the Trainer reads in trainer_state.json."""

    model_config = ConfigDict(strict=True)

    global_step: int = Field(ge=0)
    epoch: float = Field(ge=0, allow_inf_nan=False)
    max_steps: int
    num_train_epochs: int
    logging_steps: float
    eval_steps: float
    save_steps: float
    train_batch_size: int = Field(ge=1)
    num_input_tokens_seen: int = 0
    total_flos: float = 0.0
    log_history: list[dict[str, float]]
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    stateful_callbacks: dict[str, Any] = {}


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Translate whatever a reader raises on a malformed or missing file.

    Raises:
        CheckpointError: the body could not read the file.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        reason = first_line(error).removeprefix(f"{path}: ").rstrip(".")
        raise CheckpointError(
            "{path}: missing or malformed ({reason:.200}). Remove the folder {folder} to resume from the checkpoint before it, or "
            "run without --skip-existing to train the stage again (the old files are moved aside).",
            path=path,
            reason=reason,
            folder=path.parent,
        ) from error


def check_checkpoint(checkpoint: Path) -> None:
    """Check that the files are there, and read those that need no model.

    Raises:
        CheckpointError: a file is missing or malformed.
    """
    for name in ALWAYS_THERE:
        with reading(checkpoint / name):
            _check_regular(checkpoint / name)
    with reading(checkpoint / "rng_state.pth"):
        _require(any(checkpoint.glob("rng_state*.pth")), "no such file")
    read_state(checkpoint)
    read_progress(checkpoint)


def read_state(checkpoint: Path) -> TrainerState:
    """Read the Trainer's state; it must belong to the step in the folder's name."""
    path = checkpoint / STATE
    with reading(path):
        state = _State.model_validate_json(_read_text(path))
        step = step_of(checkpoint)
        _require(state.global_step == step, f"global_step is {state.global_step}, should be {step}")
        steps = [entry["step"] for entry in state.log_history]
        _require(all(0 <= each <= step for each in steps), "log_history has steps after this one")
        loaded: TrainerState = TrainerState.load_from_json(str(path))
        return loaded


def read_progress(checkpoint: Path) -> Progress:
    path = checkpoint / PROGRESS
    with reading(path):
        progress = Progress.model_validate_json(_read_text(path))
        _require(progress.last_logged <= step_of(checkpoint), "last_logged is after this step")
        return progress


def load_weights(checkpoint: Path, model: nn.Module) -> None:
    with reading(checkpoint / WEIGHTS):
        model.load_state_dict(read_weights(checkpoint / WEIGHTS, model.state_dict(), type(model).__name__))


def load_optimizer(checkpoint: Path, optimizer: Optimizer) -> None:
    """Load the moments and learning rates; all other settings are the configuration's."""
    path = checkpoint / OPTIMIZER
    with reading(path):
        stored, own = _read_tensors(path), optimizer.state_dict()
        groups = []
        for mine, theirs in zip(own["param_groups"], stored["param_groups"], strict=True):
            _require(mine["params"] == theirs["params"], "other parameters")
            rates = {key: mine[key] for key in ("lr", "initial_lr") if key in mine}
            groups.append(mine | _take_like(rates, theirs))
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        for number, moments in stored["state"].items():
            _check_moments(moments, parameters[number], step_of(checkpoint))
        all_skipped = not stored["state"] and (checkpoint / SCALER).is_file()  # fp16 skips steps that overflow
        _require(all_skipped or len(stored["state"]) == len(parameters), "not all parameters have a state")
        optimizer.load_state_dict({"state": stored["state"], "param_groups": groups})


def _check_moments(moments: Mapping[str, Any], parameter: Tensor, step: int) -> None:
    _require({"step", "exp_avg", "exp_avg_sq"} <= moments.keys(), "a parameter without moments")
    for name, each in moments.items():
        shape = torch.Size() if name == "step" else parameter.shape
        _require(each.shape == shape and each.is_floating_point(), f"{name} has another shape or type")
        _require(bool(torch.isfinite(each).all()), f"{name} is not finite")
        _require(not name.endswith("_sq") or bool((each >= 0).all()), f"{name} is negative")
    _require(0 <= moments["step"].item() <= step, "a step after this one")


def load_scheduler(checkpoint: Path, scheduler: Any) -> None:
    """Load how far a schedule is."""
    path = checkpoint / SCHEDULER
    with reading(path):
        state = _take_like(scheduler.state_dict(), _read_tensors(path))
        _require(0 <= state["last_epoch"] <= step_of(checkpoint) + 1, "last_epoch is after this step")  # one step ahead
        scheduler.load_state_dict(state)


def load_scaler(checkpoint: Path, scaler: Any) -> None:
    """Load the loss scale of fp16."""
    with reading(checkpoint / SCALER):
        state = _take_like(scaler.state_dict(), _read_tensors(checkpoint / SCALER))
        _require(not state or state["scale"] > 0, "scale is not above 0")
        scaler.load_state_dict(state)


def check_random_state(path: Path) -> None:
    """Check a file of random states. NumPy accepts a position behind the end and reads there."""
    with reading(path):
        stored = _read_tensors(path)
        kind, words, position, has_gauss, gauss = stored["numpy"]
        is_array = isinstance(words, np.ndarray) and words.shape == (MT_WORDS,) and words.dtype == np.uint32
        _require(kind == "MT19937" and is_array and 0 <= int(position) <= MT_WORDS, "NumPy's state is none")
        _require(int(has_gauss) in (0, 1) and math.isfinite(gauss), "NumPy's state is none")
        version, numbers, _ = stored["python"]
        _require(version == 3 and len(numbers) == MT_WORDS + 1, "Python's state is none")
        cpu = stored["cpu"]
        _require(cpu.dtype == torch.uint8 and cpu.shape == torch.get_rng_state().shape, "PyTorch's state is none")


def _read_tensors(path: Path) -> Any:
    """Read what torch.save wrote: tensors, numbers and texts in an uncompressed zip file, never objects of other classes."""
    _check_regular(path)
    with zipfile.ZipFile(path) as archive:
        _require(all(each.compress_type == zipfile.ZIP_STORED for each in archive.infolist()), "compressed")
    with safe_globals():  # type: ignore[no-untyped-call]
        return torch.load(path, map_location="cpu", weights_only=True)


def _read_text(path: Path) -> str:
    _check_regular(path)
    most = MAX_JSON_BYTES + MAX_JSON_BYTES_A_STEP * step_of(path.parent)
    _require(path.stat().st_size <= most, "too large")
    return path.read_text(encoding="utf-8")


def _check_regular(path: Path) -> None:
    _require(path.is_file(), "no such file")


def _require(is_right: bool, reason: str) -> None:
    if not is_right:
        raise ValueError(reason)


def _take_like(own: Any, stored: Any) -> Any:
    """Return the stored numbers in the structure of one's own; what is no number stays one's own."""
    if isinstance(own, dict):
        return {key: _take_like(each, stored[key]) if key in stored else each for key, each in own.items()}
    if isinstance(own, list | tuple):
        return type(own)(_take_like(mine, theirs) for mine, theirs in zip(own, stored, strict=True))
    if isinstance(own, bool) or not isinstance(own, int | float):
        return own
    is_number = isinstance(stored, int | float) and not isinstance(stored, bool)
    is_right = (
        is_number and (math.isfinite(stored) or stored == own) and (isinstance(own, float) or stored == int(stored))
    )
    _require(is_right, f"{stored!r:.40} is no such number")
    return stored
