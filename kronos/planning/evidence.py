"""How much evidence a split can give: origins whose horizons do not overlap in time."""

import numpy as np

from kronos.config.data import DataConfig
from kronos.data import CandleSet, Split

MIN_INDEPENDENT_VAL = 30  # the standard error of their mean is then 18% of their spread
MIN_ORIGINS = 10  # independent ones; with fewer, false verdicts are rare, but so are true ones


def count_independent_origins(candles: CandleSet, split: Split, data: DataConfig) -> int:
    """Count horizons of a split that do not overlap in time; symbols move together, and count once at a time.

    The horizons are chosen greedily by earliest end, among those one horizon apart in each stretch.
    """
    rows = [
        np.arange(first, first + count * split.starts.stride, data.predict_window)
        for first, count in zip(split.starts.first, split.starts.count)
    ]
    origins = np.concatenate([np.empty(0, np.int64), *rows]) + data.lookback_window - 1
    starts, ends = candles.instants[origins], candles.instants[origins + data.predict_window]
    n, free_from = 0, None
    for i in np.argsort(ends, kind="stable"):
        if free_from is None or starts[i] >= free_from:
            n, free_from = n + 1, ends[i]
    return n
