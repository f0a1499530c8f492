"""Read single lines of a file again, as they stand there."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable
from pathlib import Path

from kronos.data.files.opening import open_bytes
from kronos.data.files.options import ReadingOptions
from kronos.data.files.tables import Table, open_table
from kronos.names import make_printable

AS_IT_STANDS = ReadingOptions({"timestamps": "column 1"}, decimal=".")  # columns without names need none
MAX_LENGTH = 300  # characters of a line that are shown


def read_lines(path: Path, numbers: Collection[int]) -> dict[int, str]:
    """Return the lines, or rows, with these numbers.

    Raises:
        DataError: the file cannot be read.
    """
    table = open_table(path, AS_IT_STANDS)
    return _read_text(table, numbers) if table.encoding else _read_rows(table, numbers)


def _read_text(table: Table, numbers: Collection[int]) -> dict[int, str]:
    found, last = dict[int, str](), max(numbers)
    wide = table.encoding.startswith("utf-16")  # its line ends are not single bytes
    with open_bytes(table.path) as file:
        lines: Iterable[str | bytes] = io.TextIOWrapper(file, table.encoding) if wide else io.BufferedReader(file)
        for number, line in enumerate(lines, start=1):
            if number in numbers:
                text = line if isinstance(line, str) else line.decode(table.encoding, errors="replace")
                found[number] = make_printable(text.strip("\r\n\ufeff")[:MAX_LENGTH], keep="\t")
            if number >= last:
                break
    return found


def _read_rows(table: Table, numbers: Collection[int]) -> dict[int, str]:
    found = {}
    for piece in table.read(table.names, ()):
        for number in piece.index.intersection([number - table.first for number in numbers]):
            row = piece.loc[number]
            text = ", ".join(f"{name}={value}" for name, value in row.items())
            found[int(number) + table.first] = make_printable(text[:MAX_LENGTH])
    return found
