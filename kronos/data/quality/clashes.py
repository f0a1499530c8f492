"""Why several candles stand at one time: several series, times that were cut off, or single faulty rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from kronos.candles import PRICE_COLUMNS, Array
from kronos.data.files.ignored import read_ignored
from kronos.data.files.options import ReadingOptions
from kronos.data.files.read import RawSeries
from kronos.data.files.times import NOT_A_TIME, TimestampFormat
from kronos.data.quality.findings import FEW, Cause, Finding, is_widespread, make_finding, quote_setting
from kronos.errors import DataError

OPEN, CLOSE = PRICE_COLUMNS.index("open"), PRICE_COLUMNS.index("close")
DAY = 86_400_000_000
AGREEMENT = 0.98
MIN_STEPS = 3  # between times of day
ROWS_A_NAME = 5  # a column with fewer rows for each of its values does not name series
CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?|\d{3,6}"


def explain_clashes(raw: RawSeries, rows: Array) -> Cause | None:
    """Return the cause of rows at the time of the row before them, or None if they are single faulty rows.

    Args:
        raw: a series in order of time.
        rows: (C,) rows with other values than the row before them, at the same time.
    """
    ignored = read_ignored(raw)
    for name in ignored:
        if _is_finer_time(raw, ignored[name]):
            template = (
                "each time has up to {n:,} different candles; the unused column {name!r} distinguishes their times"
            )
            shown = {
                "n": _largest_group(raw),
                "name": name,
                "line": quote_setting("data.columns.timestamps", str(name)),
            }
            return Cause(template, "Read the times from that column: set {line}.", shown, certain=True)
    for name in ignored:
        if _is_time_of_day(raw, ignored[name]):
            template = (
                "each date has up to {n:,} different candles; the unused column {name!r} looks like the time of day"
            )
            shown = {"n": _largest_group(raw), "name": name, "line": quote_setting("data.columns.time", str(name))}
            return Cause(template, "Read that column too: set {line}.", shown, certain=True)
    if (name := find_name_column(raw, ignored, rows)) is not None:
        cause = explain_name_column(name, ignored[name], raw.columns.get("symbol") if raw.named else None)
        return cause._replace(certain=is_widespread(rows, raw) and _are_far_apart(raw, rows))
    return _explain_without_column(raw, rows) if is_widespread(rows, raw) else None


def explain_name_column(name: str, column: pd.Series, symbol: str | None = None) -> Cause:
    """Return the cause of mixed series that a column tells apart; symbol: the column of symbols, if there is one."""
    names = list(dict.fromkeys(column))
    template = (
        "the unused column {name!r} ({shown}) distinguishes these rows: several series are mixed. Is it the symbol?"
    )
    shown = ", ".join(map(str, names[:3])) + (", …" if len(names) > 3 else "")
    line = quote_setting("data.columns.symbol", name)
    if symbol:
        template = "the unused column {name!r} ({shown}) distinguishes these rows: each symbol has several series"
        remedy = "Write a column that joins {symbol!r} and {name!r}, and set data.columns.symbol to it; or write a file for each."
        return Cause(template, remedy, {"name": name, "shown": shown, "symbol": symbol})
    return Cause(template, "If {name!r} is the symbol, set {line}.", {"name": name, "shown": shown, "line": line})


def find_blocks(raw: RawSeries, jumps: Array) -> list[Finding]:
    """Find an unused column of words that changes at a jump of the price and never returns: one block for each series.

    Args:
        raw: a repaired series.
        jumps: (J,) rows whose open is far from the close before.
    """
    ignored = read_ignored(raw) if len(jumps) else pd.DataFrame()
    for name in ignored:
        codes, values = pd.factorize(ignored[name])
        changes = 1 + np.flatnonzero(np.diff(codes))
        is_word = pd.to_numeric(pd.Series(values), errors="coerce").isna().all()
        if is_word and 2 <= len(values) == len(changes) + 1 and np.isin(changes, jumps).mean() >= 0.5:
            cause = explain_name_column(str(name), ignored[name])
            template = "the price jumps where the unused column {name!r} changes ({shown}). Is it the symbol?"
            remedy = f"{cause.remedy} If these are parts of one series, add data.series=join."
            return [make_finding(raw, "misread", "error", template, changes, remedy=remedy, **cause.values)]
    return []


def find_name_column(raw: RawSeries, ignored: pd.DataFrame, rows: Array) -> str | None:
    """Return the unused column whose values differ wherever a row stands at the time of the row before it, or None.

    Words are preferred to numbers, then few values to many.
    """
    candidates = []
    for name in ignored:
        codes, values = pd.factorize(ignored[name])
        if not 2 <= len(values) <= len(raw) / ROWS_A_NAME or (codes[rows] == codes[rows - 1]).any():
            continue
        keys = pd.MultiIndex.from_arrays([raw.instants, codes])
        if 1 - keys.duplicated().mean() >= AGREEMENT:
            numeric = pd.to_numeric(pd.Series(values), errors="coerce").notna().mean() > 0.5
            if (
                numeric
                and len(values) >= FEW
                and _has_steps(pd.to_numeric(pd.Series(values), errors="coerce").dropna())
            ):
                continue  # a time or a counter
            candidates.append((bool(numeric), len(values), str(name)))
    return min(candidates)[2] if candidates else None


def _has_steps(values: pd.Series) -> bool:
    """Whether most numbers follow one another by one step."""
    steps = np.diff(np.sort(values.to_numpy()))
    return bool(np.unique(steps, return_counts=True)[1].max() > len(steps) / 2)


def _is_finer_time(raw: RawSeries, column: pd.Series) -> bool:
    """Whether a column holds times that lie within those of the rows and differ where these do not."""
    if len(raw) < FEW or column.nunique() < 2 * len(np.unique(raw.local)):
        return False
    try:
        local, _ = TimestampFormat.recognise(column, ReadingOptions()).parse(column)
    except (DataError, ValueError, TypeError):
        return False
    within = (local != NOT_A_TIME) & (np.abs(local - raw.local) <= DAY)
    return bool(within.mean() >= AGREEMENT and len(np.unique(local)) >= AGREEMENT * len(np.unique(raw.local)) * 2)


def _is_time_of_day(raw: RawSeries, column: pd.Series) -> bool:
    """Whether a column holds times of day, if the rows only have dates."""
    if len(raw) < FEW or (raw.local % DAY).any() or not column.str.fullmatch(CLOCK).all():
        return False
    if not column.str.contains(":").all() and not _has_one_step(column):
        return False  # numbers of securities
    text = column.str.replace(":", "", regex=False)
    text = text.where(text.str.len() > 4, text + "00").str.zfill(6)
    hours, minutes, seconds = (text.str.slice(i, i + 2).astype(int) for i in (0, 2, 4))
    keys = pd.MultiIndex.from_arrays([raw.local, text])
    return bool((hours < 25).all() and (minutes < 60).all() and (seconds < 60).all() and not keys.duplicated().any())


def _has_one_step(column: pd.Series) -> bool:
    """Whether numbers are times of day that mostly follow one another by one step."""
    clock = pd.to_numeric(column).unique()
    clock = clock // 100 if clock.max() > 2400 else clock
    steps = np.diff(np.unique(clock // 100 * 60 + clock % 100))
    return len(steps) >= MIN_STEPS and bool(np.unique(steps, return_counts=True)[1].max() >= len(steps) / 2)


def _are_far_apart(raw: RawSeries, rows: Array) -> bool:
    """Whether candles at one time are too far apart to be two records of one market."""
    prices = raw.values[:, :4].astype(np.float64)
    apart = np.abs(prices[rows, CLOSE] - prices[rows - 1, CLOSE])
    return bool(np.median(apart) > 5 * np.median(np.ptp(prices, axis=1)))


def _largest_group(raw: RawSeries) -> int:
    return int(np.unique(raw.instants, return_counts=True)[1].max())


def _explain_without_column(raw: RawSeries, rows: Array) -> Cause:
    prices = np.log(np.where(raw.values[:, :4] > 0, raw.values[:, :4], np.nan).astype(np.float64))
    after_close = np.abs(prices[rows, OPEN] - prices[rows - 1, CLOSE])
    after_open = np.abs(prices[rows, OPEN] - prices[rows - 1, OPEN])
    spread = np.nanmedian(np.ptp(prices, axis=1)) if len(prices) else 0.0
    share = len(rows) / len(raw)
    shown = {"n": _largest_group(raw), "share": f"{share:.0%}"}
    if np.nanmedian(after_close) <= spread and (after_close < after_open).sum() > (after_close > after_open).sum():
        template = (
            "each time has up to {n:,} candles that continue one another ({share} of the rows): the times were cut off"
        )
        return Cause(template, "Choose the column with the full times: data.columns.timestamps=its name.", shown)
    template = (
        "each time has up to {n:,} different candles ({share} of the rows): several series without a column of symbols"
    )
    remedy = "Write the symbol of each row in a column and set data.columns.symbol=its name, or write a file for each series."
    return Cause(template, remedy, shown)
