"""Leave out rows before data.since and after data.until."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kronos.config.data import end_of, start_of
from kronos.data.files.options import ReadingOptions
from kronos.data.files.read import RawSeries
from kronos.data.quality.findings import Finding, format_time


class TimeLimits:
    """The times to use, local to the exchange. Every series that loses rows is reported in findings."""

    def __init__(self, options: ReadingOptions, findings: list[Finding]) -> None:
        self._options, self._findings = options, findings
        self._first = start_of(options.since) if options.since else None
        self._end = end_of(options.until) if options.until else None
        self._n_kept = 0
        self._seen: list[RawSeries] = []

    def apply(self, series: Sequence[RawSeries]) -> list[RawSeries]:
        """Return the series without the rows outside, those that have rows left."""
        if not (self._first or self._end):
            return list(series)
        cut = [self._cut(raw) for raw in series]
        self._seen += [raw.take(np.array([0, len(raw) - 1])) for raw in series if len(raw)]
        self._n_kept += sum(map(len, cut))
        return [raw for raw in cut if len(raw)]

    def _cut(self, raw: RawSeries) -> RawSeries:
        keep = np.ones(len(raw), bool)
        if self._first:
            keep &= raw.local >= np.datetime64(self._first, "us").astype(np.int64)
        if self._end:
            keep &= raw.local < np.datetime64(self._end, "us").astype(np.int64)
        if keep.all():
            return raw
        n = int(len(raw) - keep.sum())
        template = "{n:,} of {total:,} rows are outside data.since and data.until; left out"
        values = {"n": n, "total": len(raw)}
        self._findings.append(Finding("limits", "note", raw.source, raw.symbol, n, (), template, values))
        return raw.take(keep)

    def finish(self) -> None:
        """Report that no row is left."""
        if self._n_kept or not self._seen:
            return
        times = [int(time) for raw in self._seen for time in raw.local]
        values = {"first": format_time(min(times)), "last": format_time(max(times))}
        template = "no row is between data.since and data.until; the rows are from {first} to {last}"
        remedy = "Change data.since or data.until."
        source = self._seen[0].source
        self._findings.append(Finding("limits", "error", source, "", len(times), (), template, values, remedy))
