"""Why many prices are missing, not positive or impossible: the columns were misread, and no repair of rows helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, Array
from kronos.data.files.read import RawSeries
from kronos.data.quality.findings import FINDINGS, Cause, Finding, is_widespread, make_finding, quote_setting
from kronos.names import Message

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
MARKER = -1
AGREEMENT = 0.98
FAR = 10  # times the distances between the other columns
MIN_CANDLES, N_COMPARED = 50, 5000
MIN_Z = 5  # standard deviations by which one reading of the columns must be better


def explain_impossible(raw: RawSeries, rows: Array) -> Cause | None:
    """Return the cause of impossible candles in so many rows, or None if they are single faulty rows."""
    if not is_widespread(rows, raw):
        return None
    share = {"share": f"{len(rows) / len(raw):.0%}"}
    prices = raw.values[:, :VOLUME]
    if cause := _explain_order(raw):
        return cause
    if (raw.values[rows, VOLUME:] < 0).any(axis=1).mean() > 0.5:
        template = (
            "impossible candles in {share} of the rows: volume or amount is negative. Is it a change or a net flow?"
        )
        return Cause(template, "Choose the column of the volume: data.columns.volume=its name.", share)
    outside = {
        name: np.mean((prices[:, i] > prices[:, HIGH]) | (prices[:, i] < prices[:, LOW]))
        for name, i in (("open", OPEN), ("close", CLOSE))
    }
    name = max(outside, key=lambda each: outside[each])
    if outside[name] > 2 * min(outside.values()):
        template = "impossible candles in {share} of the rows: {name} lies outside low to high. Is it adjusted and the others not?"
        remedy = "Choose prices of one kind: data.columns.{name}=its name."
        return Cause(template, remedy, share | {"name": name})
    template = "impossible candles in {share} of the rows: the columns are probably in another order than their names"
    return Cause(template, "Correct the names, or set data.columns.open=its name and so on.", share)


def _explain_order(raw: RawSeries) -> Cause | None:
    """Find which columns hold the highs and lows, and which of the others begin where the candle before ended."""
    prices = raw.values[:, :VOLUME]
    top, bottom = prices.max(axis=1, keepdims=True), prices.min(axis=1, keepdims=True)
    high, low = (int((prices == edge).mean(axis=0).argmax()) for edge in (top, bottom))
    if high == low or (high, low) == (HIGH, LOW):
        return None
    if min((prices[:, [high]] == top).mean(), (prices[:, [low]] == bottom).mean()) < AGREEMENT:
        return None
    ranks = np.sort(prices[(prices > 0).all(axis=1)].astype(np.float64), axis=1)
    below, middle, above = np.median(np.log(ranks[:, 1:] / ranks[:, :-1]), axis=0) if len(ranks) else np.zeros(3)
    if max(below, above) > FAR * (middle + min(below, above)):
        return None  # one column is not on the scale of the others
    first, second = [i for i in range(VOLUME) if i not in (high, low)]
    open_, close = (first, second) if _count_wins(*_compare_ends(prices, first, second)) >= 0 else (second, first)
    order = dict(zip(PRICE_COLUMNS, (open_, high, low, close)))
    theirs = [raw.columns.get(name, name) for name in PRICE_COLUMNS]
    lines = [quote_setting(f"data.columns.{n}", theirs[i]) for n, i in order.items() if PRICE_COLUMNS.index(n) != i]
    template = "the highest price is in column {high!r} and the lowest in {low!r}: the columns are in another order"
    shown = {"high": theirs[high], "low": theirs[low], "lines": " ".join(lines)}
    return Cause(template, "Set {lines}, or correct the names in the file.", shown, certain=True)


def _compare_ends(prices: Array, open_: int, close: int) -> tuple[Array, Array]:
    """Return how far each open is from the close before, and each close from the open before, (N - 1,) log prices."""
    logs: Array = np.log(np.where(prices > 0, prices, np.nan).astype(np.float64))
    return np.abs(logs[1:, open_] - logs[:-1, close]), np.abs(logs[1:, close] - logs[:-1, open_])


def _count_wins(one: Array, other: Array) -> float:
    """Return how clearly one distance is smaller than the other, in standard deviations; negative if it is larger."""
    wins, losses = int(np.count_nonzero(one < other)), int(np.count_nonzero(one > other))
    return float((wins - losses) / max(wins + losses, 1) ** 0.5)


def find_swapped(raw: RawSeries) -> list[Finding]:
    """Find opens and closes that changed places: each close then begins where the candle before opened."""
    if len(raw) < MIN_CANDLES:
        return []
    forward, reversed_ = _compare_ends(raw.values[-N_COMPARED:, :VOLUME], OPEN, CLOSE)
    if _count_wins(reversed_, forward) < MIN_Z or np.nanmedian(reversed_) >= np.nanmedian(forward) / 2:
        return []
    open_, close = raw.columns.get("open", "open"), raw.columns.get("close", "close")
    template = f"{FINDINGS['misread']}: each close is near the open before, as if open and close had changed places"
    lines = f"{quote_setting('data.columns.open', close)} {quote_setting('data.columns.close', open_)}"
    remedy = "Set {lines}, or correct the names in the file."
    return [make_finding(raw, "misread", "error", template, count=len(raw), remedy=remedy, lines=lines)]


def explain_non_positive(raw: RawSeries, rows: Array) -> Cause | None:
    """Return the cause of prices of 0 or less in so many rows, or None: rows without a trade, or single faulty rows."""
    if not is_widespread(rows, raw):
        return None
    prices = raw.values[rows, :VOLUME]
    share = {"share": f"{len(rows) / len(raw):.0%}"}
    wrong = prices <= 0
    if (prices[wrong] == MARKER).all():
        template = "a price is -1 in {share} of the rows: -1 probably marks a missing value"
        return Cause(template, "Leave these cells blank, or remove these rows from the file.", share)
    if (raw.values[rows, VOLUME] == 0).all() and (prices[wrong] == 0).all():
        return None  # no trade, no price
    if (often := wrong.mean(axis=0) > 0.5).all():
        template = "prices of 0 or less in {share} of the rows: are they returns, a spread or normalised values?"
        return Cause(template, "Save the prices themselves.", share)
    names = Message.join((raw.columns.get(n, n) for n, wrong_here in zip(PRICE_COLUMNS, often) if wrong_here), " and ")
    template = "{names} is 0 or less in {share} of the rows: it is probably no column of prices"
    shown = share | {"names": names or "a price", "ours": PRICE_COLUMNS[int(often.argmax())]}
    return Cause(template, "Choose the right column: data.columns.{ours}=its name.", shown)


def explain_blank(raw: RawSeries, rows: Array) -> Cause | None:
    """Return the cause of blank prices in so many rows, or None: rows without any price, or single faulty rows."""
    if not is_widespread(rows, raw):
        return None
    blank = np.isnan(raw.values[rows, :VOLUME])
    if blank.all(axis=1).mean() > 0.5 and len(rows) < len(raw):
        return None  # no trade, no candle
    column = int(blank.mean(axis=0).argmax())
    ours = PRICE_COLUMNS[column]
    shown = {
        "name": raw.columns.get(ours, ours),
        "ours": ours,
        "share": f"{np.isnan(raw.values[:, column]).mean():.0%}",
    }
    if not blank[:, column].any():
        return None
    template = "{name} is blank in {share} of the rows: it is probably not the column of the price"
    return Cause(template, "Choose the right column: data.columns.{ours}=its name.", shown)


def clear_markers(raw: RawSeries) -> tuple[RawSeries, list[str]]:
    """Return the series with volumes and amounts of -1 left blank, and the names of the columns in which -1 is a marker."""
    values, names = raw.values.copy(), []
    for column in (VOLUME, VOLUME + 1):
        negative = raw.values[:, column] < 0
        is_marker = (raw.values[negative, column] == MARKER).all() and is_widespread(np.flatnonzero(negative), raw)
        if negative.any() and is_marker:
            values[negative, column] = np.nan
            names.append(CANDLE_COLUMNS[column])
    if names[:1] == ["volume"]:
        values[np.isnan(values[:, VOLUME]) & (values[:, VOLUME + 1] < 0), VOLUME + 1] = (
            np.nan
        )  # computed from the volume
    return replace(raw, values=values), names
