"""Splitting a series at the origin of a forecast."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from kronos.config.data import RepairsConfig
from kronos.data import read_frames
from kronos.data.quality.findings import Finding, raise_errors
from kronos.errors import DataError
from kronos.forecast.future import make_future_timestamps
from kronos.forecast.inputs import MIN_ROWS, build_input
from kronos.forecast.timestamps import YEAR_FIRST

LAST = "last"
ROWS_THAT_SHOW_THE_PATTERN = 5000


class ForecastTask(NamedTuple):
    """A series at an origin.

    history: the candles up to the origin. actual: those of the horizon that are already known, perhaps none.
    future: the horizon's times. notes: assumptions about them.
    """

    history: pd.DataFrame
    actual: pd.DataFrame
    future: pd.DatetimeIndex
    notes: tuple[str, ...]


def build_forecast_task(frame: pd.DataFrame, origin: str, horizon: int, exchange: str | None = None) -> ForecastTask:
    """Split candles after the last one that is not later than the origin.

    The future times are those of the frame and, after its end, those that follow its pattern or the exchange's calendar.

    Args:
        frame: candles indexed by local time, ascending.
        origin: a local time, or "last" for the last candle.

    Raises:
        DataError: the origin is not a time, or lies outside the candles; or the future times cannot be inferred.
    """
    end = len(frame) if origin == LAST else _find(frame.index, origin)
    history, actual = frame[:end], frame[end : end + horizon]
    if len(actual) == horizon:
        return ForecastTask(history, actual, pd.DatetimeIndex(actual.index), ())
    known = pd.DatetimeIndex(frame.index[-ROWS_THAT_SHOW_THE_PATTERN:])
    made, notes = make_future_timestamps(known, horizon - len(actual), exchange)
    return ForecastTask(history, actual, pd.DatetimeIndex(actual.index.append(made)), notes)


def build_forecast_tasks(
    paths: Sequence[Path],
    origin: str,
    lookback: int,
    horizon: int,
    exchange: str | None,
    columns: Mapping[str, str] | None = None,
    repairs: RepairsConfig | None = None,
    max_gap: int | None = None,
) -> tuple[dict[str, ForecastTask], list[str]]:
    """Read files and split each of their symbols at the origin; max_gap: as in data.max_gap.

    Returns:
        The tasks by symbol (without a symbol column, by the file's name), and the errors of those that cannot be
        forecast from their lookback.
    """
    tasks: dict[str, ForecastTask] = {}
    frames, unreadable = read_frames(paths, columns, repairs, max_gap)
    errors = [str(finding) for finding in unreadable]
    for symbol, source, frame, findings, breaks in frames:
        name = source if symbol in source else f"{source}, {symbol}"
        try:
            if frame.empty:
                raise_errors(findings)
            try:
                task = _begin_after_break(build_forecast_task(frame, origin, horizon, exchange), breaks, lookback)
            except DataError as error:
                raise error.within("{name}", name=name) from None
            _raise_errors_within(findings, task.history.index[-lookback:][0], task.future[-1])
            build_input(name, task.history[-lookback:], None, task.future, horizon, None)  # finds what is wrong now
            tasks[symbol] = task
        except DataError as error:
            errors.append(str(error))
    return tasks, errors


def _begin_after_break(task: ForecastTask, breaks: Sequence[pd.Timestamp], lookback: int) -> ForecastTask:
    """Leave out the history before the last jump or long gap, as training windows do not cross one either."""
    rows = [int(np.flatnonzero(task.history.index == time)[-1]) for time in breaks if time in task.history.index]
    start = max(rows, default=0)
    if start <= len(task.history) - lookback:
        return task
    history = task.history[start:]
    if len(history) < MIN_ROWS:
        raise DataError(
            "{n} candle(s) between the last jump or long gap and the origin, but a forecast needs at least {least}, better "
            "hundreds. Choose a later origin.",
            n=len(history),
            least=MIN_ROWS,
        )
    note = f"the history begins at {history.index[0]}, after a jump or a long gap: {len(history)} candles"
    return task._replace(history=history, notes=(*task.notes, note))


def _raise_errors_within(findings: Sequence[Finding], first: pd.Timestamp, last: pd.Timestamp) -> None:
    """Refuse errors in the candles that the forecast reads or is compared with; older ones do not affect it."""
    start, stop = pd.DatetimeIndex([first, last]).as_unit("us").asi8
    raise_errors(each for each in findings if ((start <= each.at) & (each.at <= stop)).any())


def _find(times: pd.Index, origin: str) -> int:
    """Return how many candles are not later than the origin."""
    # The year must come first, as in files: 05/06/2024 is in May in one country and in June in another.
    time = pd.to_datetime(origin, errors="coerce") if YEAR_FIRST.match(origin) else None
    if not isinstance(time, pd.Timestamp):
        template = "the origin {origin!r} is not a local time. Write it like 2024-04-02 10:10, or {last}."
        raise DataError(template, origin=origin, last=LAST)
    if time.tzinfo is not None:
        raise DataError("the origin {origin!r} is not a local time. Leave its time zone out.", origin=origin)
    if time > times[-1]:
        template = "the origin {origin} is after the last candle, {end}. Choose an earlier one, or {last}."
        raise DataError(template, origin=origin, end=times[-1], last=LAST)
    end = 1 + int(np.flatnonzero(times <= time).max(initial=-1))  # not by bisection: clocks may be put back
    if end < MIN_ROWS:
        raise DataError(
            "the origin {origin} leaves {n} candles of history, but a forecast needs at least {least}, better hundreds. "
            "Choose a later origin (the first candle is at {first}).",
            origin=origin,
            n=end,
            least=MIN_ROWS,
            first=times[0],
        )
    return end
