"""The table that `kronos predict` prints."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from kronos.cli.output.predict import print_summary
from kronos.forecast.coherence import Repairs
from kronos.forecast.origin import ForecastTask
from kronos.report.verdict.summary import VerdictSummary
from tests.report.forecast.made_forecast import HISTORY, TRUTH, make_forecast


@pytest.mark.parametrize(("interval", "has_clock_times"), [("D", False), ("5min", True)])
def test_daily_candles_have_no_clock_times(
    interval: str, has_clock_times: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    history = HISTORY.set_axis(pd.date_range("2018-11-22", periods=len(HISTORY), freq=interval))
    truth = TRUTH.set_axis(pd.date_range(history.index[-1], periods=len(TRUTH) + 1, freq=interval)[1:])
    forecast = replace(make_forecast(history=history, truth=truth), repairs=Repairs(600, 0, 0, 0, 0))
    task = ForecastTask(history, truth, truth.index, ())
    files = [{"csv": Path("forecast.csv")}]
    print_summary([forecast], {forecast.name: task}, files, VerdictSummary("not_evaluated", "x"), Path("out"), "en")
    printed = capsys.readouterr().out
    assert f"{history.index[-1]:%Y-%m-%d}" in printed and ("00:00" in printed or "03:15" in printed) == has_clock_times
