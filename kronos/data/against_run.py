"""Compare new candles with those that a run was trained on; the run's data.json describes these."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kronos.candles import Array
from kronos.data.candle_kind import LEVELS, MINUTE, CandleKind, Level, format_clock
from kronos.data.quality.series import format_interval
from kronos.data.windows.candle_set import DAY
from kronos.run_folder import RunFolder

MIN_CANDLES = 16  # fewer show neither interval nor hours
UNSEEN_SHARE = 0.01  # of the candles, at hours of the week that the run never saw
WHOLE_WEEKS = 14  # days of candles that show all hours of the week
OTHER_LABEL_SHARE = 0.1  # of the candles, at minutes of the hour that the run never saw
ROUND_THE_CLOCK = 20  # hours of the day with candles, in a market whose hours do not show the time zone
FAR = {"close": 5.0, "volume": 8.0, "amount": 8.0}  # times beyond the run's 5% and 95% quantiles
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MARKET_ZONES = {  # by the hours that their clocks are ahead of UTC, in winter or summer
    8: "Asia/Shanghai",
    9: "Asia/Tokyo",
    -5: "America/New_York",
    -4: "America/New_York",
    -6: "America/Chicago",
    0: "Europe/London",
    1: "Europe/Berlin",
    2: "Europe/Berlin",
}
CODE = re.compile(
    r"(?:sh|sz|bj|hk|us)?[._]?(\d{5,6})(?:[._](?:sh|sz|ss|bj|hk|us|sse))?|([A-Z]{1,5}|[A-Z]{2,10}(?:USDT?|BTC|ETH))"
)


@dataclass(frozen=True)
class RunCandles:
    """The candles of a run, as data.json describes them; a part that an earlier version did not store is empty.

    intervals: as texts, "5 minutes"; "0 days" without a fixed one. levels: the quantiles of close, volume and amount, by symbol. sources: its file.
    """

    intervals: frozenset[str]
    sources: Mapping[str, str]
    levels: Mapping[str, Mapping[str, Level]]
    hours: frozenset[int] = frozenset()
    minutes: frozenset[int] = frozenset()
    days: float = 0.0
    zones: frozenset[str] = frozenset()
    openings: frozenset[int] = frozenset()

    @classmethod
    def read(cls, run: RunFolder) -> RunCandles | None:
        """Read the description in a run's folder; None if there is none."""
        try:
            audit = json.loads(run.audit.read_text(encoding="utf-8"))
            symbols, kind = audit["symbols"], audit.get("kind", {})
            hours, minutes, zones, openings = (
                frozenset(kind.get(key, ())) for key in ("hours_of_week", "minutes", "zones", "openings")
            )
            return cls(
                intervals=frozenset(kind.get("intervals", [each["interval"] for each in symbols])),
                sources={each["symbol"]: each["source"] for each in symbols},
                levels={each["symbol"]: each["levels"] for each in symbols if "levels" in each},
                hours=hours,
                minutes=minutes,
                days=kind.get("days", 0.0),
                zones=zones,
                openings=openings,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None


def compare_with_run(new: CandleKind, run: RunCandles) -> list[str]:
    """Describe in what new candles differ from those of a run: interval, hours, zone, symbol and levels."""
    differences = [*_compare_symbol(new, run)]
    if new.n >= MIN_CANDLES:
        interval = _compare_interval(new, run)
        differences += interval or (*_compare_hours(new, run), *_compare_labels(new, run), *_compare_zone(new, run))
        differences += _compare_levels(new, run, same_interval=not interval)
    return differences


def _compare_interval(new: CandleKind, run: RunCandles) -> list[str]:
    own = format_interval(new.interval)
    if own in run.intervals or not new.interval or format_interval(0) in run.intervals:
        return []
    trained = " and ".join(sorted(run.intervals)[:3])
    return [
        f"these are candles of {own}, but the run was trained on candles of {trained}. Give candles of the run's interval, or "
        "train a run on these."
    ]


def _compare_hours(new: CandleKind, run: RunCandles) -> Iterable[str]:
    if not run.hours or not new.interval:
        return
    seen = np.isin(np.arange(len(new.hours)), list(run.hours))
    if run.days < WHOLE_WEEKS:  # then only the hours of the day are known
        seen = np.tile(seen.reshape(7, 24).any(axis=0), 7)
    unseen = np.where(seen, 0, new.hours)
    if unseen.sum() < max(2, UNSEEN_SHARE * new.n):
        return
    new_days = ~seen.reshape(7, 24).any(axis=1, keepdims=True) & (unseen.reshape(7, 24) > 0)
    most = int((np.where(new_days.ravel(), unseen, 0) if new_days.any() else unseen).argmax())
    daily = new.interval >= DAY
    hours, known = _list_hours(np.flatnonzero(new.hours)), _list_hours(run.hours)
    where = f"on {WEEKDAYS[most // 24]}s at {most % 24:02}:00"
    where += "" if daily or hours == known else f"; these have candles at hours {hours}, the run's at hours {known}"
    yield (
        f"{unseen.sum() / new.n:.0%} of these candles stand at hours of the week without candles in training, for example {where}. "
        f"{_propose_zone(new, seen)}"
    )


def _propose_zone(new: CandleKind, seen: Array) -> str:
    """Return the remedy: the time zone in which the candles stand at the run's hours, if there is exactly one."""
    unseen = {hours: np.roll(new.hours, hours)[~seen].sum() for hours in range(-14, 15)}
    fits = [hours for hours, n in unseen.items() if n < UNSEEN_SHARE * new.n]
    written = "" if new.zones else "UTC:"  # of times without a zone, the most common one
    offset = min(new.zones, default="+00:00")
    zone = MARKET_ZONES.get(int(offset[:3]) + fits[0]) if len(fits) == 1 and offset.endswith(":00") else None
    if zone:
        return f"Moved by {fits[0]:+} h they would fit: if that is the market's time zone, set data.timezone={written}{zone}."
    example = f"{written}{next(iter(MARKET_ZONES.values()))}"
    return (
        f"If the times are not on the run's clock, set data.timezone to the market's zone, as data.timezone={example}."
    )


def _list_hours(hours_of_week: Iterable[int]) -> str:
    """Return the hours of the day as ranges: 9–11, 13–15."""
    hours = sorted({int(hour) % 24 for hour in hours_of_week})
    runs = np.split(hours, 1 + np.flatnonzero(np.diff(hours) > 1))
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _compare_labels(new: CandleKind, run: RunCandles) -> Iterable[str]:
    """Compare the minutes at which candles stand: a candle may be named by its start, or by its end."""
    if not run.minutes or not new.interval:
        return
    unseen = np.delete(new.minutes, list(run.minutes)).sum() / new.n
    opening = new.opening // MINUTE
    nearest = min((abs(opening - other), other) for other in run.openings) if run.openings else (0, opening)
    if 0 < nearest[0] < 60 and new.interval < DAY and _count_hours(new.hours) < ROUND_THE_CLOCK:
        shown = f"the day begins at {format_clock(opening)}, in training at {format_clock(nearest[1])}"
    elif unseen >= OTHER_LABEL_SHARE:
        minutes = [minute for minute in np.flatnonzero(new.minutes) if minute not in run.minutes]
        shown = f"{unseen:.0%} of these candles stand at minutes of the hour without candles in training, as {minutes[0]:02}"
    else:
        return
    yield f"{shown}. If one names the start of a candle and the other its end, shift the times by the interval."


def _count_hours(hours: Array) -> int:
    return int(hours.reshape(7, 24).any(axis=0).sum())


def _compare_zone(new: CandleKind, run: RunCandles) -> Iterable[str]:
    """Compare the zones of a market that trades round the clock; elsewhere the hours show a difference."""
    zones = new.zones or {""}
    around = _count_hours(new.hours) >= ROUND_THE_CLOCK and 0 < new.interval < DAY
    if not around or not run.zones or zones <= run.zones:
        return
    own, trained = (" and ".join(zone or "no zone" for zone in sorted(each)[:3]) for each in (zones, run.zones))
    yield (
        f"the times have {_with_offset(own)}, those in training {_with_offset(trained)}. A forecast reads the local clock: "
        "write the times in the run's zone, or name its zone in data.timezone."
    )


def _with_offset(zones: str) -> str:
    return zones if zones == "no zone" else f"the offset {zones}"


def _compare_symbol(new: CandleKind, run: RunCandles) -> list[str]:
    if _find_same(new, run) != ():
        return []
    names = [*run.sources]
    trained = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
    return [f"the run was not trained on this symbol, but on {trained}. Its report says nothing about other symbols."]


def _find_same(new: CandleKind, run: RunCandles) -> tuple[str, ...] | None:
    """Return the run's symbols with the same name; None if names that come from files do not tell."""
    own = _find_code(new.symbol, new.source)
    codes = {symbol: _find_code(symbol, source) for symbol, source in run.sources.items()}
    same = tuple(symbol for symbol, code in codes.items() if symbol == new.symbol or (own and code == own))
    return same if same or (own and all(codes.values())) else None


def _find_code(symbol: str, source: str) -> str | None:
    """Return a symbol's name to compare; of a file's name the beginning, if it looks like a ticker."""
    if symbol not in Path(source).name:
        found = CODE.fullmatch(symbol)
        return (found[1] or found[2]).lower() if found else re.sub(r"[\W_]", "", symbol).lower()
    begin = re.split(r"[_\s]", Path(symbol).name)[0]
    found = CODE.fullmatch(begin) or CODE.fullmatch(re.sub(r"[-/]", "", begin))
    return (found[1] or found[2]).lower() if found else None


def _compare_levels(new: CandleKind, run: RunCandles, same_interval: bool) -> Iterable[str]:
    same = _find_same(new, run)
    known = [run.levels[each] for each in (same or run.levels) if each in run.levels]
    if not known:
        return
    for name in LEVELS:
        low, high = min(each[name][0] for each in known), max(each[name][2] for each in known)
        middle = new.levels[name][1]
        if name == "volume" and (high == 0) != (new.levels[name][2] == 0):
            yield (
                "these candles have no volume, but those in training had. If a column holds it, name it in data.columns."
                if high
                else "these candles have volume, but those in training had none. The model has learnt nothing from it."
            )
            return
        comparable = same != () and (same_interval or name == "close") and low >= 0 and middle > 0
        if comparable and not low / FAR[name] <= middle <= high * FAR[name]:
            yield (
                f"{name} is about {middle:,.6g}, but in training it was {low:,.6g} to {high:,.6g}. Check that these are the same "
                "symbol and unit."
            )


def collect_differences(kinds: Sequence[CandleKind], run: RunFolder) -> dict[str, list[str]]:
    """Compare the candles of each symbol with those of a run; return the differences by symbol, if there are any."""
    trained = RunCandles.read(run)
    if trained is None:
        return {}
    found: dict[str, Any] = {kind.symbol: compare_with_run(kind, trained) for kind in kinds}
    return {symbol: differences for symbol, differences in found.items() if differences}
