"""Technical indicators of the closes of a lookback, as inputs of the LSTM. TA-Lib computes them."""

from importlib import import_module

import numpy as np
import torch
from torch import Tensor

from kronos.candles import Array

INPUTS = {"sma": 2, "ema": 2, "rsi": 1, "macd": 2}  # inputs of each indicator
SPANS = (5, 20)  # candles of the moving averages
RSI_SPAN = 14
MACD_SPANS = (12, 26, 9)  # fast and slow average, and the average of their difference (the signal)
# Candles before the first value.
WARM_UP = {"sma": SPANS[-1], "ema": SPANS[-1], "rsi": RSI_SPAN + 1, "macd": MACD_SPANS[1] + MACD_SPANS[2] - 1}


def compute_indicators(closes: Tensor, unit: Tensor, names: tuple[str, ...]) -> Tensor:
    """Compute the inputs (B, L, K) of some indicators of closes (B, L). Values at a candle depend on no later candle.

    sma, ema: the close minus its simple or exponential moving average, in units. rsi: the relative strength index
    from −1 (0) to 1 (100). macd: the line and its distance from the signal, in units. Candles before the first value
    have 0: the close equals its average, and the RSI is 50.

    Args:
        closes: in any unit; adding or multiplying by a constant changes nothing, if unit changes with them.
        unit: (B, 1), the size of a usual change of the closes.
    """
    rows = closes.detach().cpu().double().numpy()
    computed = np.stack([np.stack(_compute_row(row, names), axis=-1) for row in rows])
    values = torch.from_numpy(np.nan_to_num(computed, nan=0.0)).to(closes)
    in_units = torch.tensor([name != "rsi" for name in names for _ in range(INPUTS[name])], device=closes.device)
    return torch.where(in_units, values / unit.unsqueeze(-1), values)


def _compute_row(closes: Array, names: tuple[str, ...]) -> list[Array]:
    """Return the inputs of some indicators of one lookback (L,), (L,) each; NaN before the first value."""
    talib = import_module("talib")
    inputs: list[Array] = []
    for name in names:
        if name == "rsi":
            moved = np.abs(np.diff(closes, prepend=closes[0])).cumsum() > 0  # TA-Lib has 0, not 50, before any move
            inputs.append(np.where(moved, talib.RSI(closes, RSI_SPAN) / 50 - 1, 0.0))
        elif name == "macd":
            line, _, distance = talib.MACD(closes, *MACD_SPANS)
            inputs += [line, distance]
        else:
            average = {"sma": talib.SMA, "ema": talib.EMA}[name]
            inputs += [closes - average(closes, span) for span in SPANS]
    return inputs
