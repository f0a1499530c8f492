"""Read the rows of a table that hold candles, under our names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from kronos.candles import CANDLE_COLUMNS, PRICE_COLUMNS, TIMESTAMP_COLUMN, Array
from kronos.data.files.aliases import SYMBOL, TIME
from kronos.data.files.notes import ReadingNote
from kronos.data.files.options import ReadingOptions
from kronos.data.files.tables import ROWS_AT_A_TIME, Table
from kronos.data.files.text.numbers import find_factor
from kronos.data.files.times import TimestampFormat, join_date_and_time
from kronos.errors import DataError
from kronos.names import Message, Template

HEADER_AGAIN: Template = "rows equal to the column names that were passed over: {n:,}, the first in {unit} {line}"
NO_CANDLE: Template = "rows without a candle that were passed over: {n:,}, the first in {unit} {line}: {text!r}"
MAX_REMARKS, MAX_SHARE = 10, 0.02  # of the rows of a piece
MAX_BLANK, MAX_BLANK_SHARE = 1_000_000, 10  # rows; or this many for each that is not blank
EVENTS = 0.1  # of the rows at most hold an event, not a candle
LETTER = r"[^\W\d_]"


@dataclass(frozen=True)
class RowReader:
    """Reads the rows of a table.

    names: our names of columns, and the table's. passed: the rows that were passed over, by kind: how many, the first
    line, its text.
    """

    table: Table
    names: Mapping[str, str]
    options: ReadingOptions
    passed: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    def read(self) -> Iterator[tuple[pd.DataFrame, bool]]:
        """Yield the rows that are not blank and not the column names again, in pieces; and whether a piece is the last."""
        texts = [self.names[name] for name in (TIMESTAMP_COLUMN, TIME, SYMBOL) if name in self.names]
        n_blank = n_rows = 0
        for piece in self.table.read(list(self.names.values()), texts):
            frame = piece[list(self.names.values())].set_axis(list(self.names), axis=1)
            blank = self._is_blank(frame)
            frame = frame[~blank] if blank.any() else frame
            n_blank, n_rows = n_blank + len(piece) - len(frame), n_rows + len(frame)
            if not self.table.symbol and n_blank > max(MAX_BLANK, MAX_BLANK_SHARE * n_rows):
                template = "{path}: there are more than {n:,} blank rows, and few others. Remove them."
                raise DataError(template, path=self.table.path, n=MAX_BLANK)
            frame = self._drop_events(self._drop_headers(frame))
            if len(frame):
                yield frame, len(piece) < ROWS_AT_A_TIME

    def _is_blank(self, frame: pd.DataFrame) -> Any:
        if self.table.symbol:  # the symbols beside it have other days
            return frame[[name for name in CANDLE_COLUMNS if name in frame]].isna().all(axis=1)
        return frame.isna().all(axis=1)

    def _drop_headers(self, frame: pd.DataFrame) -> pd.DataFrame:
        if not self.table.layout or not self.table.layout.header or frame["open"].dtype.kind in "iuf":
            return frame
        again = np.logical_and.reduce([frame[ours].astype("str") == theirs for ours, theirs in self.names.items()])
        if again.any():
            self._pass_over(HEADER_AGAIN, frame, again)
        kept: pd.DataFrame = frame[~again]
        return kept

    def _drop_events(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Drop rows that hold a text in the place of the first price and no others, such as a dividend."""
        if not {"open", "high", "low", "close"} <= set(frame) or frame["open"].dtype.kind in "iuf":
            return frame
        alone = frame[["high", "low", "close"]].isna().all(axis=1)
        events = alone & frame["open"].astype("str").where(frame["open"].notna(), "").str.contains(LETTER + "{4}")
        if not events.any() or events.mean() > EVENTS:
            return frame
        self._pass_over(NO_CANDLE, frame, events, frame["open"])
        kept: pd.DataFrame = frame[~events]
        return kept

    def times_of(self, frame: pd.DataFrame) -> pd.Series:
        """Return the times of rows as written, with the time of day behind the date."""
        times: pd.Series = frame[TIMESTAMP_COLUMN]
        return times if TIME not in frame else join_date_and_time(times, frame[TIME], self.options.time_format)

    def recognise_times(self, frame: pd.DataFrame, is_all: bool) -> TimestampFormat:
        """Recognise how times are written, from the first piece or, if that leaves a doubt, from all rows."""
        remarks = self._may_be_remarks(frame)
        times = self.times_of(frame[~remarks] if not remarks.all() else frame)

        def read_all() -> pd.Series:
            reader = RowReader(self.table, self.names, self.options)
            all_times = [reader.times_of(piece[~self._may_be_remarks(piece)]) for piece, _ in reader.read()]
            return pd.Series(pd.concat(all_times))

        return TimestampFormat.recognise(times, self._options_of_times(frame), None if is_all else read_all)

    def _options_of_times(self, frame: pd.DataFrame) -> ReadingOptions:
        form = self.options.time_format
        if form and TIME in frame and not ("%H" in form or "%I" in form):
            return ReadingOptions(timezone=self.options.timezone)  # the format of the dates is applied in joining
        return self.options

    def drop_remarks(self, frame: pd.DataFrame, times: pd.Series, unread: Array) -> Array:
        """Return the rows to keep, (N,) bool: all but texts in the place of a time, without prices, such as a source."""
        remarks = unread & self._may_be_remarks(frame)
        if remarks.sum() > max(MAX_REMARKS, MAX_SHARE * len(frame)):
            return np.ones(len(frame), bool)  # these are the rows, and something is wrong with them
        if remarks.any():
            self._pass_over(NO_CANDLE, frame, remarks, times)
        keep: Array = ~remarks
        return keep

    def _may_be_remarks(self, frame: pd.DataFrame) -> Array:
        times = frame[TIMESTAMP_COLUMN]
        if times.dtype.kind not in "OTU" and not isinstance(times.dtype, pd.StringDtype):
            return np.zeros(len(frame), bool)
        no_price = frame[list(PRICE_COLUMNS)].isna().all(axis=1).to_numpy()
        if not no_price.any():
            return no_price
        no_time = times.isna().to_numpy()
        has_letters = no_time | times.astype("str").str.contains(LETTER, regex=True).to_numpy(bool, na_value=False)
        return np.asarray(no_price & has_letters)

    def _pass_over(self, template: str, frame: pd.DataFrame, rows: Any, times: pd.Series | None = None) -> None:
        first = int(np.asarray(rows).argmax())
        line = int(frame.index[first]) + self.table.first
        text = "" if times is None else str(times.iloc[first]).strip()[:60]
        n, first_line, first_text = self.passed.get(template, (0, line, text))
        self.passed[template] = (n + int(np.sum(rows)), first_line, first_text)

    @property
    def factors(self) -> dict[str, float]:
        """The units of volume and amount that their names tell, if they are not 1."""
        units = {ours: find_factor(self.names[ours]) for ours in ("volume", "amount") if ours in self.names}
        return {ours: factor for ours, factor in units.items() if factor != 1}

    def describe(self) -> tuple[ReadingNote, ...]:
        """Return notes about units, and about the rows that were passed over."""
        template = "{name} is multiplied by {factor:,.0f}, its unit"
        units = [ReadingNote.make(template, name=self.names[n], factor=factor) for n, factor in self.factors.items()]
        return (*units, *self._describe_passed())

    def _describe_passed(self) -> tuple[ReadingNote, ...]:
        return tuple(
            ReadingNote.make(
                template, n=n, unit=Message(self.table.unit), line=line, **({"text": text} if text else {})
            )
            for template, (n, line, text) in self.passed.items()
        )
