"""Join dates and times of day that stand in two columns."""

from __future__ import annotations

import re

import pandas as pd

from kronos.data.files.times.texts import normalize_times

Text = pd.Series  # of str
MIDNIGHT = r"[ T]0?0:00(?::00(?:\.0+)?)?\s?(?:Z|[+-]\d\d:?\d\d)?$"


def join_date_and_time(date: Text, time: Text, form: str | None = None) -> Text:
    """Join a column of dates and a column of times of day, with or without separators. The times may include the date.

    Args:
        form: how both are written, or the dates only, if it is given.
    """
    day, clock = normalize_times(date), normalize_times(time)
    if form and re.search("%[HI]", form):
        return day + " " + clock
    if form:
        written = date.astype("str").str.strip()
        day = pd.to_datetime(written, format=form, errors="coerce").dt.strftime("%Y-%m-%d").fillna(written)
    if clock.str.match(r"\d{4}[-/.]|\d{12}").all():
        return clock
    clock = clock.str.replace(r"^0 days? ", "", regex=True)
    if clock.str.fullmatch(r"\d{1,6}").all() and (longest := clock.str.len().max()) > 2:
        clock = clock.str.zfill(6) if longest > 4 else clock.str.zfill(4) + "00"
        clock = clock.str.slice(0, 2) + ":" + clock.str.slice(2, 4) + ":" + clock.str.slice(4)
    elif clock.str.fullmatch(r"\d{1,9}").all() and clock.str.len().max() > 6:  # with milliseconds
        clock = clock.str.zfill(9).str.replace(r"(..)(..)(..)(...)", r"\1:\2:\3.\4", regex=True)
    elif clock.str.fullmatch(r"0?\.\d+|0(?:\.0*)?").all():  # parts of a day, as in Excel
        seconds = (pd.to_numeric(clock) * 86_400).round()
        clock = pd.to_datetime(seconds, unit="s").dt.strftime("%H:%M:%S")
    elif clock.str.fullmatch(r"\d{1,2}").all():
        clock = clock.str.zfill(2) + ":00"  # hours
    if day.str.fullmatch(r"\d{8}").all():
        day = day.str.slice(0, 4) + "-" + day.str.slice(4, 6) + "-" + day.str.slice(6)
    has_clock = day.str.contains(r"\d:\d\d") & ~day.str.contains(MIDNIGHT)
    if has_clock.any():
        return day  # the time stands in both columns
    return day.str.replace(MIDNIGHT, "", regex=True) + " " + clock
