"""Print what `kronos check` makes of each file or folder in a folder: read, read with a warning or refused, and why.

    python benchmarks/check_cases.py FOLDER

A warning is a finding beside those that tell how a file was read. The message is that of the first error, or the first warning.
If the folder has a README.md with a table, the last cell of a file's row is printed below it: what is right.
"""

from __future__ import annotations

import re
import sys
import textwrap
import time
from pathlib import Path

from kronos.config.load import build_reading_config
from kronos.data import load_candles
from kronos.data.quality.findings import SEVERITIES
from kronos.errors import KronosError

WIDTH = 120  # of a message
NAME = re.compile(r"[\w.-]+\.\w+|[\w.-]+(?=/)")


def check(path: Path) -> tuple[int, str, str]:
    """Return the exit status of `kronos check`, the verdict and the deciding message."""
    try:
        config = build_reading_config([str(path)], [])
        findings = load_candles(config.data, config.repairs).findings
    except KronosError as error:
        return 1, "refused", str(error)
    doubts = [each for each in findings if each.kind != "reading" or each.severity != "note"]
    first = min(doubts, key=lambda each: SEVERITIES.index(each.severity), default=None)
    if first is None:
        return 0, "read", ""
    refused = first.severity == "error"
    message = f"{first.kind}: {first.text} {first.remedy}"
    return int(refused), "refused" if refused else "read with a warning", message


def read_right(folder: Path) -> dict[str, str]:
    """Return the last cell of the row that names a file, from the tables of the folder's README."""
    readme = folder / "README.md"
    rows = readme.read_text(encoding="utf-8").splitlines() if readme.is_file() else []
    cells = [row.strip("| ").split(" | ") for row in rows if row.startswith("|")]
    return {name: row[-1] for row in cells for name in NAME.findall(row[0])}


def main() -> None:
    """Print a row for each entry of the folder."""
    folder = Path(sys.argv[1])
    right = read_right(folder)
    for path in sorted(folder.iterdir()):
        if path.suffix == ".md":
            continue
        began = time.perf_counter()
        status, verdict, message = check(path)
        seconds = time.perf_counter() - began
        print(f"{path.name:<34} {status}  {verdict:<19} {seconds:5.1f} s  {' '.join(message.split())[:WIDTH]}")
        if path.name in right:
            print(textwrap.indent(f"right: {right[path.name]}", " " * 37))


if __name__ == "__main__":
    main()
