"""Where the time of a command went, in words."""

from collections.abc import Mapping

from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import format_percent
from kronos.timing import Activity

UNITS = {"day": 86_400, "hour": 3_600, "minute": 60}


def format_rough_time(seconds: float, words: Words) -> str:
    """Return a duration as a reader would say it: 45 seconds, 3 minutes, 30 hours."""
    unit, size = next(((unit, size) for unit, size in UNITS.items() if seconds >= 2 * size), ("second", 1))
    n = max(round(seconds / size), 1)
    return words(f"units.{unit}s" if n > 1 else f"units.{unit}", n=n)


def list_times(seconds: Mapping[Activity, float], words: Words) -> list[tuple[str, str]]:
    """Return the activities with their seconds and shares, and the total last; empty without any.

    The seconds are rounded in such a way that they add up to the total.
    """
    total, end, rows = sum(seconds.values()), 0.0, []
    for activity, taken in seconds.items():
        begin, end = end, end + taken
        tenths = round(10 * end) - round(10 * begin)
        if tenths:
            rows.append((words(f"times.{activity}"), _write(tenths, taken / total, words)))
    if rows:
        rows.append((words("times.total"), _write(round(10 * total), 1.0, words)))
    return rows


def _write(tenths: int, share: float, words: Words) -> str:
    return words("times.seconds", seconds=f"{tenths / 10:,.1f}", share=format_percent(share, 0))
