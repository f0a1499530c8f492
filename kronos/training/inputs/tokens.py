"""The base model's inputs: windows as subtokens of a frozen tokenizer, computed for each batch or once and cached."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor

from kronos.candles import Array
from kronos.config import Config
from kronos.config.data import DataConfig
from kronos.config.training import TrainingConfig
from kronos.data import WindowDataset
from kronos.data.windows.dataset import Batch
from kronos.data.windows.splits import count_epoch_windows
from kronos.disk.temporaries import name_temporary
from kronos.model import KronosTokenizer
from kronos.model.pretrained import hash_weights
from kronos.names import Message
from kronos.progress.bars import Progress
from kronos.training.inputs.augment import Augmentation, send_drawn
from kronos.training.inputs.replay import ReplayDataset, list_parts
from kronos.training.inputs.token_cache import SUFFIX, TokenFile, prune_tokens

logger = logging.getLogger(__name__)

MAX_BITS = 15  # of a subtoken that int16 holds


class TokenInputs:
    """Prepares the base model's inputs: subtokens, encoded here if the batch has none, and noise to sample s1 in training.

    With training.teacher_forcing there is no noise: s2 is then predicted from the true s1.
    """

    def __init__(self, tokenizer: KronosTokenizer, training: TrainingConfig, data: DataConfig) -> None:
        self.tokenizer = tokenizer.eval()
        self._seed = training.seed
        self._teacher_forcing = training.teacher_forcing
        self._augment = Augmentation(training, data)
        weight = {"horizon": 0.0, "weighted": training.lookback_weight}.get(training.loss_on)
        horizon = {"n_horizon": data.predict_window}
        self._objective = {} if weight is None else horizon | {"lookback_weight": weight}
        self._validation = horizon | {"max_context": data.max_context}

    def __call__(self, batch: Batch, step: int | None) -> Batch:
        """Turn a batch of `WindowDataset` or `TokenDataset` into inputs.

        Args:
            batch: on the model's device, except "window": reading it back from a GPU would stall the training.
            step: None in validation, which uses no noise.
        """
        if "s1_ids" in batch:
            s1_ids, s2_ids = batch["s1_ids"], batch["s2_ids"]
        else:
            s1_ids, s2_ids = encode_candles(self.tokenizer, self._augment(batch, step)["candles"])
        inputs = {"s1_ids": s1_ids, "s2_ids": s2_ids, "stamp": batch["stamp"]}
        if step is None:
            return inputs | self._validation
        inputs |= self._objective | {key: batch[key] for key in ("n_known",) if key in batch}
        if self._teacher_forcing:
            return inputs
        noise = draw_token_noise(self._seed, step, batch["window"], s1_ids.shape[1] - 1)
        return inputs | {"s1_uniforms": send_drawn(noise, s1_ids.device)}


def encode_candles(tokenizer: KronosTokenizer, candles: Tensor) -> tuple[Tensor, Tensor]:
    """Encode normalised candles (B, T, 6) as s1, s2 (B, T), always in float32, as a forecast does."""
    with torch.no_grad(), torch.autocast(candles.device.type, enabled=False):
        return tokenizer.to(candles.device).encode(candles, half=True)


def draw_token_noise(seed: int, step: int, windows: Array, n_positions: int) -> Tensor:
    """Draw noise (B, T) in [0, 1) that depends on the window and the step only, not on the rank or the batch."""
    rows = [
        np.random.Generator(np.random.Philox(key=[seed, window], counter=step)).random(n_positions, dtype=np.float32)
        for window in windows.tolist()
    ]
    return torch.from_numpy(np.stack(rows))


class TokenDataset(WindowDataset):
    """The windows of a split as subtokens, memory-mapped from a file.

    A batch of B windows is a dict of
        s1_ids, s2_ids (B, T) int64;
        stamp and window, as in `WindowDataset`.
    """

    def __init__(self, windows: WindowDataset, file: TokenFile) -> None:
        super().__init__(windows.candles, windows.starts, windows.config, windows.symbol_bounds, windows.many_origins)
        self.file = file
        self.tokens = file.map()  # (N, 2, T) int16

    def __reduce__(self) -> tuple[object, ...]:
        _, arguments = super().__reduce__()
        return TokenDataset, (WindowDataset(*arguments), self.file)

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        rows = np.asarray(indices, np.int64)
        tokens: Array = np.ascontiguousarray(self.tokens[rows].transpose(1, 0, 2), np.int64)
        s1_ids, s2_ids = torch.from_numpy(tokens)
        return {"s1_ids": s1_ids, "s2_ids": s2_ids, **self._gather_places(self.starts.take(rows))}


def tokenise_splits(
    config: Config, tokenizer: KronosTokenizer, train: WindowDataset, val: WindowDataset
) -> tuple[WindowDataset, WindowDataset]:
    """Return the train and validation windows as cached tokens, or unchanged, as training.token_cache says.

    Without a setting, tokens are cached if they fit; those of the train split only if training draws at least as many
    windows as the split has.
    """
    training, folder = config.training, config.data.cache_dir / "tokens"
    if training.token_cache is False:
        return train, val
    if max(tokenizer.s1_bits, tokenizer.s2_bits) > MAX_BITS:
        logger.warning("basemodel  tokenises in every epoch: subtokens of more than %d bits cannot be cached", MAX_BITS)
        return train, val
    must_fit = training.token_cache is None
    datasets = [train, val]
    if training.augment:
        logger.debug("basemodel  tokenises the train windows at each step, because training.augment changes them")
    elif not must_fit or _count_drawn(config, train) >= sum(map(len, list_parts(train))):
        part = training.batch_size // training.accumulation_steps
        datasets[0] = _cache_parts(train, lambda each: cache_tokens(each, tokenizer, folder, part, "train", must_fit))
    datasets[1] = cache_tokens(val, tokenizer, folder, training.batch_size, "validation", must_fit) or val
    if PartialState().is_local_main_process:
        parts = [part for each in datasets for part in list_parts(each)]
        prune_tokens(folder, [part.file.path for part in parts if isinstance(part, TokenDataset)])
    return datasets[0], datasets[1]


def _cache_parts(windows: WindowDataset, cache: Callable[[WindowDataset], TokenDataset | None]) -> WindowDataset:
    """Return windows as tokens, or unchanged if a part cannot be cached: a batch has tokens or candles, not both."""
    parts = list_parts(windows)
    cached = [part for part in map(cache, parts) if part is not None]
    if len(cached) < len(parts):
        return windows
    return ReplayDataset(*cached) if len(cached) == 2 else cached[0]


def _count_drawn(config: Config, train: WindowDataset) -> int:
    """Return how many windows training draws in all."""
    training = config.training
    a_step = training.batch_size * int(PartialState().num_processes)
    if training.max_steps:
        return training.max_steps * a_step
    return training.basemodel_epochs * count_epoch_windows(len(train), config.data, a_step)


def cache_tokens(
    windows: WindowDataset, tokenizer: KronosTokenizer, folder: Path, batch_size: int, name: str, must_fit: bool = False
) -> TokenDataset | None:
    """Return windows as tokens, read from the cache or computed and cached; None (logged) if neither is possible.

    Under torchrun each rank computes a part. Either all ranks return tokens or none does, for example when machines do not
    share the disk.

    Args:
        windows: the windows of a split.
        tokenizer: in eval mode.
        folder: the cache.
        batch_size: windows encoded at once. It must be that of training: a GPU rounds differently for other sizes.
        name: the split, for the log.
        must_fit: do without a cache if the file would take too much disk or memory.
    """
    file = locate_tokens(windows, tokenizer, folder)
    is_local_main = PartialState().is_local_main_process
    if not _first_of_all_ranks("" if file.is_whole(verify=is_local_main) else "missing"):
        logger.debug(
            "basemodel  tokens of %s %s windows were read from the cache %s", f"{len(windows):,}", name, file.path
        )
    elif must_fit and (reason := _first_of_all_ranks(file.describe_unfit())):
        logger.debug(
            "basemodel  tokenises the %s windows in every epoch, because caching them would take too much room: %s",
            name,
            reason,
        )
        return None
    elif reason := _build(file, windows, tokenizer, batch_size):
        logger.warning(
            "basemodel  tokenises the %s windows in every epoch: tokens cannot be cached in %s (data.cache_dir): %s",
            *(name, folder, reason),
        )
        return None
    else:
        logger.debug(
            "basemodel  tokenised %s %s windows once and cached them in %s", f"{len(windows):,}", name, file.path
        )
    if is_local_main:
        file.touch()
    return TokenDataset(windows, file)


def locate_tokens(windows: WindowDataset, tokenizer: KronosTokenizer, folder: Path) -> TokenFile:
    """Name the file after everything that decides its tokens: tokenizer, windows, kind of processor, and our code."""
    package = Path(__file__).parents[2]
    key = hashlib.sha256(
        " ".join([hash_weights(tokenizer), windows.content_hash(), PartialState().device.type]).encode()
    )
    sources = [
        *(package / "model").glob("*.py"),
        package / "data" / "windows" / "dataset.py",
        package / "data" / "windows" / "normalize.py",
    ]
    for source in sorted([*sources, Path(__file__)]):
        key.update(source.read_bytes())
    bits = tokenizer.s1_bits, tokenizer.s2_bits
    return TokenFile(folder / f"{key.hexdigest()[:32]}{SUFFIX}", len(windows), windows.config.window, bits)


def _build(file: TokenFile, windows: WindowDataset, tokenizer: KronosTokenizer, batch_size: int) -> str:
    """Compute a file's tokens, each rank a part. Return why that failed on any rank, or an empty text."""
    [temporary] = broadcast_object_list([name_temporary(file.path)])  # that of rank 0
    is_main = PartialState().is_main_process
    try:
        return (
            _attempt(lambda: file.create(temporary) if is_main else None)
            or _attempt(lambda: temporary.open("r+b").close())  # before the long work: check that all ranks see it
            or _attempt(lambda: _write_part(temporary, file, windows, tokenizer, batch_size))
            or _attempt(lambda: file.finish(temporary) if is_main else None)
            or _attempt(lambda: file.path.open("rb").close())
        )
    finally:
        if is_main:
            with suppress(OSError):
                temporary.unlink()


