from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos.candles import PRICE_COLUMNS
from kronos.errors import DataError
from kronos.forecast.origin import build_forecast_task, build_forecast_tasks

TIMES = pd.date_range("2024-04-01", periods=72, freq="h")
FRAME = pd.DataFrame({"close": range(72)}, index=TIMES)


@pytest.mark.parametrize(
    ("origin", "n_history", "n_truth"),
    [("last", 72, 0), ("2024-04-02 00:00", 25, 8), ("2024-04-02 00:59", 25, 8), ("2024-04-03 20:00", 69, 3)],
)
def test_what_is_known_and_what_came(origin: str, n_history: int, n_truth: int) -> None:
    cut = build_forecast_task(FRAME, origin, 8)
    assert (len(cut.history), len(cut.actual)) == (n_history, n_truth)
    assert cut.actual.index.equals(TIMES[n_history : n_history + n_truth])
    # Beyond the file's end the times are made.
    assert (cut.future == pd.date_range(cut.history.index[-1], periods=9, freq="h")[1:]).all()


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("yesterday?", "the origin 'yesterday.' is not a local time"),
        ("2024-04-02 10:00+08:00", "is not a local time. Leave its time zone out"),
        ("02/04/2024 10:10", "'02/04/2024 10:10' is not a local time. Write it like"),
        ("10:10", "'10:10' is not a local time. Write it like"),
        ("2030-01-01", "is after the last candle, 2024-04-03 23:00:00"),
        ("2024-04-01 00:30", "leaves 1 candles of history"),
        ("2020-01-01", "leaves 0 candles of history.*the first candle is at 2024-04-01"),
    ],
)
def test_an_origin_outside_the_candles(origin: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        build_forecast_task(FRAME, origin, 8)


def test_fewer_candles_than_the_lookback_are_no_break(tmp_path: Path) -> None:
    path = tmp_path / "short.csv"
    random = np.random.default_rng(0).normal(10, 0.1, 40)
    candles = pd.DataFrame(dict.fromkeys(PRICE_COLUMNS, random), index=TIMES[:40].rename("timestamps"))
    candles.to_csv(path)
    tasks, errors = build_forecast_tasks([path], "last", 48, 8, None)
    assert not errors and tasks["short"].notes == () and len(tasks["short"].history) == 40
