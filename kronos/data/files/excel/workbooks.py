"""Read a sheet of an Excel workbook as the text of a CSV file."""

from __future__ import annotations

import csv
import io
import itertools
import json
import subprocess
import sys
import zipfile
from functools import lru_cache
from pathlib import Path

from kronos.candles import PRICE_COLUMNS
from kronos.data.files.columns import recognise_columns
from kronos.data.files.excel import converter
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
        DataError: the reader is not installed, the workbook is damaged or too large, or several sheets hold candles.
    """
    filled = [(name, text) for name, text in _convert(path) if text.strip(", \n")]
    found = [each for each in filled if _holds_candles(each[1])] or filled
    if not found:
        raise DataError("{path}: the workbook is empty. Save the candles again.", path=path)
    if len(found) > 1:
        template = "{path}: the workbook has several sheets ({sheets}). Save each as a file of its own."
        raise DataError(template, path=path, sheets=", ".join(name for name, _ in found[:10]))
    return found[0][1].encode()


def _convert(path: Path) -> list[tuple[str, str]]:
    """Return the names of all sheets and their cells as CSV."""
    command = [sys.executable, "-P", converter.__file__, str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    if done.returncode == 0:
        return [(name, text) for name, text in json.loads(done.stdout)]
    if done.returncode == converter.NOT_INSTALLED:
        missing = "{path}: this is an Excel workbook. Save it as CSV (UTF-8), or install the reader: pip install python-calamine."
        raise DataError(missing, path=path)
    reason = "its sheets are too large, or it is damaged"
    if done.returncode == converter.DAMAGED:
        reason = done.stdout.decode(errors="replace").rstrip(".")
    template = "{path}: this is an Excel workbook that cannot be read: {reason}. Save it as CSV (UTF-8)."
    raise DataError(template, path=path, reason=reason)


def _holds_candles(text: str) -> bool:
    rows = csv.reader(io.StringIO(text))
    try:
        head = [[cell.strip() for cell in row] for row in itertools.islice(rows, ROWS_SEARCHED)]
    except csv.Error:  # a cell of more than a hundred thousand characters
        return False
    return any(set(PRICE_COLUMNS) <= recognise_columns(row).keys() for row in head)
