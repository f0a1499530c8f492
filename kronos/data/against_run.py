"""Compare new candles with those that a run was trained on; the run's data.json describes these."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from pydantic.dataclasses import dataclass

from kronos.candles import Array
from kronos.data.candle_kind import LEVELS, MINUTE, CandleKind, Level, format_clock
from kronos.data.quality.series import format_interval
from kronos.data.windows.candle_set import DAY
from kronos.files import find_sealed
from kronos.names import Message
from kronos.run_folder import RunFolder

MIN_CANDLES = 16  # fewer show neither interval nor hours
UNSEEN_SHARE = 0.01  # of the candles, at hours of the week that the run never saw
WHOLE_WEEKS = 14  # days of candles that show all hours of the week
OTHER_LABEL_SHARE = 0.1  # of the candles, at minutes of the hour that the run never saw
ROUND_THE_CLOCK = 20  # hours of the day with candles, in a market whose hours do not show the time zone
FAR = {"close": 4.0, "volume": 4.0, "amount": 8.0}  # times beyond the run's 5% and 95% quantiles
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


_HOURS = "{share} of these candles stand at hours of the week without candles in training, for example on {weekday}s at {time}"
_BOTH = "; these have candles at hours {own}, the run's at hours {trained}"
_NAMED = "If one names the start of a candle and the other its end, shift the times by the interval."
_CLOCK = "A forecast reads the local clock: write the times in the run's zone, or name its zone in data.timezone."
_ZONE = "If the times are not on the run's clock, set data.timezone to the market's zone, as data.timezone={zone}."
_MOVED = "Moved by {by} h they would fit: if that is the market's time zone, set data.timezone={zone}."
_LEVEL = "is about {own}, but in training it was {low} to {high}. Check that these are the same symbol and unit."
DIFFERENCES = {
    "interval": "these are candles of {own}, but the run was trained on candles of {trained}. Give candles of the run's interval, "
    "or train a run on these.",
    "days": f"{_HOURS}. {_ZONE}",
    "days_moved": f"{_HOURS}. {_MOVED}",
    "hours": f"{_HOURS}{_BOTH}. {_ZONE}",
    "hours_moved": f"{_HOURS}{_BOTH}. {_MOVED}",
    "opening": f"the day begins at {{own}}, in training at {{trained}}. {_NAMED}",
    "minutes": f"{{share}} of these candles stand at minutes of the hour without candles in training, as {{minute}}. {_NAMED}",
    "zone": f"the times have the offset {{own}}, those in training the offset {{trained}}. {_CLOCK}",
    "zone_missing": f"the times have no zone, those in training the offset {{trained}}. {_CLOCK}",
    "zone_added": f"the times have the offset {{own}}, those in training no zone. {_CLOCK}",
    "symbol": "the run was not trained on this symbol, but on {trained}. Its report says nothing about other symbols.",
    "symbol_of_many": "the run was not trained on this symbol, but on {trained} and {n:,} more. Its report says nothing about "
    "other symbols.",
    "no_volume": "these candles have no volume, but those in training had. If a column holds it, name it in data.columns.",
    "new_volume": "these candles have volume, but those in training had none. The model has learnt nothing from it.",
    **{f"level_{name}": f"{name} {_LEVEL}" for name in LEVELS},
}


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
        audit = find_sealed(run.audit)
        if audit is None:
            return None
        try:
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
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


class Difference(NamedTuple):
    """In what candles differ from those of a run: a key of DIFFERENCES and its values, in English."""

    code: str
    values: Mapping[str, int | float | str] = MappingProxyType({})

    @property
    def message(self) -> Message:
        """Return the difference in words."""
        return Message(DIFFERENCES[self.code], **self.values)

    def __str__(self) -> str:
        return self.message


def compare_with_run(new: CandleKind, run: RunCandles) -> list[Difference]:
    """Describe in what new candles differ from those of a run: interval, hours, zone, symbol and levels."""
    differences = [*_compare_symbol(new, run)]
    if new.n >= MIN_CANDLES:
        interval = _compare_interval(new, run)
        differences += interval or (*_compare_hours(new, run), *_compare_labels(new, run), *_compare_zone(new, run))
        differences += _compare_levels(new, run, same_interval=not interval)
    return differences


def _compare_interval(new: CandleKind, run: RunCandles) -> list[Difference]:
    own = format_interval(new.interval)
    if own in run.intervals or not new.interval or format_interval(0) in run.intervals:
        return []
    return [Difference("interval", {"own": own, "trained": ", ".join(sorted(run.intervals)[:3])})]


def _compare_hours(new: CandleKind, run: RunCandles) -> Iterable[Difference]:
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
    hours, known = _list_hours(np.flatnonzero(new.hours)), _list_hours(run.hours)
    values = {"share": f"{unseen.sum() / new.n:.0%}", "weekday": WEEKDAYS[most // 24], "time": f"{most % 24:02}:00"}
    code, zone = ("days", {}) if new.interval >= DAY or hours == known else ("hours", {"own": hours, "trained": known})
    moved = _find_zone(new, seen)
    yield Difference(
        f"{code}_moved" if moved else code, values | zone | (moved or {"zone": _write_zone(new, "Asia/Shanghai")})
    )


def _find_zone(new: CandleKind, seen: Array) -> dict[str, str] | None:
    """Return the time zone in which the candles stand at the run's hours, and how far it is; None unless it is the only one."""
    unseen = {hours: np.roll(new.hours, hours)[~seen].sum() for hours in range(-14, 15)}
    fits = [hours for hours, n in unseen.items() if n < UNSEEN_SHARE * new.n]
    offset = min(new.zones, default="+00:00")
    zone = MARKET_ZONES.get(int(offset[:3]) + fits[0]) if len(fits) == 1 and offset.endswith(":00") else None
    return {"by": f"{fits[0]:+}", "zone": _write_zone(new, zone)} if zone else None


