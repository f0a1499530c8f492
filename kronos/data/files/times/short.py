"""Recognise dates of six digits: 240102, 202401 or 020124."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from kronos.data.files.times.doubts import AmbiguousTimes
from kronos.errors import DataError
from kronos.names import Message

SIX_DIGITS = re.compile(r"\d{6}(?: \d\d:\d\d(?::\d\d)?)?")
FORMATS = ("%y%m%d", "%Y%m", "%d%m%y", "%m%d%y")
FARTHER = 20  # times: the dates of a wrong reading jump
FIRST_YEAR = 1950


def find_short_format(text: pd.Series) -> str:
    """Return the format, as in strptime, in which all dates are possible and follow one another most closely.

    Raises:
        DataError: without a place; no format is possible, or several are.
    """
    times = text[text.str.fullmatch(SIX_DIGITS)]
    first = str(times.iloc[0])
    clock = {6: "", 12: " %H:%M", 15: " %H:%M:%S"}[len(first)]
    steps: dict[str, float] = {}
    for form in FORMATS:
        days = pd.to_datetime(times.str.slice(0, 6), format=form, errors="coerce")
        if days.notna().all() and days.dt.year.between(FIRST_YEAR, pd.Timestamp.now().year + 1).all():
            steps[form] = float(np.abs(days.diff().dt.days).sum())
    best = sorted(steps, key=lambda form: steps[form])
    if not best:
        template = (
            "timestamp {value!r} is no date of six digits. Set data.time_format, for example data.time_format=%y%m%d."
        )
        raise DataError(template, value=first)
    if len(best) > 1 and steps[best[1]] <= FARTHER * steps[best[0]]:
        readings = [f"{pd.to_datetime(first[:6], format=form):%-d %B %Y}" for form in best]
        template = "timestamp {value!r} is ambiguous: {readings}? Set {keys}, or write the year with four digits."
        keys = Message.join((f'data.time_format="{form}"' for form in best), " or ")
        raise AmbiguousTimes(template, value=first, readings=Message.join(readings, " or "), keys=keys)
    return best[0] + clock
