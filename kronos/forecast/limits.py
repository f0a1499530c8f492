"""Price limits of exchanges in forecasts."""

from dataclasses import replace
from math import isfinite

import pandas as pd

from kronos.forecast.forecast import Forecast
from kronos.names import Message
from kronos.risk.price_limits import PriceLimits, choose_board, find_close_before, has_daily_limits


def limit_forecast(forecast: Forecast, symbol: str, choice: str | None, history: pd.DataFrame) -> Forecast:
    """Return a forecast whose prices keep to the daily limits of the symbol's board, with a note; else the forecast.

    Args:
        symbol: such as 600000.SH. choice: data.board; None: the board is that of the symbol, if it names one.
        history: the known candles, indexed by local time. Those of the day before the forecast tell its first limits.
    """
    board, first = choose_board(symbol, choice), forecast.timestamps[0]
    share = board.find_limit(first.date()) if board else None
    close = find_close_before(history, first)
    is_one_day = forecast.timestamps[-1].date() == first.date()
    if board is None or share is None or not has_daily_limits(history.index) or (is_one_day and not isfinite(close)):
        return forecast
    template = "Forecast prices keep to the daily price limit of {limit:.0%} (data.board=unlimited turns this off)."
    limited = replace(
        forecast,
        limits=PriceLimits(board, close),
        notes=(*forecast.notes, Message(template, limit=share)),
    )
    return replace(limited, paths=limited.keep_to_limits(forecast.paths))
