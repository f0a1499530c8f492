"""Change train windows at random (training.augment), differently at each step. Validation windows are never changed.

All works on normalised candles. After `warp` and `noise` a window is normalised again by its own lookback, as the changed
candles would be in a forecast. In prices, low ≤ open, close ≤ high holds after each change if it held before.
"""

import numpy as np
import torch
from torch import Tensor

from kronos.candles import CANDLE_COLUMNS, Array
from kronos.config.data import DataConfig
from kronos.config.training import TrainingConfig
from kronos.data.windows.dataset import Batch

NOISE = 0.25  # of the deviation of the window's own returns and volumes: returns become 3% wider, which hardly shows
SCALE = 1.25  # factor up to which the deviation of the lookback is over- or understated; between lookbacks it differs by more
WARP = 1.25  # factor up to which time runs faster or slower; at more, repeated candles would show
CONSTANT = 0.1  # deviation below which a feature is constant: it is 1 for all others, because they are normalised
STREAM = 7  # keeps these draws apart from others with the same seed

N_PRICES = 4
HIGH, LOW, CLOSE = (CANDLE_COLUMNS.index(name) for name in ("high", "low", "close"))


class Augmentation:
    """Changes the windows of a batch. The draws depend on the seed, the step and the window only, not on rank or batch."""

    def __init__(self, training: TrainingConfig, data: DataConfig) -> None:
        self.kinds = frozenset(training.augment)
        self._seed = training.seed
        self._lookback = data.lookback_window
        self._clip = data.clip

    def __call__(self, batch: Batch, step: int | None) -> Batch:
        """Return the batch with changed candles, or the batch itself in validation (step None) or without augmentation."""
        if step is None or not self.kinds:
            return batch
        candles, scale = batch["candles"], batch["scale"]
        normals, uniforms = (
            send_drawn(torch.from_numpy(drawn), candles.device)
            for drawn in draw_numbers(self._seed, step, batch["window"], candles.shape[1])
        )
        mirror_u, scale_u, rate_u, phase_u = uniforms.unbind(1)  # (B,) each
        if "warp" in self.kinds:
            candles = warp_time(candles, rate_u, phase_u)
        if "noise" in self.kinds:
            candles = add_noise(candles, scale, normals, self._lookback)
        if self.kinds & {"warp", "noise"}:
            candles = normalise_again(candles, self._lookback)
        if "mirror" in self.kinds:
            candles = torch.where((mirror_u < 0.5)[:, None, None], mirror(candles), candles)
        if "scale" in self.kinds:
            candles = candles * SCALE ** (2 * scale_u - 1)[:, None, None]
        return batch | {"candles": candles.clamp(-self._clip, self._clip)}


class CandleInputs:
    """Prepares the tokenizer's inputs: candles and, if the batch is computed in parts, the bit means of the whole batch."""

    def __init__(self, training: TrainingConfig, data: DataConfig) -> None:
        self._augment = Augmentation(training, data)

    def __call__(self, batch: Batch, step: int | None) -> Batch:
        return {"candles": self._augment(batch, step)["candles"], "bit_mean": batch.get("whole")}


def send_drawn(drawn: Tensor, device: torch.device) -> Tensor:
    """Send numbers drawn on the CPU to a device, without waiting for the work that a GPU still has to do."""
    on_gpu = device.type == "cuda"
    return (drawn.pin_memory() if on_gpu else drawn).to(device, non_blocking=on_gpu)


def draw_numbers(seed: int, step: int, windows: Array, n_candles: int) -> tuple[Array, Array]:
    """Draw the numbers of each window: normal (B, T, 2) for returns and volumes, uniform in [0, 1) (B, 4); float32."""
    generators = [np.random.default_rng([STREAM, seed, step, window]) for window in windows.tolist()]
    normals = np.stack([each.standard_normal((n_candles, 2), dtype=np.float32) for each in generators])
    return normals, np.stack([each.random(4, dtype=np.float32) for each in generators])


def warp_time(candles: Tensor, rate_u: Tensor, phase_u: Tensor) -> Tensor:
    """Let time run faster in one half of the window and slower in the other: candles are left out or repeated.

    Candles (B, T, F) are chosen, not interpolated: a mean of neighbours would make returns predictable. The calendar rows
    stay. Args: rate_u, phase_u (B,) in [0, 1), how much faster, and where.
    """
    n = candles.shape[1]
    time = torch.arange(n, device=candles.device, dtype=torch.float32) / n
    log_rate = (2 * rate_u - 1)[:, None] * torch.sin(2 * torch.pi * (time + phase_u[:, None]))
    passed = (WARP**log_rate).cumsum(1)
    passed = (passed - passed[:, :1]) / (passed[:, -1:] - passed[:, :1])  # 0 to 1
    rows = (passed * (n - 1)).round().long()
    return candles.gather(1, rows[..., None].expand_as(candles))


def add_noise(candles: Tensor, scale: Tensor, normals: Tensor, lookback: int) -> Tensor:
    """Add noise to the returns and the volumes of normalised candles (B, T, 6).

    The noise of returns adds up along time and moves the four prices of a candle by the same amount of money. No volume
    falls below the lowest of its window, hence none below 0.

    Args:
        scale: (B, 6), by which the candles were normalised.
        normals: (B, T, 2), standard normal, for returns and for volumes.
    """
    prices, volumes = candles[..., :N_PRICES], candles[..., N_PRICES:]
    returns = candles[:, :lookback, CLOSE].diff(dim=1).std(1, correction=0)  # (B,), in deviations of the close
    drift = NOISE * (returns[:, None] * normals[..., 0]).cumsum(1)  # (B, T)
    in_money = scale[:, CLOSE, None] / scale[:, :N_PRICES]  # (B, 4)
    spread = volumes[:, :lookback].std(1, keepdim=True, correction=0)  # 0 for candles without volume
    noisy = volumes + NOISE * spread * normals[..., 1:]
    noisy = torch.maximum(noisy, volumes.amin(1, keepdim=True))
    return torch.cat([prices + drift[..., None] * in_money[:, None], noisy], dim=2)


def normalise_again(candles: Tensor, lookback: int) -> Tensor:
    """Normalise changed candles (B, T, F) by the mean and the deviation of their lookback."""
    known = candles[:, :lookback]
    deviation = known.std(1, keepdim=True, correction=0)
    deviation = torch.where(deviation > CONSTANT, deviation, torch.ones_like(deviation))
    return (candles - known.mean(1, keepdim=True)) / deviation


def mirror(candles: Tensor) -> Tensor:
    """Turn the prices of normalised candles (B, T, 6) upside down: rises become falls, and highs become lows."""
    turned = candles.clone()
    turned[..., :N_PRICES] = -candles[..., :N_PRICES]
    turned[..., HIGH], turned[..., LOW] = -candles[..., LOW], -candles[..., HIGH]
    return turned
