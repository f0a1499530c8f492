"""What the ledger keeps of a forecast, and of its outcome."""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from kronos.candles import Array
from kronos.evaluation.records import Record

SHARES = tuple(
    i / 20 for i in range(1, 20)
)  # of the quantiles: 5 % to 95 %, with the ends of the bands of 50, 80 and 90 %

LATE = timedelta(days=1)  # a local time is at most 14 hours away from UTC


class LoggedForecast(Record):
    """A forecast of closes as it was made.

    written: the time in UTC. run: its folder, or the name of a model. tokenizer, base_model: SHA-256 of the weights. candles:
    SHA-256 of the known candles. settings: everything else that the forecast depends on. symbol: of the series. origin: the
    local time of the last known candle. times: the H local times. last_close: in the candles' units. close, baseline: the
    quantiles (H, Q) at SHARES, of the closes by the model and by the baseline `ewma`. probability_up: (H,).
    """

    written: datetime
    run: str
    tokenizer: str
    base_model: str
    candles: str
    settings: dict[str, Any]
    symbol: str
    origin: datetime
    times: tuple[datetime, ...]
    last_close: float
    calibrated: bool = False
    close: tuple[tuple[float, ...], ...]
    baseline: tuple[tuple[float, ...], ...]
    probability_up: tuple[float, ...]

    @property
    def n_passed(self) -> int:
        """How many of its first candles had come already, in any time zone, when it was written: they prove nothing."""
        return bisect_left(self.times, self.written.replace(tzinfo=None) - LATE)

    @property
    def is_late(self) -> bool:
        """Whether all its candles had come already when it was written."""
        return self.n_passed == len(self.times)


class Entry(Record):
    """A forecast in the ledger. number: 1, 2, 3 … in the order of writing. seal: see `kronos.ledger.store`."""

    number: int
    seal: str
    forecast: LoggedForecast


class Outcome(Record):
    """What came of step `step` (from 0) of a forecast: the actual close, in the candles' units."""

    number: int
    step: int
    actual: float


def to_array(rows: tuple[tuple[float, ...], ...]) -> Array:
    """Return quantiles as (Q, H)."""
    return np.asarray(rows, np.float64).T
