"""Match the columns of a file with ours: by name, by a common other name, or as `data.columns` sets it."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from kronos.candles import PRICE_COLUMNS, TIMESTAMP_COLUMN
from kronos.data.files.aliases import ALIASES, TIME
from kronos.data.files.notes import ReadingNote
from kronos.errors import DataError
from kronos.names import Message

SPEAKS_OF_VOLUME = re.compile(
    r"vol|成交量|交易量|成交股數|成交股数|总手|總量|出来高|거래량|объ[её]м|shares|quant|qty|qtd|cantidad|st(ü|ue)ck|pieces|umsatz"
)
OF_TRADES = r"^(?:trade|last|deal)?price(?:s)?$|^bid|^ask|trade_?id|成交价|买一|卖一"
NO_VOLUME = ReadingNote("no column volume; volume and amount are taken as 0")
NO_VOLUME_BUT_AMOUNT = ReadingNote("no column volume; taken as amount / mean of open, high, low and close")


@dataclass(frozen=True)
class Columns:
    """names: our names of the columns that the file has, and its names. notes: which are recognised, ignored or absent.

    errors: what is missing or ambiguous, with the place.
    """

    names: dict[str, str]
    notes: tuple[ReadingNote, ...]
    errors: tuple[DataError, ...] = ()


def match_columns(
    names: Sequence[str], mapping: Mapping[str, str], path: Path, chosen: Mapping[str, str] | None = None
) -> Columns:
    """Match our columns with those of a file.

    Args:
        names: the file's columns, without spaces around them.
        mapping: our name to the file's, as in data.columns; it takes precedence.
        chosen: our name to the file's, where values decided.
    """
    errors = []
    for ours, name in mapping.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            missing = "{path}: data.columns maps {ours} to the column {name!r}, which is not in the file."
            others = "The file has: {names}. If it has the usual names, set data.columns={{}}."
            hint = Message("Did you mean {close!r}?", close=close[0]) if close else Message(others, names=_list(names))
            errors.append(DataError(f"{missing} {{hint}}", path=path, ours=ours, name=name, hint=hint))
    matched = match_names(names, mapping, chosen or {})
    errors += _check_columns(matched, names, path)
    decided = {*mapping, *(chosen or {})}
    errors += _check_alike({ours: theirs for ours, theirs in matched.items() if ours not in decided}, names, path)
    matched = {ours: theirs for ours, theirs in matched.items() if theirs in names}
    return Columns(matched, tuple(_describe_match(matched, names, mapping)), tuple(errors))


def match_names(
    names: Sequence[str], mapping: Mapping[str, str], chosen: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return our names of the columns that are known or given, and the file's."""
    given = dict(chosen or {}) | dict(mapping)
    unused = {ours for ours, name in given.items() if not name}
    taken = set(given.values())
    matched = given | {
        ours: found[0] for ours in ALIASES if ours not in given and (found := find_names(ours, names, taken))
    }
    matched = {ours: name for ours, name in matched.items() if ours not in unused}
    if TIME in matched and (TIMESTAMP_COLUMN not in matched or matched[TIME] == matched[TIMESTAMP_COLUMN]):
        matched[TIMESTAMP_COLUMN] = matched.pop(TIME)
    elif TIME in matched and TIME not in given and not _is_a_date(matched[TIMESTAMP_COLUMN]):
        del matched[TIME]  # a full timestamp, and another time beside it
    elif TIME in matched and TIME not in given and TIMESTAMP_COLUMN in (chosen or {}):
        del matched[TIME]
    return matched


def recognise_columns(names: Iterable[str]) -> dict[str, str]:
    """Return our name of each column that is recognised, and the name it has."""
    listed = list(names)
    return {ours: found[0] for ours in ALIASES if (found := find_names(ours, listed))}


def is_known(name: str) -> bool:
    """Whether a column's name is recognised."""
    return any(plain_name(name) in _plain_aliases(ours) for ours in ALIASES)


def list_volumes(names: Iterable[str]) -> list[str]:
    """Return the columns whose names speak of a volume."""
    return [name for name in names if SPEAKS_OF_VOLUME.search(plain_name(name))]


@cache
def _plain_aliases(ours: str) -> dict[str, None]:
    return dict.fromkeys(plain_name(alias) for alias in ALIASES[ours])


