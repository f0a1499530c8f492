"""Read the columns of a file that are not used: they may tell what was misread."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from kronos.data.files.options import ReadingOptions
from kronos.data.files.read import RawSeries
from kronos.data.files.tables import open_table
from kronos.errors import DataError


def read_ignored(raw: RawSeries) -> pd.DataFrame:
    """Return the unused columns of a series' file as text (N, K), a row for each of its rows; K is 0 if there is no such file."""
    path, none = Path(raw.source), pd.DataFrame(index=range(len(raw)))
    if raw.parts or not path.is_file():
        return none
    try:
        table = open_table(path, ReadingOptions(raw.columns))
        ignored = [name for name in table.names if name not in raw.columns.values()]
        if not ignored:
            return none
        pieces = [piece[ignored].astype("str") for piece in table.read(ignored, table.names)]
    except DataError:
        return none
    text = pd.concat(pieces)
    text.index += table.first
    rows: pd.DataFrame = text.reindex(raw.lines).fillna("").reset_index(drop=True)
    return rows
