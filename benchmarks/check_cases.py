"""Print what `kronos check` makes of each file or folder in a folder: read, read with a warning or refused, and why.

    python benchmarks/check_cases.py FOLDER

A warning is a finding beside those that tell how a file was read. The message is that of the first error, or the first warning.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from kronos.config.load import build_reading_config
from kronos.data import load_candles
from kronos.data.quality.findings import SEVERITIES
from kronos.errors import KronosError

WIDTH = 120  # of a message


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


def main() -> None:
    """Print a row for each entry of the folder."""
    for path in sorted(Path(sys.argv[1]).iterdir()):
        if path.suffix == ".md":
            continue
        began = time.perf_counter()
        status, verdict, message = check(path)
        seconds = time.perf_counter() - began
        print(f"{path.name:<34} {status}  {verdict:<19} {seconds:5.1f} s  {' '.join(message.split())[:WIDTH]}")


if __name__ == "__main__":
    main()
