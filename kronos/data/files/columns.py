"""Match the columns of a file with ours: by name, by a common other name, or as `data.columns` sets it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kronos.candles import PRICE_COLUMNS, TIMESTAMP_COLUMN
from kronos.data.files.notes import ReadingNote
from kronos.errors import DataError

TIME, SYMBOL = "time", "symbol"  # the time of day if it has a column of its own; the symbol

# In order of preference; compared without case, spaces, underscores and the <> of MetaTrader.
ALIASES: dict[str, tuple[str, ...]] = {
    TIMESTAMP_COLUMN: (
        *("timestamps", "timestamp", "datetime", "date", "time", "day", "dt", "tradetime", "tradedate", "trade_dt"),
        *("opentime", "candlebegintime", "ts", "日期时间", "日期", "交易日期", "时间", "交易时间", "__index_level_0__"),
        "column 1",  # a frame's index, written without a name
    ),
    TIME: ("time", "时间", "交易时间"),
    SYMBOL: (
        *("symbol", "ticker", "code", "tscode", "instrument", "stockcode", "secid", "contract"),
        *("代码", "股票代码", "证券代码", "合约", "合约代码", "品种"),
    ),
    "open": ("open", "o", "openprice", "priceopen", "开盘", "开盘价", "开"),
    "high": ("high", "h", "highprice", "pricehigh", "最高", "最高价", "高"),
    "low": ("low", "l", "lowprice", "pricelow", "最低", "最低价", "低"),
    "close": ("close", "c", "closeprice", "priceclose", "收盘", "收盘价", "收"),
    "volume": ("volume", "vol", "v", "basevolume", "tradevolume", "tickvol", "tickvolume", "成交量", "总手"),
    "amount": (
        *("amount", "amt", "turnover", "quotevolume", "quoteassetvolume", "money", "totalturnover"),
        *("成交额", "成交金额", "总金额"),
    ),
}


NO_VOLUME = ReadingNote("no column volume; volume and amount are taken as 0")
NO_VOLUME_BUT_AMOUNT = ReadingNote(f"{NO_VOLUME.template} (an amount without a volume is not used)")


@dataclass(frozen=True)
class Columns:
    """names: our names of the columns that the file has, and its names. notes: which are recognised, ignored or absent."""

    names: dict[str, str]
    notes: tuple[ReadingNote, ...]


def match_columns(names: Sequence[str], mapping: Mapping[str, str], path: Path) -> Columns:
    """Match our columns with those of a file.

    Args:
        names: the file's columns, without spaces around them.
        mapping: our name to the file's, as in data.columns; it takes precedence.

    Raises:
        DataError: timestamps or a price is missing, a column occurs twice, or the mapping names a column that is not there.
    """
    for ours, name in mapping.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            missing = "{path}: data.columns maps {ours} to the column {name!r}, which is not in the file."
            others = "The file has: {names}. If it has the usual names, set data.columns={{}}."
            template = f"{missing} Did you mean {{close!r}}?" if close else f"{missing} {others}"
            raise DataError(template, path=path, ours=ours, name=name, close=(*close, "")[0], names=_list(names))
    matched = dict(mapping) | {
        ours: theirs
        for ours, aliases in ALIASES.items()
        if ours not in mapping and (theirs := _find(aliases, names, set(mapping.values())))
    }
    if TIME in matched and (TIMESTAMP_COLUMN not in matched or matched[TIME] == matched[TIMESTAMP_COLUMN]):
        matched[TIMESTAMP_COLUMN] = matched.pop(TIME)
    elif TIME in matched and TIME not in mapping and not _is_a_date(matched[TIMESTAMP_COLUMN]):
        del matched[TIME]  # a full timestamp, and another time beside it
    _check_columns(matched, names, path)
    _check_alike({ours: theirs for ours, theirs in matched.items() if ours not in mapping}, names, path)
    return Columns(matched, tuple(_describe_match(matched, names, mapping)))


def recognise_columns(names: Iterable[str]) -> dict[str, str]:
    """Return our name of each column that is recognised, and the name it has."""
    listed = list(names)
    return {ours: theirs for ours, aliases in ALIASES.items() if (theirs := _find(aliases, listed, ()))}


def is_known(name: str) -> bool:
    """Whether a column's name is recognised."""
    return _plain(name) in _plain_aliases()


@cache
def _plain_aliases() -> frozenset[str]:
    return frozenset(_plain(alias) for aliases in ALIASES.values() for alias in aliases)


def _find(aliases: Sequence[str], names: Sequence[str], taken: Collection[str]) -> str | None:
    plain: dict[str, str] = {}
    for name in names:
        if name not in taken:
            plain.setdefault(_plain(name), name)
    return next((plain[_plain(alias)] for alias in aliases if _plain(alias) in plain), None)


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-<>]|[(（][^%％]*?[)）]$", "", name).lower()  # 成交量(手) is 成交量


def _is_a_date(name: str) -> bool:
    plain = _plain(name)
    return "date" in plain.replace("datetime", "") or "日期" in plain.replace("日期时间", "") or plain == "day"


def _check_columns(matched: Mapping[str, str], names: Sequence[str], path: Path) -> None:
    if names and names[0] == "Price" and "Close" in names:
        raise DataError(
            "{path}: the file has three rows of column names, as yfinance writes them. Keep one: run "
            "df.columns = df.columns.droplevel(1) before df.to_csv(), or use python examples/download_candles.py yfinance.",
            path=path,
        )
    if missing := [name for name in (TIMESTAMP_COLUMN, *PRICE_COLUMNS) if name not in matched]:
        raise DataError(
            "{path}: column {missing} missing; the file has: {names}. The first line must hold the column names. If a "
            "column has another name, set data.columns: {{{first}: its name}}.",
            path=path,
            missing=", ".join(missing),
            names=_list(names),
            first=missing[0],
        )
    used = list(matched.values())
    if repeated := sorted({name for name in used if names.count(name) > 1}):
        raise DataError("{path}: column {names} occurs more than once. Keep one.", path=path, names=", ".join(repeated))
    if shared := sorted({name for name in used if used.count(name) > 1}):
        template = "{path}: data.columns uses column {names} for two of our columns. Use it for one."
        raise DataError(template, path=path, names=", ".join(shared))


def _check_alike(recognised: Mapping[str, str], names: Sequence[str], path: Path) -> None:
    for ours, theirs in recognised.items():
        if len(alike := [name for name in names if _plain(name) == _plain(theirs)]) > 1:
            template = "{path}: columns {names} are alike. Choose one: data.columns: {{{ours}: its name}}."
            raise DataError(template, path=path, names=", ".join(alike), ours=ours)


def _list(names: Sequence[str]) -> str:
    return ", ".join([name[:40] for name in names[:20]] + ["…"] * (len(names) > 20))


def _describe_match(matched: Mapping[str, str], names: Sequence[str], mapping: Mapping[str, str]) -> list[ReadingNote]:
    recognised = [f"{theirs} as {ours}" for ours, theirs in matched.items() if ours != theirs and ours not in mapping]
    ignored = [name for name in names if name not in matched.values()]
    notes = [ReadingNote.make("columns read: {names}", names=", ".join(recognised))] if recognised else []
    notes += [ReadingNote.make("columns ignored: {names}", names=_list(ignored))] if ignored else []
    if "volume" not in matched:
        notes.append(NO_VOLUME if "amount" not in matched else NO_VOLUME_BUT_AMOUNT)
    elif "amount" not in matched:
        notes.append(ReadingNote("no column amount; taken as volume × mean of open, high, low and close"))
    return notes
