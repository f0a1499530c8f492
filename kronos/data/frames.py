"""Take candles as frames: pandas, polars, PyArrow, DuckDB, or anything else that exports an Arrow stream."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.feather
from typing_extensions import TypeIs

from kronos.candles import PRICE_COLUMNS, TIMESTAMP_COLUMN
from kronos.data.files.aliases import SYMBOL
from kronos.data.files.columns import recognise_columns
from kronos.disk.temporaries import name_temporary
from kronos.errors import DataError
from kronos.names import name_file


class ArrowStream(Protocol):
    """A table of another library: a polars frame, a PyArrow table or reader, a DuckDB relation."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...


Frame = pd.DataFrame | ArrowStream


def is_frame(value: object) -> TypeIs[Frame]:
    """Whether a value is a frame of pandas or exports an Arrow stream."""
    return isinstance(value, pd.DataFrame) or hasattr(value, "__arrow_c_stream__")


def to_pandas(frame: object, name: str) -> pd.DataFrame:
    """Return a frame as one of pandas.

    Raises:
        DataError: it is no frame, or its stream holds no table.
    """
    if isinstance(frame, pd.DataFrame):
        return frame
    if not is_frame(frame):
        template = "{name}: expected a frame of candles (of pandas, polars, PyArrow or DuckDB), got {type}."
        raise DataError(template, name=name, type=type(frame).__name__)
    try:
        df: pd.DataFrame = pa.RecordBatchReader.from_stream(frame).read_all().to_pandas()
        return df
    except (pa.ArrowException, TypeError, ValueError) as error:
        template = "{name}: this {type} cannot be read as a table: {reason}. Give a frame with a column for each price."
        raise DataError(template, name=name, type=type(frame).__name__, reason=str(error).rstrip(".")) from None


def save_candles(frames: Frame | Mapping[str, Frame], folder: Path) -> Path:
    """Save frames as Feather files in a folder that is named by their content, and return it for data.data_path.

    Args:
        frames: one frame of one or more symbols, or a frame for each symbol.
        folder: where the new folder is made. Equal frames have the same folder; it is not written again.

    Raises:
        DataError: something is no frame, or the folder cannot be written.
    """
    if isinstance(frames, Mapping):
        tables = {str(symbol): _set_symbol(each, str(symbol)) for symbol, each in frames.items()}
    else:
        tables = {"candles": to_rows(to_pandas(frames, "data"), "data")}
    if not tables:
        raise DataError("there are no frames of candles. Give at least one.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        prefix = name_temporary(folder / "frames").name
        with tempfile.TemporaryDirectory(prefix=prefix, dir=folder, ignore_cleanup_errors=True) as temporary:
            return _write_tables(tables, Path(temporary), folder)
    except OSError as error:
        raise DataError(
            "{path}: the frames cannot be saved: {reason}. Choose another folder with data.cache_dir.",
            path=folder,
            reason=error.strerror or error,
        ) from None


def _write_tables(tables: Mapping[str, pd.DataFrame], temporary: Path, folder: Path) -> Path:
    digest = hashlib.sha256()
    for n, (symbol, table) in enumerate(tables.items(), 1):
        number = f"{n:05}_" if len(tables) > 1 else ""  # keeps the order
        file = temporary / f"{number}{name_file(symbol)}.feather"
        pyarrow.feather.write_feather(pa.Table.from_pandas(table, preserve_index=False), str(file))
        digest.update(file.name.encode() + file.read_bytes())
    saved = folder / digest.hexdigest()[:16]
    if not saved.exists():
        whole = temporary / "whole"  # the temporary folder itself is removed
        whole.mkdir()
        for file in temporary.glob("*.feather"):
            file.rename(whole / file.name)
        with suppress(FileExistsError):  # another process was faster
            whole.rename(saved)
    return saved


def _set_symbol(frame: Frame, symbol: str) -> pd.DataFrame:
    rows = to_rows(to_pandas(frame, symbol), symbol)
    own = recognise_columns(rows.columns).get(SYMBOL)
    return rows.drop(columns=[own] if own else []).assign(symbol=symbol)


def to_rows(df: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return a frame with one level of column names, whose index is a column, and with types that a file can hold."""
    if df.columns.nlevels > 1:
        df = _stack(df)
    if not isinstance(df.index, pd.MultiIndex) and (df.index.name is None or df.index.name in df.columns):
        counts = pd.api.types.is_integer_dtype(df.index.dtype)  # without a name they number the rows
        df = df.reset_index(drop=True) if counts else df.rename_axis(index=TIMESTAMP_COLUMN)
    if not isinstance(df.index, pd.RangeIndex):
        df = df.drop(columns=[each for each in df.index.names if each in df.columns]).reset_index()
    df = df.set_axis([str(column) for column in df.columns], axis=1)
    if df.empty:
        raise DataError("{name}: the frame holds no candles. Give a frame with rows.", name=name)
    df = df.copy(deep=False)
    for n in range(df.shape[1]):
        df.isetitem(n, _to_storable(df.iloc[:, n]))
    return df


def _to_storable(column: Any) -> Any:
    if isinstance(column.dtype, pd.PeriodDtype):
        return column.dt.to_timestamp()
    return column.astype("string") if column.dtype == object else column


def _stack(df: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of several symbols below one another; yfinance has them side by side, in a second level."""
    levels = range(df.columns.nlevels)
    names = [set(map(str, df.columns.get_level_values(level))) for level in levels]
    prices = [level for level in levels if recognise_columns(names[level]).keys() >= set(PRICE_COLUMNS)]
    symbols = [level for level in levels if level != (prices or [0])[0]]
    df = df.set_axis(df.columns.set_names([SYMBOL] * len(symbols), level=symbols), axis=1)
    stacked = df.stack(symbols, future_stack=True).dropna(how="all")
    return stacked.reset_index(list(range(df.index.nlevels, stacked.index.nlevels)))
