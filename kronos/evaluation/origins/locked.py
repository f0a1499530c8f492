"""Origins at which nobody could trade: the last known candle is locked at a price limit."""

import numpy as np

from kronos.candles import Array
from kronos.evaluation.origins.walk_forward import Origins
from kronos.risk.price_limits import choose_board, find_locked, has_daily_limits


def find_locked_origins(origins: Origins, choice: str | None) -> Array:
    """Return which origins (N,) have a locked candle; none of a symbol whose board is not known.

    Args:
        choice: data.board.
    """
    candles = origins.candles
    numbers, locked = candles.symbol_numbers(origins.rows), np.zeros(len(origins), bool)
    for number in np.unique(numbers):
        series, own = candles.symbols[int(number)], numbers == number
        board = choose_board(series.symbol, choice)
        frame = candles.frame(series.start, series.stop) if board else None
        if board and frame is not None and has_daily_limits(frame.index):
            locked[own] = find_locked(frame, board)[origins.rows[own] - series.start]
    return locked
