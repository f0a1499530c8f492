"""Hold the candles, the calendar and the tokens of a stage on its device, and gather batches there.

What the data loader delivers is then only the numbers of the windows. The gathered batches equal those of `WindowDataset`
and `TokenDataset` except for the rounding of the normalisation.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor

from kronos.candles import Array
from kronos.config import Config
from kronos.data import CandleSet, WindowDataset
from kronos.data.windows.dataset import Batch, PrepareBatch, choose_origins
from kronos.data.windows.normalize import EPSILON
from kronos.names import Message
from kronos.training.inputs.replay import ReplayDataset, list_parts
from kronos.training.inputs.tokens import TokenDataset

logger = logging.getLogger(__name__)

FREE_SHARE = 0.25  # of the free memory of a GPU, at most: the steps need the rest
ROWS_AT_A_TIME = 1 << 20  # a memory-mapped array is never whole in memory
TINY = torch.finfo(torch.float64).tiny


class ResidentWindows(WindowDataset):
    """Windows whose content is on the device. A batch is their numbers, "index" (B,), and "window" as in `WindowDataset`."""

    def __init__(self, windows: WindowDataset, first: int = 0) -> None:
        super().__init__(windows.candles, windows.starts, windows.config, windows.symbol_bounds, windows.many_origins)
        self._first = first

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        numbers = np.asarray(indices, np.int64)
        return {"index": torch.from_numpy(numbers + self._first), "window": self.starts.take(numbers)}


@dataclass(frozen=True)
class _Split:
    """The windows of a split on the device.

    rows: (N,) the rows at which they begin. n_known: (N,) the candles that normalise each. many_origins: whether the loss
    needs n_known, too. tokens: (N, 2, T) int16, or None if the windows are gathered as candles.
    """

    rows: Tensor
    n_known: Tensor
    many_origins: bool
    tokens: Tensor | None


class ResidentInputs:
    """Gathers a batch on the device by the numbers of its windows, then prepares the inputs of the model."""

    def __init__(self, train: WindowDataset, val: WindowDataset, prepare: PrepareBatch, device: torch.device) -> None:
        candles = _list_candles([train, val])
        self._prepare = prepare
        self._device = device
        self._config = train.config
        self._calendar = _send([each.calendar for each in candles], device)  # (R, 5) uint8
        self._values = _send([each.values for each in candles], device) if _needs_candles([train, val]) else None
        first_rows = dict(zip(map(id, candles), np.cumsum([0, *map(len, candles)])))
        self._train, self._val = (self._hold(windows, first_rows) for windows in (train, val))

    def __call__(self, batch: Batch, step: int | None) -> Batch:
        """Turn a batch of `ResidentWindows` into inputs. The step is None for validation windows, and for no others."""
        return self._prepare(batch | self._gather(self._val if step is None else self._train, batch["index"]), step)

    def _hold(self, windows: WindowDataset, first_rows: dict[int, int]) -> _Split:
        parts = list_parts(windows)
        starts = [part.starts.take(np.arange(len(part))) for part in parts]
        lookback = self._config.lookback_window
        n_known = [
            choose_origins(each, lookback) if part.many_origins else np.full(len(each), lookback)
            for part, each in zip(parts, starts)
        ]
        tokens = [part.tokens for part in parts if isinstance(part, TokenDataset)]
        rows = [each + first_rows[id(part.candles)] for part, each in zip(parts, starts)]
        return _Split(
            _send(rows, self._device),
            _send(n_known, self._device),
            parts[0].many_origins,
            _send(tokens, self._device) if tokens else None,
        )

    def _gather(self, split: _Split, index: Tensor) -> Batch:
        """Gather the windows index (B,) of a split."""
        places = split.rows[index, None] + torch.arange(self._config.window, device=self._device)  # (B, T)
        n_known = split.n_known[index]
        batch: Batch = {"stamp": self._calendar[places].float()} | ({"n_known": n_known} if split.many_origins else {})
        if split.tokens is not None:
            s1_ids, s2_ids = split.tokens[index].transpose(0, 1).long().unbind()
            return batch | {"s1_ids": s1_ids, "s2_ids": s2_ids}
        assert self._values is not None
        candles, scale = normalise_windows(self._values[places], n_known, self._config.clip)
        return batch | {"candles": candles, "scale": scale}


def normalise_windows(candles: Tensor, n_known: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """Normalise windows (B, T, F) by their first n_known (B,) candles, as `Statistics` does on the CPU.

    Returns:
        The windows (B, T, F) and the scale (B, F), float32, computed in float64.
    """
    known = (torch.arange(candles.shape[1], device=candles.device) < n_known[:, None])[..., None]  # (B, T, 1)
    n, values = n_known[:, None, None], candles.double()
    mean = (values * known).sum(1, keepdim=True) / n
    deviation = values - mean
    std = ((deviation * known).square().sum(1, keepdim=True) / n).sqrt()
    scale = (std + EPSILON * torch.where(mean == 0, 1.0, mean.abs().clamp(max=1.0))).clamp(min=TINY)
    return (deviation / scale).clamp(-clip, clip).float(), scale[:, 0].float()


def hold_on_device(
    config: Config, stage: str, train: WindowDataset, val: WindowDataset, prepare: PrepareBatch
) -> tuple[WindowDataset, WindowDataset, PrepareBatch]:
    """Return a stage's windows and inputs with all of their content on the device; unchanged if they must stay.

    training.data_on_device decides. By default they are on a GPU if they take at most a quarter of its free memory.
    """
    device, wanted = PartialState().device, config.training.data_on_device
    if wanted is False or (wanted is None and device.type != "cuda"):
        return train, val, prepare
    n_bytes = count_bytes(train, val)
    reason, inputs = _describe_unfit(n_bytes, device), None
    if not reason:
        try:
            inputs = ResidentInputs(train, val, prepare, device)
        except torch.OutOfMemoryError:
            reason = Message("out of GPU memory")
    if inputs is None:
        level = logging.DEBUG if wanted is None else logging.WARNING
        logger.log(level, "%s  gathers its batches on the CPU (training.data_on_device): %s", stage, reason)
        return train, val, prepare
    logger.debug("%s  holds %.1f MB of candles and tokens on the device", stage, n_bytes / 1e6)
    return _reduce_to_numbers(train), _reduce_to_numbers(val), inputs


def count_bytes(*splits: WindowDataset) -> int:
    """Return the bytes that the windows of a stage take on the device."""
    parts = [part for windows in splits for part in list_parts(windows)]
    of_windows = sum(
        2 * 8 * len(part) + (part.tokens.nbytes if isinstance(part, TokenDataset) else 0) for part in parts
    )
    arrays = ["calendar", "values"] if _needs_candles(splits) else ["calendar"]
    return of_windows + sum(int(getattr(each, name).nbytes) for each in _list_candles(splits) for name in arrays)


def _describe_unfit(n_bytes: int, device: torch.device) -> Message:
    """Explain why so many bytes cannot be held; empty if they can."""
    if device.type == "mps":
        return Message("mps has no float64")
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else n_bytes / FREE_SHARE
    if n_bytes <= FREE_SHARE * free:
        return Message("")
    template = "{n:,.1f} GB are more than a quarter of the {free:,.1f} GB that are free on the GPU"
    return Message(template, n=n_bytes / 1e9, free=free / 1e9)


def _reduce_to_numbers(windows: WindowDataset) -> WindowDataset:
    if isinstance(windows, ReplayDataset):
        own, other = windows.own, windows.other
        return ReplayDataset(ResidentWindows(own), ResidentWindows(other, len(own)))
    return ResidentWindows(windows)


def _list_candles(splits: Sequence[WindowDataset]) -> list[CandleSet]:
    """Return the candle sets of all windows, each once."""
    candles = [part.candles for windows in splits for part in list_parts(windows)]
    return list({id(each): each for each in candles}.values())


def _needs_candles(splits: Sequence[WindowDataset]) -> bool:
    return any(not isinstance(part, TokenDataset) for windows in splits for part in list_parts(windows))


def _send(arrays: Sequence[Array], device: torch.device) -> Tensor:
    """Copy arrays to the device, one behind the other, in pieces."""
    kind = torch.from_numpy(np.empty(0, arrays[0].dtype)).dtype
    held = torch.empty((sum(map(len, arrays)), *arrays[0].shape[1:]), dtype=kind, device=device)
    first = 0
    for array in arrays:
        for start in range(0, len(array), ROWS_AT_A_TIME):
            piece = np.array(array[start : start + ROWS_AT_A_TIME])
            held[first + start : first + start + len(piece)] = torch.from_numpy(piece)
        first += len(array)
    return held