def _write_part(
    temporary: Path, file: TokenFile, windows: WindowDataset, tokenizer: KronosTokenizer, batch_size: int
) -> None:
    state = PartialState()
    batches = range(0, len(windows), batch_size)
    first, stop = (
        len(batches) * rank // state.num_processes for rank in (state.process_index, state.process_index + 1)
    )
    bar = Progress(Message("tokenising"), stop - first, "batches", shown=state.is_main_process)
    with temporary.open("r+b") as content, bar:
        content.seek(first * batch_size * file.window_bytes)
        for start in batches[first:stop]:
            batch = windows.__getitems__(range(start, min(start + batch_size, len(windows))))
            tokens = torch.stack(encode_candles(tokenizer, batch["candles"].to(state.device)), 1)  # (B, 2, T)
            content.write(tokens.to("cpu", torch.int16).numpy().data)
            bar.update()


def _attempt(work: Callable[[], None]) -> str:
    """Do this rank's work and wait for the others. Return why it failed on any of them, or an empty text."""
    try:
        work()
    except OSError as error:
        return _first_of_all_ranks(error.strerror or str(error))
    except torch.OutOfMemoryError:
        return _first_of_all_ranks(Message("out of GPU memory"))
    return _first_of_all_ranks("")


def _first_of_all_ranks(reason: str) -> str:
    """Return the first reason that any rank gives; the same on all ranks."""
    return next(filter(None, gather_object([reason])), "")
