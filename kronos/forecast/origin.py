"""Split a series at the origin of a forecast."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from kronos.config.data import RepairsConfig
from kronos.data import read_frames
from kronos.data.against_run import RunCandles, compare_with_run
from kronos.data.files.options import ReadingOptions
from kronos.data.quality.findings import Finding, raise_errors
from kronos.data.windows.load import SymbolFrame
from kronos.errors import DataError
from kronos.forecast.future import make_future_timestamps
from kronos.forecast.inputs import MIN_ROWS, build_input
from kronos.forecast.timestamps import YEAR_FIRST
from kronos.names import Message

LAST = "last"
ROWS_THAT_SHOW_THE_PATTERN = 5000


class ForecastTask(NamedTuple):
    """A series, split at an origin.

    history: the candles up to the origin. actual: the candles of the horizon that are already known, may be empty.
    future: the times of the horizon. notes: assumptions about these times, and
    how the candles differ from those that the model was trained on. repairs: of the last candles of the history.
    """

    history: pd.DataFrame
    actual: pd.DataFrame
    future: pd.DatetimeIndex
    notes: tuple[str, ...]
    repairs: tuple[Message, ...] = ()

    def note_short(self, lookback: int) -> tuple[Message, ...]:
        """Say that there are fewer known candles than the lookback; nothing if there are enough."""
        n, template = len(self.history), "{n} candles up to the origin, fewer than the lookback of {known}"
        return (Message(template, n=n, known=lookback),) if n < lookback else ()


def build_forecast_task(frame: pd.DataFrame, origin: str, horizon: int, exchange: str | None = None) -> ForecastTask:
    """Split candles at the origin; a candle at the origin's time belongs to the history.

    The future times are those of the frame. After its end they are inferred from its pattern or the exchange's calendar.

    Args:
        frame: candles indexed by local time, ascending.
        origin: a local time, or "last" for the last candle.

    Raises:
        DataError: the origin is not a local time or lies outside the candles, or the future times cannot be inferred.
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
    reading: ReadingOptions | Mapping[str, str] | None = None,
    repairs: RepairsConfig | None = None,
    max_gap: int | None = None,
    trained: RunCandles | None = None,
) -> tuple[dict[str, ForecastTask], list[DataError | Message]]:
    """Read files and split each symbol at the origin; max_gap is that of data.max_gap.

    Args:
        trained: the candles that the model was trained on; notes of the tasks tell what differs.

    Returns:
        The tasks by symbol (by file name if there is no symbol column), and the errors of the files and symbols that cannot
        be forecast.
    """
    tasks: dict[str, ForecastTask] = {}
    frames, unreadable = read_frames(paths, reading, repairs, max_gap)
    errors: list[DataError | Message] = [finding.message for finding in unreadable]
    for each in frames:
        name = each.source if each.symbol in each.source else f"{each.source}, {each.symbol}"
        try:
            tasks[each.symbol] = split_symbol(each, name, origin, lookback, horizon, exchange, trained)
        except DataError as error:
            errors.append(error)
    return tasks, errors


def split_symbol(
    candles: SymbolFrame,
    name: str,
    origin: str,
    lookback: int,
    horizon: int,
    exchange: str | None = None,
    trained: RunCandles | None = None,
) -> ForecastTask:
    """Split one symbol of `read_frames` at the origin. Errors name it.

    Raises:
        DataError: it cannot be forecast.
    """
    frame, findings = candles.frame, candles.findings
    if frame.empty:
        raise_errors(findings)
    try:
        task = build_forecast_task(frame, origin, horizon, exchange)
        task = _begin_after_break(task, candles.breaks, lookback)
    except DataError as error:
        raise error.within("{name}", name=name) from None
    known = task.history[-lookback:]
    raise_errors(_list_within(findings, known.index[0], task.future[-1]))
    repairs = [each for each in _list_within(findings, known.index[0], known.index[-1]) if each.severity == "repair"]
    build_input(name, known, None, task.future, horizon, None)  # raises errors of this symbol here
    differences = compare_with_run(candles.kind, trained) if candles.kind and trained else ()
    notes = (*task.notes, *(each.message for each in differences))
    return task._replace(notes=notes, repairs=tuple(each.message for each in repairs))


def _begin_after_break(task: ForecastTask, breaks: Sequence[pd.Timestamp], lookback: int) -> ForecastTask:
    """Drop the history before the last jump or long gap; training windows do not cross these either."""
    rows = [int(np.flatnonzero(task.history.index == time)[-1]) for time in breaks if time in task.history.index]
    start = max(rows, default=0)
    if not start or start <= len(task.history) - lookback:
        return task
    history = task.history[start:]
    if len(history) < MIN_ROWS:
        raise DataError(
            "{n} candle(s) between the last jump or long gap and the origin, but a forecast needs at least {least}, better "
            "hundreds. Choose a later origin.",
            n=len(history),
            least=MIN_ROWS,
        )
    template = "the history begins at {first}, after a jump or a long gap: {n} candles"
    note = Message(template, first=history.index[0], n=len(history))
    return task._replace(history=history, notes=(*task.notes, note))


def _list_within(findings: Sequence[Finding], first: pd.Timestamp, last: pd.Timestamp) -> list[Finding]:
    """Return the findings about candles from first to last; older candles do not affect a forecast."""
    start, stop = pd.DatetimeIndex([first, last]).as_unit("us").asi8
    return [each for each in findings if ((start <= each.at) & (each.at <= stop)).any()]


def _find(times: pd.Index, origin: str) -> int:
    """Return the number of candles at or before the origin."""
    # The year must come first, as in files: 05/06/2024 is in May in some countries and in June in others.
    time = pd.to_datetime(origin, errors="coerce") if YEAR_FIRST.match(origin) else None
    if not isinstance(time, pd.Timestamp):
        template = "the origin {origin!r} is not a local time. Write it like 2024-04-02 10:10, or {last}."
        raise DataError(template, origin=origin, last=LAST)
    if time.tzinfo is not None:
        raise DataError("the origin {origin!r} is not a local time. Leave its time zone out.", origin=origin)
    if time > times[-1]:
        template = "the origin {origin} is after the last candle, {end}. Choose an earlier one, or {last}."
        raise DataError(template, origin=origin, end=times[-1], last=LAST)
    end = 1 + int(
        np.flatnonzero(times <= time).max(initial=-1)
    )  # not bisection: local times repeat when clocks are put back
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
