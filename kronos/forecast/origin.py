"""Cutting a series at the origin of a forecast."""

from typing import NamedTuple

import pandas as pd

from kronos.errors import DataError
from kronos.forecast.future import make_future_timestamps
from kronos.forecast.inputs import MIN_ROWS

LAST = "last"
ROWS_THAT_SHOW_THE_PATTERN = 5000


class Cut(NamedTuple):
    """A series at an origin.

    history: the candles up to the origin. truth: those of the horizon that are known already, perhaps none.
    future: the horizon's times. notes: what was assumed of them.
    """

    history: pd.DataFrame
    truth: pd.DataFrame
    future: pd.DatetimeIndex
    notes: tuple[str, ...]


def cut_at_origin(frame: pd.DataFrame, origin: str, horizon: int, exchange: str | None = None) -> Cut:
    """Cut candles at the last one that is not later than the origin.

    The times to come are the frame's own as far as it reaches, beyond its end those that follow its pattern or the
    exchange's calendar.

    Args:
        frame: candles indexed by local time, ascending.
        origin: a local time, or "last" for the last candle.

    Raises:
        DataError: the origin is not a time, or lies outside the candles; or the times to come cannot be made.
    """
    end = len(frame) if origin == LAST else _find(frame.index, origin)
    history, truth = frame[:end], frame[end : end + horizon]
    if len(truth) == horizon:
        return Cut(history, truth, pd.DatetimeIndex(truth.index), ())
    known = pd.DatetimeIndex(frame.index[-ROWS_THAT_SHOW_THE_PATTERN:])
    made, notes = make_future_timestamps(known, horizon - len(truth), exchange)
    return Cut(history, truth, pd.DatetimeIndex(truth.index.append(made)), notes)


def _find(times: pd.Index, origin: str) -> int:
    """Return how many candles are not later than the origin."""
    time = pd.to_datetime(origin, errors="coerce")
    if not isinstance(time, pd.Timestamp) or time.tzinfo is not None:
        raise DataError(f"the origin {origin!r} is not a local time; write it like 2024-04-02 10:10, or {LAST}.")
    if time > times[-1]:
        raise DataError(
            f"the origin {origin} lies after the last candle, {times[-1]}; choose an earlier one, or {LAST}."
        )
    end = int(times.searchsorted(time, side="right"))
    if end < MIN_ROWS:
        raise DataError(
            f"the origin {origin} leaves {end} candles before it; a forecast needs at least {MIN_ROWS}, better hundreds "
            f"(the first stands at {times[0]})."
        )
    return end
