"""Random walks with the volatility, the sessions and the volume of the user's own candles.

Each walk is a window of real candles in which a coin decides for every candle whether it is mirrored: its moves since the
previous close change their sign. A rise becomes a fall, and high and low change places. The size of all moves, calm and
stormy times, the times of day and the volume stay. The direction of the next candle is pure chance, whatever came before:
the expected log return is exactly 0.

The walks are pairs: each walk is followed by its mirror image, of the same window, in which every coin fell the other way.
"""

from dataclasses import replace

import numpy as np

from kronos.candles import PRICE_COLUMNS, Array
from kronos.data import CandleSet
from kronos.data.windows.candle_set import SymbolRows
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.scores.calibration import SMALLEST_VOLATILITY, measure_volatility

N_WALKS = 128
OPEN, HIGH, LOW, CLOSE = range(len(PRICE_COLUMNS))
AMOUNT = -1


def build_walks(origins: Origins, n: int = N_WALKS, seed: int = 0) -> Origins:
    """Return the origins of n random walks, in pairs; none if no price moves in the windows.

    A walk has the candles of one origin's lookback and horizon. If there are fewer origins than pairs, windows are used
    several times, each time with other tosses of the coin. The first walks of a larger n are those of a smaller one.

    Args:
        origins: their prices must be above 0.
        n: an even number.
    """
    moving = np.flatnonzero(measure_volatility(origins.closes) > SMALLEST_VOLATILITY)
    order = np.random.default_rng(seed).permutation(moving)
    chosen = origins.take(np.repeat(np.resize(order, n // 2 if len(order) else 0), 2))
    length = origins.lookback + origins.horizon
    rows = chosen.rows[:, np.newaxis] + np.arange(1 - origins.lookback, origins.horizon + 1)  # (n, length)
    heads = np.random.default_rng([seed, 1]).random((len(chosen) // 2, rows.shape[1])) < 0.5
    mirrored = np.stack([heads, ~heads], axis=1).reshape(rows.shape)
    real, places = origins.candles, np.arange(len(chosen)) * length
    candles = CandleSet(
        mirror_candles(real.values[rows].astype(np.float64), mirrored)
        .astype(np.float32)
        .reshape(-1, real.values.shape[1]),
        real.instants[rows.ravel()],
        real.calendar[rows.ravel()],
        tuple(
            _place(real, f"walk {i + 1}", of_walk, start)
            for i, (of_walk, start) in enumerate(zip(rows, places.tolist()))
        ),
    )
    return Origins(candles, places + origins.lookback - 1, origins.lookback, origins.horizon)


def mirror_candles(candles: Array, mirrored: Array) -> Array:
    """Return candles (..., T, 6) of which some (..., T) are mirrored; a candle's log moves since the last close change sign.

    The first candle moves from its own open. Amounts are multiplied by the change of the candle's mean price.
    """
    prices = candles[..., : len(PRICE_COLUMNS)]
    before = np.concatenate([prices[..., :1, OPEN], prices[..., :-1, CLOSE]], axis=-1)  # (..., T)
    moves = np.log(prices / before[..., np.newaxis]) * np.where(mirrored, -1.0, 1.0)[..., np.newaxis]
    moves[..., [HIGH, LOW]] = np.where(mirrored[..., np.newaxis], moves[..., [LOW, HIGH]], moves[..., [HIGH, LOW]])
    gained = np.cumsum(moves[..., CLOSE], axis=-1)
    start = np.log(before[..., :1]) + np.concatenate([np.zeros_like(gained[..., :1]), gained[..., :-1]], axis=-1)
    walked = candles.copy()
    walked[..., : len(PRICE_COLUMNS)] = np.exp(start[..., np.newaxis] + moves)
    walked[..., AMOUNT] *= walked[..., : len(PRICE_COLUMNS)].mean(axis=-1) / prices.mean(axis=-1)
    return walked


def _place(candles: CandleSet, name: str, rows: Array, start: int) -> SymbolRows:
    """Return the place of a walk made of neighbouring rows of one symbol, with that symbol's clock."""
    symbol = candles.symbol_at(int(rows[0]))
    offset = candles.local_at(symbol, rows) - candles.instants[rows]
    changes = np.append(0, 1 + np.flatnonzero(np.diff(offset)))
    return replace(
        symbol,
        symbol=name,
        start=start,
        stop=start + len(rows),
        gap_rows=(),
        gap_missing=(),
        gap_days=(),
        jump_rows=(),
        offset_rows=tuple((start + changes).tolist()),
        offsets=tuple(offset[changes].tolist()),
    )
