"""Names of columns with something before or behind them all: AAPL.Open, Open_AAPL, bidopen, ('Open', 'AAPL')."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from kronos.candles import PRICE_COLUMNS
from kronos.data.files.aliases import ALIASES
from kronos.data.files.columns import is_known, recognise_columns

PAIR = re.compile(r"\(\s*['\"]?(.*?)['\"]?\s*,\s*['\"]?(.*?)['\"]?\s*\)")
SIDES = ("mid", "bid", "ask", "offer")  # prices of quotes, the preferred first
KINDS = re.compile(r"adj|raw|fq$|复权|split|div")  # of prices of one symbol, between which the names do not decide
MARKS = " ._:-|/$@"


class Stripped(NamedTuple):
    """names: without what stands before or behind them. symbols: what that was, if it names several symbols.

    used: what was left out of the names.
    """

    names: list[str]
    symbols: list[str]
    used: str = ""


def strip_affixes(names: Sequence[str], given: Collection[str] = ()) -> Stripped:
    """Return the names without what all names of prices begin or end with; unchanged if there is no such thing.

    Args:
        given: names that are used as they are written.
    """
    plain = _write_pairs(names)
    if recognise_columns(plain).keys() >= set(PRICE_COLUMNS):
        return Stripped(plain, []) if plain != list(names) else Stripped(list(names), [])
    affixes = _find_affixes(plain)
    owners = [next((affix for affix in affixes if _without(name, affix) is not None), None) for name in plain]
    if not affixes or any(owner and name in given for name, owner in zip(names, owners)):
        return Stripped(list(names), [])
    words = {affix: _cut(plain[owners.index(affix)], affix) for affix in affixes}
    sides = [affix for side in SIDES for affix in affixes if words[affix].lower() == side]
    if not sides and len(affixes) > 1:
        if any(KINDS.search(word.lower()) for word in words.values()):
            return Stripped(list(names), [])
        symbols = [words[owner] if owner else "" for owner in owners]
        return Stripped([_strip(name, owner) for name, owner in zip(plain, owners)], symbols, ", ".join(words.values()))
    chosen = (sides or affixes)[0]
    shown = [_strip(name, owner) if owner == chosen else name for name, owner in zip(plain, owners)]
    return Stripped(shown, [], words[chosen])


Affix = tuple[str, str]  # what stands before and behind, one of them empty


def _write_pairs(names: Sequence[str]) -> list[str]:
    """Write the pairs of a frame with two levels of names as SYMBOL.name."""
    pairs = [PAIR.fullmatch(name.strip()) for name in names]
    if not any(pairs):
        return list(names)
    known = [sum(is_known(pair[n]) for pair in pairs if pair) for n in (1, 2)]
    field, symbol = (1, 2) if known[0] >= known[1] else (2, 1)
    written = []
    for name, pair in zip(names, pairs):
        parts = (pair[symbol], pair[field]) if pair else ("", name)
        written.append(".".join(filter(None, parts)))
    return written


def _find_affixes(names: Sequence[str]) -> list[Affix]:
    """Return what stands before or behind the names of all four prices, in order of appearance."""
    common: dict[Affix, None] | None = None
    for ours in PRICE_COLUMNS:
        found = dict.fromkeys(affix for name in names for affix in _list_affixes(name, ours))
        common = found if common is None else {affix: None for affix in common if affix in found}
    return list(common or {})


def _list_affixes(name: str, ours: str) -> list[Affix]:
    lower = name.lower()
    found: list[Affix] = []
    for alias in ALIASES[ours]:
        before, behind = lower.removesuffix(alias), lower.removeprefix(alias)
        if len(alias) < 3 and alias.isascii():  # a letter stands apart
            before = before if before[-1:] in MARKS else lower
            behind = behind if behind[:1] in MARKS else lower
        found += [(before, "")] if before not in ("", lower) else []
        found += [("", behind)] if behind not in ("", lower) else []
    return found


def _without(name: str, affix: Affix) -> str | None:
    """Return a name without an affix, None if it has none."""
    lower = name.lower()
    before, behind = affix
    if len(lower) > len(before + behind) and lower.startswith(before) and lower.endswith(behind):
        return name[len(before) : len(name) - len(behind)].strip(MARKS)
    return None


def _cut(name: str, affix: Affix) -> str:
    """Return what stands before or behind a name, as it is written."""
    before, behind = affix
    return (name[: len(before)] or name[len(name) - len(behind) :]).strip(MARKS)


def _strip(name: str, affix: Affix | None) -> str:
    return (_without(name, affix) if affix else None) or name
