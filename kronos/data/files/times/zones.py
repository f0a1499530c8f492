"""Tell the zone that is written behind a time."""

from __future__ import annotations

import re
from collections import Counter
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from kronos.candles import Array
from kronos.data.files.times.fields import NOT_A_TIME

MINUTE = 60_000_000
OFFSET = re.compile(r"(?:(?:UTC|GMT)\s*)?([+-])(\d{1,2}):?(\d{2})?(?::?00)?\s*(?:[\[(].*)?", re.I)
ZERO = re.compile(r"Z|UTC|GMT|UT|Z?\[(?:UTC|GMT)\]|[+]?00:00\s*UTC", re.I)
NAME = re.compile(r"\[?([A-Za-z]+(?:/[A-Za-z_+-]+\d*)+|EST5EDT|CST6CDT|MST7MDT|PST8PDT)\]?")
# Hours from UTC of names that occur in pairs, as clocks change: one of a pair alone is a label rather than an offset.
PAIRS = (
    {"EST": -5, "EDT": -4},
    {"CST": -6, "CDT": -5},
    {"MST": -7, "MDT": -6},
    {"PST": -8, "PDT": -7},
    {"GMT": 0, "BST": 1},
    {"WET": 0, "WEST": 1},
    {"CET": 1, "CEST": 2},
    {"EET": 2, "EEST": 3},
    {"AEST": 10, "AEDT": 11},
    {"NZST": 12, "NZDT": 13},
)
LABELS = {name for pair in PAIRS for name in pair} | {
    "JST",
    "KST",
    "HKT",
    "SGT",
    "IST",
    "MSK",
    "BRT",
    "ET",
    "CT",
    "PT",
    "MT",
}


def zone_kind(zone: str) -> str:
    """Return "none", "offset", "name", "label" or "unknown"."""
    if not zone:
        return "none"
    if ZERO.fullmatch(zone) or OFFSET.fullmatch(zone):
        return "offset"
    if (match := NAME.fullmatch(zone)) and _is_known(match[1]):
        return "name"
    return "label" if zone.upper() in LABELS else "unknown"


def to_instants(local: Array, zones: pd.Series) -> Array:
    """Return true times (N,) of local times and the offsets or names of zones behind them."""
    codes, names = pd.factorize(zones)
    instants = np.full(len(local), NOT_A_TIME)
    for code, name in enumerate(names):
        rows = np.flatnonzero((codes == code) & (local != NOT_A_TIME))
        instants[rows] = _to_instants(local[rows], str(name), _find_pair(names))
    return instants


def localize(local: Array, name: str) -> Array:
    """Return true times (N,) of local times in a zone.

    An hour that comes twice is first in summer time; the second time that a time comes, it is in winter time.
    """
    index = pd.DatetimeIndex(np.where(local == NOT_A_TIME, np.datetime64("NaT", "us"), local.astype("M8[us]")))
    backward = len(local) > 1 and local[0] > local[-1]
    is_summer = ~index.duplicated(keep="last" if backward else "first")
    zoned = index.tz_localize(name, ambiguous=is_summer, nonexistent="NaT").as_unit("us").asi8.copy()
    zoned[np.asarray(pd.isna(index))] = NOT_A_TIME
    return zoned


def show_on_clock(instants: Array, name: str) -> Array:
    """Return local times (N,) of true times in a zone."""
    index = pd.DatetimeIndex(np.where(instants == NOT_A_TIME, np.datetime64("NaT", "us"), instants.astype("M8[us]")))
    return index.tz_localize("UTC").tz_convert(name).tz_localize(None).as_unit("us").asi8.copy()


def is_pair(names: Counter[str] | set[str]) -> bool:
    """Whether labels are those of one zone in winter and in summer."""
    upper = {name.upper() for name in names}
    return len(upper) > 1 and _find_pair(sorted(upper)) is not None


def _find_pair(names: object) -> dict[str, int] | None:
    upper = {str(name).upper() for name in names}  # type: ignore[attr-defined]
    return next((pair for pair in PAIRS if upper <= pair.keys()), None)


def _to_instants(local: Array, zone: str, pair: dict[str, int] | None) -> Array:
    if pair:
        return local - pair[zone.upper()] * 60 * MINUTE
    if ZERO.fullmatch(zone):
        return local
    if match := OFFSET.fullmatch(zone):
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        return local - (minutes if match[1] == "+" else -minutes) * MINUTE
    name = NAME.fullmatch(zone)
    return localize(local, name[1]) if name else np.full(len(local), NOT_A_TIME)


def _is_known(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True
