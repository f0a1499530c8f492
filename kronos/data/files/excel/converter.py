"""A program of its own that prints the sheets of a workbook as JSON: names, and texts in CSV.

The reader takes memory for all cells between the first and the last one, and ends the process if there is not enough: one
cell in the last corner of a sheet is enough for that. A process with limits reads it instead.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
from datetime import date, datetime
from typing import Any

MAX_MEMORY, MAX_SECONDS = 3 << 30, 60
MAX_CHARACTERS = 1 << 28  # of all sheets
NOT_INSTALLED, TOO_LARGE, DAMAGED = 3, 4, 5  # exit statuses


def _limit_resources() -> None:
    if sys.platform == "win32":  # it has no such limits
        return
    import resource

    for kind, limit in (
        (resource.RLIMIT_AS, MAX_MEMORY),
        (resource.RLIMIT_CPU, MAX_SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        with contextlib.suppress(ValueError, OSError):  # macOS knows no limit of the address space
            resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _read_sheets(path: str) -> list[tuple[str, str]]:
    import python_calamine

    workbook = python_calamine.CalamineWorkbook.from_path(path)
    sheets, n_characters = [], 0
    for n, name in enumerate(workbook.sheet_names):
        text = _write_csv(workbook.get_sheet_by_index(n).to_python(skip_empty_area=False))
        n_characters += len(text)
        if n_characters > MAX_CHARACTERS:
            raise MemoryError
        sheets.append((name, text))
    return sheets


def _write_csv(rows: list[list[Any]]) -> str:
    filled = [n for n, row in enumerate(rows) if any(cell != "" for cell in row)]
    if not filled:
        return ""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_plain, row) for row in rows[: filled[-1] + 1])
    return text.getvalue()


def _plain(cell: Any) -> Any:
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    return f"{cell:%Y-%m-%d} 00:00:00" if isinstance(cell, date) and not isinstance(cell, datetime) else cell


def main() -> int:
    _limit_resources()
    try:
        json.dump(_read_sheets(sys.argv[1]), sys.stdout)
    except ImportError:
        return NOT_INSTALLED
    except MemoryError:
        return TOO_LARGE
    except Exception as error:  # of the reader's own kinds
        sys.stdout.write(str(error))
        return DAMAGED
    return 0


if __name__ == "__main__":
    sys.exit(main())
