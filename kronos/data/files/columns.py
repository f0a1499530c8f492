"""Which column of a file is which of ours: by name, by a common other name, or as `data.columns` says."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kronos.candles import PRICE_COLUMNS, TIMESTAMP_COLUMN
from kronos.errors import DataError

TIME, SYMBOL = "time", "symbol"  # the time of day, where it stands apart from the date; and what is traded

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


@dataclass(frozen=True)
class Columns:
    """found: our names of the columns that are there, and the file's. notes: what was recognised, ignored or is absent."""

    found: dict[str, str]
    notes: tuple[str, ...]


def match_columns(names: Sequence[str], mapping: Mapping[str, str], path: Path) -> Columns:
    """Find our columns among a file's.

    Args:
        names: the file's columns, without spaces around them.
        mapping: our name to the file's, as in data.columns; goes before everything else.

    Raises:
        DataError: timestamps or a price is missing, a column stands twice, or the mapping names one that is not there.
    """
    for ours, name in mapping.items():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the file has: {_list(names)}."
            raise DataError(f"{path}: data.columns says that {ours} is called {name!r}, which is not there; {hint}")
    found = dict(mapping) | {
        ours: theirs
        for ours, aliases in ALIASES.items()
        if ours not in mapping and (theirs := _find(aliases, names, set(mapping.values())))
    }
    if TIME in found and (TIMESTAMP_COLUMN not in found or found[TIME] == found[TIMESTAMP_COLUMN]):
        found[TIMESTAMP_COLUMN] = found.pop(TIME)
    elif TIME in found and TIME not in mapping and not _is_a_date(found[TIMESTAMP_COLUMN]):
        del found[TIME]  # a full timestamp, and another time beside it
    _check(found, names, path)
    _check_alike({ours: theirs for ours, theirs in found.items() if ours not in mapping}, names, path)
    return Columns(found, tuple(_describe(found, names, mapping)))


def is_known(name: str) -> bool:
    """Whether a column's name is one of those that are recognised."""
    return any(_plain(name) == _plain(alias) for aliases in ALIASES.values() for alias in aliases)


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


def _check(found: Mapping[str, str], names: Sequence[str], path: Path) -> None:
    if names and names[0] == "Price" and "Close" in names:
        raise DataError(
            f"{path}: three rows of names, as yfinance writes them; leave one: df.columns = df.columns.droplevel(1) before "
            "df.to_csv(), or python examples/download_candles.py yfinance."
        )
    if missing := [name for name in (TIMESTAMP_COLUMN, *PRICE_COLUMNS) if name not in found]:
        raise DataError(
            f"{path}: column {', '.join(missing)} missing; the file has: {_list(names)}. The first line must hold the names of "
            f"the columns; if one has another name, say so: data.columns: {{{missing[0]}: its name}}."
        )
    used = list(found.values())
    if twice := sorted({name for name in used if names.count(name) > 1}):
        raise DataError(f"{path}: column {', '.join(twice)} stands more than once; keep one.")
    if shared := sorted({name for name in used if used.count(name) > 1}):
        raise DataError(f"{path}: data.columns gives column {', '.join(shared)} two meanings; give each one.")


def _check_alike(recognised: Mapping[str, str], names: Sequence[str], path: Path) -> None:
    for ours, theirs in recognised.items():
        if len(alike := [name for name in names if _plain(name) == _plain(theirs)]) > 1:
            raise DataError(
                f"{path}: columns {', '.join(alike)} are alike; say which to read: data.columns: {{{ours}: its name}}."
            )


def _list(names: Sequence[str]) -> str:
    return ", ".join([name[:40] for name in names[:20]] + ["…"] * (len(names) > 20))


def _describe(found: Mapping[str, str], names: Sequence[str], mapping: Mapping[str, str]) -> list[str]:
    recognised = [f"{theirs} as {ours}" for ours, theirs in found.items() if ours != theirs and ours not in mapping]
    ignored = [name for name in names if name not in found.values()]
    notes = [f"columns read: {', '.join(recognised)}"] if recognised else []
    notes += [f"columns ignored: {_list(ignored)}"] if ignored else []
    if "volume" not in found:
        lost = "" if "amount" not in found else " (an amount without a volume is not used)"
        notes.append(f"no column volume; volume and amount are taken as 0{lost}")
    elif "amount" not in found:
        notes.append("no column amount; taken as volume × mean of open, high, low and close")
    return notes
