"""Whether rows out of order of time were filed in disorder, or have times that were misread."""

from __future__ import annotations

import numpy as np

from kronos.candles import Array
from kronos.data.files.ignored import read_ignored
from kronos.data.files.read import RawSeries
from kronos.data.quality.clashes import explain_name_column, find_name_column
from kronos.data.quality.findings import FINDINGS, Cause, Finding, make_finding, quote_setting
from kronos.data.quality.market_hours import DAY, HOUR
from kronos.data.quality.misread import CLOSE, OPEN, VOLUME

MIN_ROWS = 8  # that sorting moves
CLEARLY = 2.8  # standard deviations


def sort_rows(raw: RawSeries) -> RawSeries:
    """Return the rows in order of time; rows of one time keep their order."""
    if (raw.instants[1:] < raw.instants[:-1]).all():  # newest first
        return raw.take(np.arange(len(raw))[::-1])
    return raw.take(np.argsort(raw.instants, kind="stable"))


def find_misread_order(raw: RawSeries, late: Array) -> list[Finding]:
    """Find rows whose times step back although their prices go on: sorting them would mix distant candles.

    Args:
        raw: a series in the order of its file.
        late: (L,) rows that are earlier than the row before.
    """
    if len(late) == len(raw) - 1 or compare_orders(raw) < CLEARLY:
        return []
    cause = _explain(raw, late)
    template = f"{FINDINGS['misread']}: the times step back, but the prices go on as filed. {cause.template}"
    return [make_finding(raw, "misread", "error", template, late, remedy=cause.remedy, **cause.values)]


def compare_orders(raw: RawSeries) -> float:
    """Compare opens with the close of the row above them and with that of the row before them in time.

    Returns:
        How clearly the prices go on as filed, in standard deviations; negative if they go on in order of time.
    """
    times = raw.instants
    order = np.argsort(times, kind="stable")
    in_time = times[order]
    alone = np.append(True, in_time[1:] != in_time[:-1]) & np.append(in_time[1:] != in_time[:-1], True)
    rank = np.empty(len(times), np.int64)
    rank[order] = np.arange(len(times))
    rows = np.arange(1, len(times))
    before = order[rank[rows] - 1]
    rows, before = (each[alone[rank[rows]] & (rank[rows] > 0) & alone[rank[rows] - 1]] for each in (rows, before))
    moved = before != rows - 1
    rows, before = rows[moved], before[moved]
    with np.errstate(divide="ignore", invalid="ignore"):
        prices = np.log(raw.values[:, :VOLUME].astype(np.float64))
        filed = np.abs(prices[rows, OPEN] - prices[rows - 1, CLOSE])
        sorted_ = np.abs(prices[rows, OPEN] - prices[before, CLOSE])
    wins, losses = np.count_nonzero(filed < sorted_), np.count_nonzero(filed > sorted_)
    return float((wins - losses) / np.sqrt(wins + losses)) if wins + losses >= MIN_ROWS else 0.0


def _explain(raw: RawSeries, late: Array) -> Cause:
    back = raw.local[late - 1] - raw.local[late]
    if (np.abs(back - 12 * HOUR) <= 2 * HOUR).mean() > 0.9 and (raw.local % DAY < 13 * HOUR).all():
        template = "They step back by about 12 hours: the clock probably has 12 hours without AM or PM"
        return Cause(template, "Write the times with 24 hours.", {})
    ignored = read_ignored(raw)
    if (name := find_name_column(raw, ignored, late)) is not None:
        return explain_name_column(name, ignored[name])
    template = "The day and the month may have changed places, or several series may be mixed"
    remedy = "Set data.time_format, for example {line}, or name the column of the symbol with data.columns.symbol."
    return Cause(template, remedy, {"line": quote_setting("data.time_format", "%d/%m/%Y %H:%M")})
