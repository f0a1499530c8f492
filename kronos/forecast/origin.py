"""Cutting a series at the origin of a forecast."""

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
from kronos.forecast.inputs import MIN_ROWS, YEAR_FIRST, build_input

LAST = "last"
ROWS_THAT_SHOW_THE_PATTERN = 5000


class ForecastTask(NamedTuple):
    """A series at an origin.

    history: the candles up to the origin. actual: those of the horizon that are known already, perhaps none.
    future: the horizon's times. notes: what was assumed of them.
    """

    history: pd.DataFrame
    actual: pd.DataFrame
    future: pd.DatetimeIndex
    notes: tuple[str, ...]


def build_forecast_task(frame: pd.DataFrame, origin: str, horizon: int, exchange: str | None = None) -> ForecastTask:
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
    """Read files and task each of their symbols at the origin; max_gap: as in data.max_gap.

    Returns:
        The tasks by symbol (without a symbol column, the file's name), and what is wrong with those that cannot be forecast
        from their lookback.
    """
    tasks: dict[str, ForecastTask] = {}
    frames, unreadable = read_frames(paths, columns, repairs, max_gap)
    faults = [str(finding) for finding in unreadable]
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
            faults.append(str(error))
    return tasks, faults


def _begin_after_break(task: ForecastTask, breaks: Sequence[pd.Timestamp], lookback: int) -> ForecastTask:
    """Leave out the history before the last jump or long gap, which no training window crosses either."""
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
    what = f"the history begins at {history.index[0]}, after a jump or a long gap: {len(history)} candles"
    return task._replace(history=history, notes=(*task.notes, what))


def _raise_errors_within(findings: Sequence[Finding], first: pd.Timestamp, last: pd.Timestamp) -> None:
    """Refuse errors in what the forecast reads or is held against; older ones do not matter to it."""
    start, stop = pd.DatetimeIndex([first, last]).as_unit("us").asi8
    raise_errors(each for each in findings if ((start <= each.at) & (each.at <= stop)).any())


def _find(times: pd.Index, origin: str) -> int:
    """Return how many candles are not later than the origin."""
    # Year first only, as in files: 05/06/2024 is May in one country and June in the next.
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
