"""The candles of a request as files, read in the same way as those of `kronos predict`."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN
from kronos.config import Config
from kronos.config.load import build_reading_config
from kronos.data.files.opening import COMPRESSIONS
from kronos.data.files.options import ReadingOptions
from kronos.data.frames import save_candles
from kronos.disk.temporaries import beside, remove_temporaries
from kronos.errors import ConfigError, DataError
from kronos.forecast.origin import LAST, ForecastTask, build_forecast_tasks
from kronos.forecast.timestamps import YEAR_FIRST
from kronos.names import Message, name_file
from kronos.serving.runs import ServedRun
from kronos.serving.schemas import File, Input, Time

UNNAMED = "series"
ZIP = b"PK\x03\x04"
PREFIX = "kronos-served-"  # of the folder of an input
PLACE = rf"/\.[0-9a-f]+-\d+\.{PREFIX}[0-9a-f]+/(?:[0-9a-f]{{16}}/)?"


@contextmanager
def saved_input(given: Input, frequency: str | None) -> Iterator[Path]:
    """Save the candles of an input as a file, and remove it after the block.

    Raises:
        DataError: columns have different lengths, or a time or the file cannot be read.
    """
    with beside(Path(tempfile.gettempdir(), f"{PREFIX}{secrets.token_hex(8)}")) as folder:
        folder.mkdir(mode=0o700)
        if given.file is None:
            (path,) = save_candles({given.symbol or UNNAMED: _to_frame(given, frequency)}, folder).iterdir()
        else:
            path = folder / name_file(given.file.name)
            path.write_bytes(_decode(given.file))
        yield path


def remove_leftovers() -> None:
    """Remove the inputs that servers were reading when they were killed."""
    place = Path(tempfile.gettempdir())
    remove_temporaries(place, [each.name.rpartition(".")[2] for each in place.glob(f".*.{PREFIX}*")])


def build_task(
    given: Input, run: ServedRun, lookback: int, horizon: int, exchange: str | None, frequency: str | None
) -> tuple[str, ForecastTask]:
    """Read the candles of an input, and find the times of the horizon. Their last candle is the origin.

    Returns:
        The name of the series, and its task.

    Raises:
        DataError: the candles are malformed. ConfigError: there are several symbols and none is chosen, or the exchange
            is not known.
    """
    config = run.config
    options = replace(ReadingOptions.of(config.data), since=None, until=None)
    if given.file is None:  # which has our names of columns
        options = replace(options, columns={})
    with saved_input(given, frequency) as path:
        how = options, config.repairs, config.data.max_gap, run.trained if given.symbol or given.file else None
        tasks, errors = build_forecast_tasks([path], LAST, lookback, horizon, exchange, *how)
    if errors and (not tasks or given.symbol not in (None, *tasks)):
        raise DataError("{errors}", errors=Message.join(errors))
    name = _choose(list(tasks), given)
    return name, tasks[name]


def hide_places(text: str) -> str:
    """Return a text without the folders in which inputs are for a moment."""
    if PREFIX not in text:
        return text
    return re.sub(re.escape(tempfile.gettempdir()) + PLACE, "", text).replace(".feather", "")


def read_config(path: Path, language: str) -> Config:
    """Return a configuration that reads a file and nothing else."""
    return build_reading_config([], [f"report.language={language}"]).override({"data.data_path": [path]}, "check")


def _decode(file: File) -> bytes:
    try:
        content = base64.b64decode(file.content_base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("file.content_base64: not base64: {reason}.", reason=error) from None
    if content.startswith((*COMPRESSIONS, ZIP)):  # the size of a request bounds what is read
        raise DataError("{name}: the file is packed. Send it unpacked.", name=file.name)
    return content


def _choose(symbols: list[str], given: Input) -> str:
    if len(symbols) == 1 and (given.file is None or given.symbol in (None, *symbols)):
        return symbols[0]
    if given.symbol in symbols:
        return str(given.symbol)
    listed = ", ".join(symbols[:5]) + (", …" if len(symbols) > 5 else "")
    if given.symbol is not None:
        template = (
            "the file has no symbol {symbol}. It has {listed}. Choose one, or leave symbol out if there is one only."
        )
        raise ConfigError(template, symbol=given.symbol, listed=listed)
    template = "there are {n} symbols ({listed}). Name one as symbol, for example {first}."
    raise ConfigError(template, n=len(symbols), listed=listed, first=symbols[0])


def _to_frame(given: Input, frequency: str | None) -> pd.DataFrame:
    columns = _list_columns(given)
    n = len(columns["close"])
    times = _list_times(given, frequency, n)
    for name, values in {TIMESTAMP_COLUMN: times, **columns}.items():
        if len(values) != n:
            template = "{name} has {m} values, but close has {n}. Give one for each candle."
            raise DataError(template, name=name, m=len(values), n=n)
    return pd.DataFrame({TIMESTAMP_COLUMN: times, **columns})


def _list_columns(given: Input) -> dict[str, list[float | None]]:
    if given.candles is not None:
        columns = {name: getattr(given.candles, name) for name in CANDLE_COLUMNS}
        return {name: values for name, values in columns.items() if values is not None}
    closes: list[float | None] = []
    for row, value in enumerate(given.target or ()):
        if isinstance(value, list) and len(value) != 1:
            template = "target, row {row}: {n} values. Give one close for each time, or candles."
            raise DataError(template, row=row, n=len(value))
        closes.append(value[0] if isinstance(value, list) else value)
        if closes[-1] is None:
            raise DataError("target, row {row}: null is no price. Leave the row and its time out.", row=row)
    return dict.fromkeys(PRICE_COLUMNS, closes)


def _list_times(given: Input, frequency: str | None, n: int) -> list[Time] | list[str]:
    if given.timestamps is not None:
        if len({isinstance(each, str) for each in given.timestamps}) > 1:
            raise DataError("timestamps: some are texts and some are numbers. Write all of them alike.")
        return given.timestamps
    if frequency is None:
        raise DataError("start needs parameters.frequency, such as 5min, h or D; or give timestamps.")
    start = str(given.start)
    try:
        times = pd.date_range(start, periods=n if YEAR_FIRST.match(start) else 0, freq=frequency)
    except (ValueError, TypeError, OverflowError, AttributeError):  # the last of "", which is read as no time
        times = pd.DatetimeIndex([])
    if not len(times) or times[0] >= times[-1]:
        template = (
            "start {start!r} and parameters.frequency {frequency!r} make no {n} times. Write them like 2024-06-18 11:15 and "
            "5min, h or D; or give timestamps."
        )
        raise DataError(template, start=start, frequency=frequency, n=n)
    return [str(each) for each in times]
