"""Read a sheet of an Excel workbook as the text of a CSV file."""

from __future__ import annotations

import zipfile
from functools import lru_cache
from pathlib import Path

import pandas as pd

from kronos.candles import PRICE_COLUMNS
from kronos.data.files.columns import recognise_columns
from kronos.errors import DataError

OLD_WORKBOOK, ZIP = b"\xd0\xcf\x11\xe0", b"PK\x03\x04"
ROWS_SEARCHED = 40


def is_workbook(path: Path, head: bytes) -> bool:
    """Whether a file that begins with these bytes is a workbook."""
    if head.startswith(OLD_WORKBOOK):
        return True
    if not head.startswith(ZIP) or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.startswith("xl/workbook") for name in archive.namelist())


@lru_cache(maxsize=1)  # the same file is opened several times in a row
def read_workbook(path: Path, modified: float) -> bytes:
    """Return the sheet of candles, or the only sheet, as CSV in UTF-8; modified: the time of the file, for the cache.

    Raises:
        DataError: the reader is not installed, the workbook is damaged, or several sheets hold candles.
    """
    try:
        sheets = pd.read_excel(path, sheet_name=None, header=None, dtype=object, engine="calamine")
    except ImportError:
        template = "{path}: this is an Excel workbook. Save it as CSV (UTF-8), or install the reader: pip install python-calamine."
        raise DataError(template, path=path) from None
    except Exception as error:  # of the reader's own kinds
        template = "{path}: this is an Excel workbook that cannot be read: {reason}. Save it as CSV (UTF-8)."
        raise DataError(template, path=path, reason=str(error).rstrip(".")) from None
    filled = {str(name): sheet for name, sheet in sheets.items() if not sheet.empty}
    found = [name for name, sheet in filled.items() if _holds_candles(sheet)] or list(filled)
    if not found:
        raise DataError("{path}: the workbook is empty. Save the candles again.", path=path)
    if len(found) > 1:
        template = "{path}: the workbook has several sheets ({sheets}). Save each as a file of its own."
        raise DataError(template, path=path, sheets=", ".join(found[:10]))
    return filled[found[0]].to_csv(index=False, header=False).encode()


def _holds_candles(sheet: pd.DataFrame) -> bool:
    rows = [[str(cell).strip() for cell in row] for row in sheet.head(ROWS_SEARCHED).to_numpy().tolist()]
    return any(set(PRICE_COLUMNS) <= recognise_columns(row).keys() for row in rows)
