"""Running out of memory: explain what to lower, or avoid it by computing a batch in more parts."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState

from kronos.config import Config
from kronos.data import WindowDataset
from kronos.data.windows.dataset import Batch, PrepareBatch
from kronos.errors import KronosError
from kronos.model import KronosTokenizer
from kronos.model.pretrained import PretrainedModel
from kronos.names import Message
from kronos.training.device_use import fork_random_state
from kronos.training.fit.precision import choose_precision

logger = logging.getLogger(__name__)

LOST_WORKER = re.compile(r"DataLoader worker .*(killed|exited unexpectedly)")
N_TIMED = 4  # parts, the first of which warms up
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the GPU or the machine is out of memory."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("can't allocate memory" in str(error) or "out of memory" in str(error))
    )


@contextmanager
def translate_out_of_memory(config: Config, stage: str) -> Iterator[None]:
    """Translate an out-of-memory error into advice on what to lower.

    Raises:
        KronosError: the body ran out of memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if LOST_WORKER.search(str(error)):
            raise KronosError(
                "{stage}: a process that loads windows was killed, perhaps for lack of memory. Lower training.num_workers. The "
                "last checkpoint, if any, is kept. ({reason})",
                stage=stage,
                reason=str(error).splitlines()[0],
            ) from error
        if not is_out_of_memory(error):
            raise
        raise KronosError(
            "{stage}: out of memory. {remedies}. The last checkpoint, if any, is kept. Rerun with --skip-existing to resume from "
            "it. ({reason})",
            stage=stage,
            remedies=Message.join(_list_remedies(config), "; "),
            reason=str(error).strip().splitlines()[0] if str(error) else "MemoryError",
        ) from error


def _list_remedies(config: Config) -> list[Message]:
    training = config.training
    remedies = []
    if training.accumulation_steps < training.batch_size:
        template = (
            "Set training.accumulation_steps={n} (or training.auto_find_batch_size=true): the same result, with batches of {whole} "
            "computed in smaller parts"
        )
        if finds_micro_batch(config):
            template = "Set training.accumulation_steps={n}: the same result, with batches of {whole} computed in smaller parts"
        remedies.append(Message(template, n=next_accumulation(config), whole=training.batch_size))
    if not training.gradient_checkpointing:
        remedies.append(Message("set training.gradient_checkpointing=true (the same result, but slower)"))
    if training.precision == "fp32":
        remedies.append(Message("set training.precision=auto"))
    remedies.append(Message("lower training.batch_size or data.lookback_window, or use a smaller model"))
    return remedies


def next_accumulation(config: Config) -> int:
    """Return the next larger number of equal parts that a batch can be computed in."""
    training = config.training
    larger = range(training.accumulation_steps + 1, training.batch_size + 1)
    return next(
        (n for n in larger if training.batch_size % n == 0 and n >= 2 * training.accumulation_steps),
        training.batch_size,
    )


def find_micro_batch(
    config: Config, stage: str, model: PretrainedModel, windows: WindowDataset, prepare_batch: PrepareBatch
) -> Config:
    """Raise accumulation_steps until one part of a batch fits into memory on every process.

    Raises:
        KronosError: not even one window fits.
    """
    precision = PRECISIONS[choose_precision(config)]

    def try_part() -> None:
        part = config.training.batch_size // config.training.accumulation_steps
        _compute_part(model, windows.__getitems__(range(part)), prepare_batch, precision)

    while not _fits_everywhere(try_part):
        if config.training.accumulation_steps == config.training.batch_size:
            with translate_out_of_memory(config, stage):
                raise MemoryError("a single window does not fit")
        n_parts = next_accumulation(config)
        logger.info("%s  out of memory, trying training.accumulation_steps=%d", stage, n_parts)
        config = config.override({"training.accumulation_steps": n_parts})
    return config


def finds_micro_batch(config: Config) -> bool:
    """Whether training.auto_find_batch_size is on; by default it is on a GPU."""
    wanted = config.training.auto_find_batch_size
    return PartialState().device.type == "cuda" if wanted is None else wanted


def measure_step(config: Config, model: PretrainedModel, windows: WindowDataset, prepare_batch: PrepareBatch) -> float:
    """Measure the seconds that forward and backward of a batch take on this process, after one part as warm-up."""
    part = config.training.batch_size // config.training.accumulation_steps
    seconds = []
    for _ in range(N_TIMED):
        start = time.perf_counter()
        _compute_part(model, windows.__getitems__(range(part)), prepare_batch, PRECISIONS[choose_precision(config)])
        if PartialState().device.type != "cpu":
            torch.accelerator.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:]) * config.training.accumulation_steps


def _compute_part(model: PretrainedModel, batch: Batch, prepare_batch: PrepareBatch, precision: torch.dtype) -> None:
    """Compute forward and backward of a batch while holding as much memory as the optimizer will need."""
    device = PartialState().device
    model.to(device).train()
    batch = {key: value.to(device) if torch.is_tensor(value) else value for key, value in batch.items()}
    try:
        moments = [torch.empty_like(p) for p in model.parameters() if p.requires_grad for _ in range(2)]
        with fork_random_state(), torch.autocast(device.type, precision, enabled=precision != torch.float32):
            inputs = prepare_batch(batch, 0)
            if isinstance(model, KronosTokenizer):  # it reduces over ranks; here a rank may fail alone
                inputs["bit_mean"] = model.measure_batch(inputs["candles"]).detach()
            model(**inputs).loss.backward()
        del moments
    finally:
        model.zero_grad(set_to_none=True)


def _fits_everywhere(try_part: Callable[[], None]) -> bool:
    state = PartialState()
    fits = True
    try:
        try_part()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        fits = False
    if state.num_processes > 1:
        vote = torch.tensor(float(fits), device=state.device)
        torch.distributed.all_reduce(vote, torch.distributed.ReduceOp.MIN)
        fits = bool(vote.item())
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return fits
