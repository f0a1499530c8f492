"""Collect the closes that baselines are fitted on."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kronos.config.data import DataConfig
from kronos.data import CandleSet, Split
from kronos.data.windows.splits import SplitName
from kronos.evaluation.forecasters.base import CLOSE, PastCloses
from kronos.evaluation.origins.walk_forward import Origins

MOST_ROWS, MOST_ROWS_TOGETHER = 50_000, 5_000_000  # the last ones of a symbol, and of all symbols


def collect_past(
    config: DataConfig, origins: Origins, candles: CandleSet | None, splits: Mapping[SplitName, Split]
) -> PastCloses:
    """Collect the rows of the train split or, if there is none, all rows before the first origin of any symbol.

    Args:
        candles, splits: those of the run; None and empty if they are not available.
    """
    if candles is not None and "train" in splits:
        spans = _find_train_spans(config, candles, splits["train"])
    else:
        candles = origins.candles
        spans = _find_spans_before(config, candles, int(origins.starts.min()))
    first_origins = _find_first_origins(origins) if candles is origins.candles else {}
    many, most = len(candles.symbols) > 1, min(MOST_ROWS, MOST_ROWS_TOGETHER // len(candles.symbols))
    stretches: dict[str, list[pd.Series]] = {}
    for number, own in spans.items():
        own = [(start, min(stop, first_origins.get(number, stop))) for start, stop in own]
        symbol = candles.symbols[number].symbol if many else ""
        stretches[symbol] = [each for span in _take_last(own, most) for each in _read(candles, *span)]
    interval = pd.Timedelta(candles.symbols[0].interval, unit="us")
    return PastCloses({k: v for k, v in stretches.items() if v}, origins.lookback, origins.horizon, interval)


def _find_train_spans(config: DataConfig, candles: CandleSet, train: Split) -> dict[int, list[tuple[int, int]]]:
    """Return the rows, from start to stop, that train windows cover, by number of the symbol."""
    starts = train.starts
    spans: dict[int, list[tuple[int, int]]] = {}
    for number, first, count in zip(candles.symbol_numbers(starts.first), starts.first, starts.count):
        if count:
            stop = int(first + (count - 1) * starts.stride + config.window)
            spans.setdefault(int(number), []).append((int(first), stop))
    return spans


def _find_spans_before(config: DataConfig, candles: CandleSet, instant: int) -> dict[int, list[tuple[int, int]]]:
    """Return the rows before an instant, in stretches that windows may lie in, by number of the symbol."""
    spans = {}
    for number, symbol in enumerate(candles.symbols):
        stop = symbol.start + int(np.searchsorted(candles.instants[symbol.start : symbol.stop], instant))
        inner = [row for row in symbol.breaks(config.max_gap) if row < stop]
        spans[number] = list(zip([symbol.start, *inner], [*inner, stop]))
    return spans


def _find_first_origins(origins: Origins) -> dict[int, int]:
    """Return the row of the first origin by number of the symbol."""
    numbers, first = np.unique(origins.candles.symbol_numbers(np.sort(origins.rows)), return_index=True)
    return dict(zip(numbers.tolist(), np.sort(origins.rows)[first].tolist()))


def _take_last(spans: Sequence[tuple[int, int]], n: int) -> list[tuple[int, int]]:
    """Return the parts of spans in ascending order that contain the last n rows."""
    taken: list[tuple[int, int]] = []
    for start, stop in reversed(spans):
        start = max(start, stop - n)
        if stop - start > 1:
            taken.insert(0, (start, stop))
            n -= stop - start
    return taken


def _read(candles: CandleSet, start: int, stop: int) -> list[pd.Series]:
    """Return the closes of a span by local time, cut where one is not above 0."""
    closes = pd.Series(candles.values[start:stop, CLOSE].astype(np.float64), index=candles.timestamps(start, stop))
    cuts = np.flatnonzero(closes.to_numpy() <= 0)
    pieces = zip([0, *(cuts + 1)], [*cuts, len(closes)])
    return [closes.iloc[a:b] for a, b in pieces if b - a > 1]