def find_names(ours: str, names: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """Return the columns that are known by one of our names, the preferred first."""
    plain: dict[str, str] = {}
    for name in names:
        if name not in taken and (len(name) > 1 or name == name.lower() or name.lower() not in names):  # t, not T
            plain.setdefault(plain_name(name), name)
    return [plain[alias] for alias in _plain_aliases(ours) if alias in plain]


@lru_cache(1 << 12)
def plain_name(name: str) -> str:
    """Return a name without case, spaces, signs, its number and its unit in brackets: 成交量(手) is 成交量."""
    return re.sub(r"^\d{1,2}[ab]?\.\s|[\s_\-<>.*#$'`\[\]]|(?<=.)[(（][^%％]*?[)）]$", "", name.strip()).lower()


def _is_a_date(name: str) -> bool:
    plain = plain_name(name)
    if plain in ("day", "data", "datum", "fecha", "tarih", "дата", "ngày", "일자", "날짜", "交易日", "dtyyyymmdd"):
        return True
    return bool(re.search("date|日期|日付", re.sub("datetime|日期时间|日期時間", "", plain)))


def _check_columns(matched: Mapping[str, str], names: Sequence[str], path: Path) -> list[DataError]:
    errors = []
    if missing := [name for name in (TIMESTAMP_COLUMN, *PRICE_COLUMNS) if name not in matched]:
        like = {
            ours: next((n for n in names if ours in n.lower() and n not in matched.values()), "") for ours in missing
        }
        example = " ".join(format_line(ours, like[ours] or "NAME") for ours in missing)
        template = (
            "{path}: column {missing} missing; the file has: {names}. The first line must hold the column names. If a "
            "column has another name, set {example}."
        )
        if len(missing) > 2 and not any(like.values()):
            template += " If it holds no opens, highs and lows, these are no candles."
        if not {"open", "high", "low"} & matched.keys() and any(re.search(OF_TRADES, plain_name(n)) for n in names):
            template = (
                "{path}: these are no candles but single trades or quotes; the file has: {names}. Build candles of them first, "
                "for example with pandas: trades.resample('5min').ohlc()."
            )
        shown = {"missing": ", ".join(missing), "names": _list(names), "example": example}
        errors.append(DataError(template, path=path, **shown))
    used = list(matched.values())
    if shared := sorted({name for name in used if used.count(name) > 1}):
        template = "{path}: data.columns uses column {names} for two of our columns. Use it for one."
        errors.append(DataError(template, path=path, names=", ".join(shared)))
    return errors


def _check_alike(recognised: Mapping[str, str], names: Sequence[str], path: Path) -> list[DataError]:
    errors = []
    for ours, theirs in recognised.items():
        alike = [name for name in names if plain_name(name) == plain_name(theirs)]
        if len(alike) > 1 and not (len(theirs) == 1 and theirs.islower()):
            template = "{path}: columns {names} are alike. Choose one, for example {line}."
            errors.append(DataError(template, path=path, names=", ".join(alike), line=format_line(ours, alike[0])))
    return errors


def format_line(ours: str, name: str) -> str:
    """Return the override that sets a column, as a shell takes it."""
    return shlex.quote(f"data.columns.{ours}={name}")


def _list(names: Sequence[str]) -> str:
    return ", ".join([name[:40] for name in names[:20]] + ["…"] * (len(names) > 20))


def _describe_match(matched: Mapping[str, str], names: Sequence[str], mapping: Mapping[str, str]) -> list[ReadingNote]:
    recognised = [f"{theirs} → {ours}" for ours, theirs in matched.items() if ours != theirs and ours not in mapping]
    ignored = [name for name in names if name not in matched.values()]
    notes = [ReadingNote.make("columns read: {names}", names=", ".join(recognised))] if recognised else []
    notes += [ReadingNote.make("columns ignored: {names}", names=_list(ignored))] if ignored else []
    if "volume" not in matched:
        notes.append(NO_VOLUME if "amount" not in matched else NO_VOLUME_BUT_AMOUNT)
        speaking = list_volumes(names)
        if speaking and "amount" not in matched:
            template = "volume is taken as 0, although a column may hold it ({names}): set {line}"
            shown = (("names", _list(speaking)), ("line", format_line("volume", speaking[0])))
            notes.append(ReadingNote(template, shown, is_doubt=True))
    elif "amount" not in matched:
        notes.append(ReadingNote("no column amount; taken as volume × mean of open, high, low and close"))
    return notes
