"""Which files or contracts are parts in time of one series: each begins where another ends."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from kronos.candles import Array
from kronos.data.files.read import LINES_A_PART, RawSeries
from kronos.data.quality.findings import Finding, format_time
from kronos.data.quality.market_hours import DAY
from kronos.data.quality.order import sort_rows
from kronos.data.quality.series import LONGEST_HOLIDAYS

OPEN, HIGH, LOW, CLOSE = range(4)
N_COMPARED = 2000  # candles on both sides of a joint
LIMIT_MOVE = np.log(1.11)  # from day to day in a market with limits
USUAL = 0.95  # of the steps from close to open are not larger than a usual one
DATE = re.compile(
    r"[-_. ]?(?<!\d)(?:19|20)\d\d(?:[-_.]?(?:0[1-9]|1[0-2])(?:[-_.]?(?:0[1-9]|[12]\d|3[01]))?|[-_.]?[Qq][1-4])?(?!\d)"
)
CONTRACT = re.compile(r"([A-Za-z]{1,5})(?:\d{3,4}|20\d\d(?:0[1-9]|1[0-2]))(\.[A-Za-z]+)?")
STAMP = re.compile(r"\d{7,}")  # longer than the code of a stock
NUMBER = re.compile(r"(?<=\D)[-_. ]*\(?\d{1,3}\)?$")
Choice = Literal["join", "separate"] | None


class Stem(NamedTuple):
    """What the names of parts have in common, and what distinguishes them: an explicit date, a number, or a whole name."""

    text: str
    kind: Literal["date", "number", "name"]


@dataclass(frozen=True)
class Joint:
    """The place where one part ends and the next begins.

    in_time: no candle is missing between them. step, usual, largest: the move of the log price there, and a usual and the
    largest one within the parts. shared: whether the parts have candles in common.
    """

    before: RawSeries
    after: RawSeries
    in_time: bool
    step: float
    usual: float
    largest: float
    shared: bool


def find_stem(name: str) -> Stem:
    """Return the name of a series without what tells its parts apart: BTCUSDT-1h of BTCUSDT-1h-2025-01."""
    if match := CONTRACT.fullmatch(name):
        return Stem(match[1] + (match[2] or ""), "number")
    if STAMP.fullmatch(name):
        return Stem("", "date")
    if DATE.search(name):
        return Stem(DATE.sub("", name).strip("-_. /"), "date")
    plain = NUMBER.sub("", name)
    return Stem(plain, "number") if plain != name and plain else Stem(name, "name")


def join_parts(
    series: Iterable[RawSeries], names: Sequence[str], choice: Choice, findings: list[Finding]
) -> Iterator[RawSeries]:
    """Join parts in time of one series; the others are yielded as they are, as soon as that is known.

    Without a choice, parts that continue one another in time and in price are joined. Parts with dates in their names that
    do not are an error that names both choices.

    Args:
        names: the symbols of all series, if they are known before.
    """
    if choice == "separate" or len(names) == 1:
        yield from series
        return
    counts = Counter(find_stem(name).text for name in names)
    several = any(n > 1 for n in counts.values())
    is_alone = {stem for stem, n in counts.items() if n == 1 and several}
    groups: dict[str, list[RawSeries]] = {}
    apart: set[str] = set()
    for raw in series:
        stem = find_stem(raw.symbol).text
        key = stem if several else ""
        unrelated = raw.named and not several and choice is None  # symbols have names of their own
        if key in apart or stem in is_alone or unrelated or not len(raw):
            yield raw
            continue
        held = groups.setdefault(key, [])
        held.append(raw)
        if choice is None and not all(_may_be_parts(raw, other) for other in held[:-1]):
            apart.add(key)
            yield from groups.pop(key)
        elif len(held) == (counts[stem] if several else len(names)):
            yield from _decide(groups.pop(key), choice, findings)
    for held in groups.values():
        yield from _decide(held, choice, findings)


def _decide(parts: list[RawSeries], choice: Choice, findings: list[Finding]) -> list[RawSeries]:
    if len(parts) == 1:
        return parts
    parts = sorted(parts, key=lambda part: int(part.instants.min()))
    stems = [find_stem(part.symbol) for part in parts]
    dated = all(stem.kind == "date" for stem in stems) and not parts[0].named
    if choice == "join":
        return [_join(parts, findings)]
    joints = [_examine(before, after) for before, after in itertools.pairwise(parts)]
    in_time = all(joint.in_time or joint.shared for joint in joints)
    if in_time and _continue_in_price(joints, dated):
        return [_join(parts, findings)]
    if dated or in_time:
        findings.append(_report(joints, "error" if dated and not in_time else "note"))
    return parts


def _may_be_parts(one: RawSeries, other: RawSeries) -> bool:
    """Whether two series do not overlap, or overlap at their ends with the same candles."""
    if one.zoned != other.zoned or one.unit != other.unit:
        return False
    first, second = sorted((one, other), key=lambda raw: int(raw.instants.min()))
    if second.instants.min() > first.instants.max():
        return True
    if second.instants.max() <= first.instants.max() or first.instants.min() == second.instants.min():
        return False  # one within the other is a copy
    _, left, right = np.intersect1d(first.instants, second.instants, return_indices=True)
    n_overlap = np.count_nonzero(second.instants <= first.instants.max())
    same = np.array_equal(first.values[left], second.values[right], equal_nan=True)
    return bool(same and len(left) == n_overlap < len(second) / 2)


def _examine(before: RawSeries, after: RawSeries) -> Joint:
    left, right = sort_rows(before), sort_rows(after)
    ends = (
        left.take(np.arange(max(len(left) - N_COMPARED, 0), len(left))),
        right.take(np.arange(min(len(right), N_COMPARED))),
    )
    steps = np.concatenate([_steps(each) for each in ends])
    ranges = np.concatenate([_log_range(each) for each in ends])
    with np.errstate(divide="ignore", invalid="ignore"):
        step = abs(float(np.log(ends[1].values[0, OPEN] / ends[0].values[-1, CLOSE])))
    usual = max(float(np.quantile(steps, USUAL)) if len(steps) else 0.0, float(np.median(ranges)) / 2)
    largest = max(float(steps.max()) if len(steps) else 0.0, float(np.median(ranges)))
    shared = bool(right.instants[0] <= left.instants[-1])
    return Joint(before, after, not shared and _is_next_candle(*ends), 0.0 if shared else step, usual, largest, shared)


def _steps(raw: RawSeries) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.abs(np.log(raw.values[1:, OPEN].astype(np.float64) / raw.values[:-1, CLOSE]))
    pauses = np.diff(raw.instants)
    if len(pauses) and np.count_nonzero(longer := pauses > np.median(pauses)) >= 5:
        steps = steps[longer]  # overnight
    return np.asarray(steps[np.isfinite(steps)])


def _log_range(raw: RawSeries) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        ranges = np.log(raw.values[:, HIGH].astype(np.float64) / raw.values[:, LOW])
    finite: Array = ranges[np.isfinite(ranges)]
    return finite if len(finite) else np.zeros(1)


def _is_next_candle(left: RawSeries, right: RawSeries) -> bool:
    """Whether the market traded no longer pause between two parts than it does within them, or over holidays."""
    pauses = np.concatenate([np.diff(left.instants), np.diff(right.instants)])
    if not len(pauses):
        return False
    interval, longest = int(np.median(pauses)), int(pauses.max())
    pause = int(right.instants[0] - left.instants[-1])
    opens, closes = _ends_of_days(left, right)
    first, last = int(right.local[0] % DAY), int(left.local[-1] % DAY)
    has_nights = interval < DAY and int(opens.min() + DAY - closes.max()) > 1.5 * interval
    if has_nights or longest > 1.5 * interval >= 1.5 * DAY:
        at_the_ends = interval >= DAY or (first in opens and last in closes)
        return pause <= longest or (at_the_ends and pause <= LONGEST_HOLIDAYS * DAY)
    return pause <= 1.5 * interval


def _ends_of_days(*parts: RawSeries) -> tuple[Array, Array]:
    """Return the times of day at which most days of the parts begin and end."""
    opens, closes = [], []
    for part in parts:
        change = np.flatnonzero(np.diff(part.local // DAY))
        opens += [part.local[np.append(0, change + 1)] % DAY]
        closes += [part.local[np.append(change, len(part) - 1)] % DAY]
    return np.concatenate(opens), np.concatenate(closes)


def _continue_in_price(joints: Sequence[Joint], dated: bool) -> bool:
    """Whether the steps of the price at joints are like those within the parts; dates in the names allow a limit move."""
    steps = np.array([joint.step for joint in joints])
    usual, largest = (np.array([getattr(joint, name) for joint in joints]) for name in ("usual", "largest"))
    if dated:
        return bool((steps <= np.maximum(1.5 * largest, LIMIT_MOVE)).all())
    return bool(np.median(steps / np.maximum(usual, 1e-12)) <= 1 and (steps <= 1.5 * largest).all())


def _join(parts: Sequence[RawSeries], findings: list[Finding]) -> RawSeries:
    name = _name(parts)
    template = "{n:,} parts in time of one series, {first} to {last}, are joined as {name}; data.series=separate keeps them apart"
    times = [int(parts[0].local.min()), int(parts[-1].local.max())]
    shown = {"n": len(parts), "name": name, "first": format_time(times[0]), "last": format_time(times[1])}
    findings.append(Finding("series", "repair", parts[0].source, name, len(parts), (), template, shown))
    return replace(concatenate(parts), symbol=name)


def _name(parts: Sequence[RawSeries]) -> str:
    stems = {find_stem(part.symbol).text for part in parts}
    if len(stems) == 1 and (stem := stems.pop().strip("-_. /")):
        return stem
    folders = {Path(part.source).absolute().parent.name for part in parts}
    return folders.pop() if len(folders) == 1 and not parts[0].named else parts[0].symbol


def _report(joints: Sequence[Joint], severity: Literal["error", "note"]) -> Finding:
    def format_end(raw: RawSeries, last: bool) -> str:
        return format_time(int(raw.local.max() if last else raw.local.min()))

    odd = next(
        (j for j in joints if not (j.in_time or j.shared)), max(joints, key=lambda j: j.step / max(j.usual, 1e-12))
    )
    shown: dict[str, object] = {
        "before": odd.before.symbol,
        "after": odd.after.symbol,
        "end": format_end(odd.before, True),
        "begin": format_end(odd.after, False),
        "step": float(np.expm1(odd.step)),
        "n": len(joints) + 1,
    }
    where = (odd.after.source, odd.after.symbol, len(joints), ())
    if severity == "error":
        template = "the names of {n:,} series differ in dates, but {after} begins at {begin} and {before} ends at {end}"
        remedy = "If they are parts of one series, set data.series=join. If not, set data.series=separate."
        return Finding("series", "error", *where, template, shown, remedy)
    template = (
        "{after} begins where {before} ends, {step:.1%} away in price: they are not joined. If they are parts of one series, "
        "set data.series=join; data.series=separate confirms that they are not"
    )
    return Finding("series", "note", *where, template, shown)


def concatenate(parts: Sequence[RawSeries]) -> RawSeries:
    """Join the rows of a symbol from several files, or of several symbols in one."""
    local = np.concatenate([part.local for part in parts])
    sources = list(dict.fromkeys(part.source for part in parts))
    one_file = len(sources) == 1
    lines = [part.lines if one_file else n * LINES_A_PART + part.lines for n, part in enumerate(parts)]
    return replace(
        parts[0],
        source=sources[0] if one_file else f"{sources[0]} and {len(sources) - 1} more",
        values=np.concatenate([part.values for part in parts]),
        local=local,
        instants=np.concatenate([part.instants for part in parts]) if parts[0].zoned else local,
        lines=np.concatenate(lines),
        parts=() if one_file else tuple(part.source for part in parts),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        modified=max(part.modified for part in parts),
    )
