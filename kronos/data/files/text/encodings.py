"""Tell the encoding of a text file."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kronos.candles import PRICE_COLUMNS
from kronos.data.files.columns import is_known
from kronos.errors import DataError

BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# In order of preference. What one writes another may read, as nonsense: the names of the columns decide.
OTHERS = ("gb18030", "big5hkscs", "cp932", "cp949", "cp1251", "cp1252", "cp1250", "cp1254")
HEAD_LINES = 40


def detect_encoding(path: Path, head: bytes, open_file: Callable[[Path], Any]) -> str:
    """Return the encoding of a byte order mark, else UTF-8, else the one that yields most known names of columns.

    Args:
        head: the first bytes of the file; open_file: opens it for reading bytes.

    Raises:
        DataError: it is no text in any of them.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if head.startswith(mark) and len(head) > len(mark):
            return encoding
    for n, encoding in enumerate(("utf-16-be", "utf-16-le")):  # without a mark, every other byte of English is 0
        if len(head) > 1 and not any(head[n:200:2]) and all(head[1 - n : 200 : 2]):
            return encoding
    if _decodes(path, "utf-8", open_file):
        return "utf-8"
    by_names = sorted(OTHERS, key=lambda encoding: -_count_names(head, encoding))
    candidates = [each for each in by_names if each == "gb18030" or _count_foreign_names(head, each)]
    for encoding in candidates:
        if _decodes(path, encoding, open_file):
            return encoding
    if _count_names(head, "cp1252") >= len(PRICE_COLUMNS):  # some cells are of another encoding
        return "latin-1"
    raise DataError("{path}: this is neither UTF-8 nor GB18030 text. Save it as CSV (UTF-8).", path=path)


def _decodes(path: Path, encoding: str, open_file: Callable[[Path], Any]) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with open_file(path) as file:
            while piece := file.read(1 << 20):
                decoder.decode(piece)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _list_names(head: bytes, encoding: str) -> set[str]:
    lines = head.decode(encoding, errors="ignore").splitlines()[:HEAD_LINES]
    cells = {cell.strip(" \"'") for line in lines for cell in re.split(r"[,;\t|]", line)}
    return {cell for cell in cells if cell and is_known(cell)}


def _count_names(head: bytes, encoding: str) -> int:
    return len(_list_names(head, encoding))


def _count_foreign_names(head: bytes, encoding: str) -> int:
    """Return how many known names show this encoding: those in ASCII are the same in all."""
    return sum(not name.isascii() for name in _list_names(head, encoding))
