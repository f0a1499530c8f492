"""losses.csv: every forecast with its actual value and its losses, one row for each symbol, origin, step and forecaster."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from kronos.candles import Array
from kronos.evaluation.origins.clock import find_local_times
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.scores.quantiles import find_quantiles
from kronos.evaluation.scoring import to_returns
from kronos.files import replacing
from kronos.names import name_cell

QUANTILES = {"q05": 0.05, "q10": 0.1, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q90": 0.9, "q95": 0.95}
LOSSES = {"crps": "crps", "absolute_error": "mae", "hit": "direction"}  # column: its loss
ORIGINS_AT_ONCE = 512  # bounds the memory: about 25,000 rows for a horizon of 48
SCHEMA = pa.schema(
    [
        ("symbol", pa.string()),
        ("origin", pa.string()),
        ("step", pa.int32()),
        ("forecaster", pa.string()),
        ("close", pa.float32()),
        ("actual", pa.float32()),
        *((name, pa.float32()) for name in (*QUANTILES, *LOSSES)),
    ]
)


class LossTable:
    """Appends the rows of one forecaster after the other to an open CSV file."""

    def __init__(self, writer: csv.CSVWriter, origins: Origins) -> None:
        self._writer = writer
        self._origins = origins

    def add(self, forecaster: str, returns: Array, losses: dict[str, Array], moves: bool = True) -> None:
        """Append the rows of a forecaster.

        Args:
            returns: (N, P, H), its sampled log returns since the last known close.
            losses: (N, H) by metric: crps, mae and direction.
            moves: false if its median is the last known close.
        """
        for first in range(0, len(self._origins), ORIGINS_AT_ONCE):
            part = slice(first, first + ORIGINS_AT_ONCE)
            chosen = self._origins.take(np.arange(len(self._origins))[part])
            own = {name: loss[part] for name, loss in losses.items()}
            self._writer.write_table(build_loss_rows(chosen, forecaster, returns[part], own, moves))


@contextmanager
def open_loss_table(path: Path | None, origins: Origins) -> Iterator[LossTable | None]:
    """Open losses.csv to write to, through a temporary file. Give None if there is no path.

    Raises:
        KronosError: the file cannot be written.
    """
    if path is None:
        yield None
        return
    with replacing(path) as temporary, csv.CSVWriter(temporary, SCHEMA) as writer:
        yield LossTable(writer, origins)


def build_loss_rows(
    origins: Origins, forecaster: str, returns: Array, losses: dict[str, Array], moves: bool = True
) -> pa.Table:
    """Build the rows of SCHEMA, N × H of them; see `LossTable.add`.

    close: the actual close. actual and quantiles: log returns since the last known close. hit: 1, or 0 for a wrong
    direction, 1/2 for a median that does not move; empty if the close did not move.
    """
    n, horizon = origins.actual.shape
    quantiles = find_quantiles(np.sort(returns, axis=1), list(QUANTILES.values()), "weibull")  # as the bands are
    if not moves:
        quantiles[list(QUANTILES).index("q50")] = 0.0
    symbols = np.array([name_cell(symbol.symbol) for symbol in origins.candles.symbols])
    texts = {
        "symbol": symbols[origins.candles.symbol_numbers(origins.rows)],
        "origin": _format_times(find_local_times(origins.candles, origins.rows)),
        "forecaster": np.full(n, name_cell(forecaster)),
    }
    values = {"close": origins.actual, "actual": to_returns(origins.actual, origins)}
    values |= dict(zip(QUANTILES, quantiles)) | {column: losses[name] for column, name in LOSSES.items()}
    columns = {name: pa.array(np.repeat(text, horizon), pa.string()) for name, text in texts.items()}
    columns["step"] = pa.array(np.tile(np.arange(1, horizon + 1, dtype=np.int32), n))
    for name, value in values.items():
        columns[name] = pa.array(value.astype(np.float32).ravel(), from_pandas=True)
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _format_times(times: Array) -> Array:
    """Return local times (N,), in microseconds, as texts: "2024-09-02 09:35:00"."""
    return np.char.replace(np.datetime_as_string(times.astype("M8[us]"), unit="s"), "T", " ")