def _write_zone(new: CandleKind, zone: str) -> str:
    return zone if new.zones else f"UTC:{zone}"  # UTC is most common where times have no zone


def _list_hours(hours_of_week: Iterable[int]) -> str:
    """Return the hours of the day as ranges: 9–11, 13–15."""
    hours = sorted({int(hour) % 24 for hour in hours_of_week})
    runs = np.split(hours, 1 + np.flatnonzero(np.diff(hours) > 1))
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _compare_labels(new: CandleKind, run: RunCandles) -> Iterable[Difference]:
    """Compare the minutes at which candles stand: a candle may be named by its start, or by its end."""
    if not run.minutes or not new.interval:
        return
    unseen = np.delete(new.minutes, list(run.minutes)).sum() / new.n
    opening = new.opening // MINUTE
    nearest = min((abs(opening - other), other) for other in run.openings) if run.openings else (0, opening)
    if 0 < nearest[0] < 60 and new.interval < DAY and _count_hours(new.hours) < ROUND_THE_CLOCK:
        yield Difference("opening", {"own": format_clock(opening), "trained": format_clock(nearest[1])})
    elif unseen >= OTHER_LABEL_SHARE:
        minute = next(minute for minute in np.flatnonzero(new.minutes) if minute not in run.minutes)
        yield Difference("minutes", {"share": f"{unseen:.0%}", "minute": f"{minute:02}"})


def _count_hours(hours: Array) -> int:
    return int(hours.reshape(7, 24).any(axis=0).sum())


def _compare_zone(new: CandleKind, run: RunCandles) -> Iterable[Difference]:
    """Compare the zones of a market that trades round the clock; elsewhere the hours show a difference."""
    zones = new.zones or {""}
    around = _count_hours(new.hours) >= ROUND_THE_CLOCK and 0 < new.interval < DAY
    if not around or not run.zones or zones <= run.zones:
        return
    own, trained = (", ".join(filter(None, sorted(each)[:3])) for each in (zones, run.zones))
    yield Difference(
        "zone" if own and trained else "zone_added" if own else "zone_missing", {"own": own, "trained": trained}
    )


def _compare_symbol(new: CandleKind, run: RunCandles) -> list[Difference]:
    if _find_same(new, run) != ():
        return []
    names = [*run.sources]
    more = {"n": len(names) - 3} if len(names) > 3 else {}
    return [Difference("symbol_of_many" if more else "symbol", {"trained": ", ".join(names[:3]), **more})]


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


def _compare_levels(new: CandleKind, run: RunCandles, same_interval: bool) -> Iterable[Difference]:
    same = _find_same(new, run)
    known = [run.levels[each] for each in (same or run.levels) if each in run.levels]
    if not known:
        return
    for name in LEVELS:
        low, high = min(each[name][0] for each in known), max(each[name][2] for each in known)
        middle = new.levels[name][1]
        if name == "volume" and (high == 0) != (new.levels[name][2] == 0):
            yield Difference("no_volume" if high else "new_volume")
            return
        comparable = same != () and (same_interval or name == "close") and low >= 0 and middle > 0
        if comparable and not low / FAR[name] <= middle <= high * FAR[name]:
            shown = {"own": f"{middle:,.6g}", "low": f"{low:,.6g}", "high": f"{high:,.6g}"}
            yield Difference(f"level_{name}", shown)


def collect_differences(kinds: Sequence[CandleKind], run: RunFolder) -> dict[str, list[Difference]]:
    """Compare the candles of each symbol with those of a run; return the differences by symbol, if there are any."""
    trained = RunCandles.read(run)
    if trained is None:
        return {}
    found = {kind.symbol: compare_with_run(kind, trained) for kind in kinds}
    return {symbol: differences for symbol, differences in found.items() if differences}
