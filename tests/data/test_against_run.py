"""New candles that differ from a run's are described; those of the same kind are not."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import load_candles
from kronos.data.against_run import collect_differences
from kronos.data.audit import audit_to_json
from kronos.data.candle_kind import describe_kind
from kronos.run_folder import RunFolder

SESSION = ("09:35", "11:30"), ("13:05", "15:00")
Change = Callable[[pd.DataFrame], pd.DataFrame]


def market(
    days: int = 40, step: str = "5min", around_the_clock: bool = False, first: str = "2024-01-02"
) -> pd.DataFrame:
    """A random walk in the sessions of an A-share, or around the clock."""
    dates = pd.date_range(first, periods=days) if around_the_clock else pd.bdate_range(first, periods=days)
    if around_the_clock:
        times = pd.date_range(first, periods=days * 24, freq="h")
    else:
        times = pd.DatetimeIndex([t for day in dates for a, b in SESSION for t in day_range(day, a, b, step)])
    random = np.random.default_rng(1)
    close = 10 * np.exp(np.cumsum(random.normal(0, 0.001, len(times))))
    volume = random.lognormal(8, 1, len(times)).round()
    return pd.DataFrame(
        {
            "timestamps": times,
            "open": close,
            "high": close * 1.001,
            "low": close * 0.999,
            "close": close,
            "volume": volume,
        }
    )


def ticks(seed: int = 0) -> pd.DataFrame:
    """Candles of so many trades, at any time."""
    frame, steps = market(), np.random.default_rng(seed).exponential(60, 40 * 48)
    return frame.assign(timestamps=pd.Timestamp("2024-01-02") + pd.to_timedelta(np.cumsum(steps), "s"))


def day_range(day: pd.Timestamp, first: str, last: str, step: str) -> pd.DatetimeIndex:
    return pd.date_range(f"{day.date()} {first}", f"{day.date()} {last}", freq=step)


def find(tmp_path: Path, trained: pd.DataFrame, new: pd.DataFrame, names: tuple[str, str] = ("run", "new")) -> str:
    """Return how new candles differ from trained ones, each in a file of its own."""
    loaded = []
    for name, frame in zip(names, (trained, new)):
        path = tmp_path / f"{name}.csv"
        frame.to_csv(path, index=False)
        loaded.append(load_candles(DataConfig(data_path=(path,)), RepairsConfig(jumps="keep")))
    run = RunFolder(tmp_path)
    run.audit.write_text(json.dumps(audit_to_json(loaded[0])))
    candles = loaded[1].candles
    kinds = [describe_kind(candles, symbol) for symbol in candles.symbols]
    return "\n".join(str(each) for differences in collect_differences(kinds, run).values() for each in differences)


def scale(column: str, factor: float) -> Change:
    prices = ["open", "high", "low", "close"] if column == "close" else [column]
    return lambda frame: frame.assign(**{name: frame[name] * factor for name in prices})


def shift(by: str) -> Change:
    return lambda frame: frame.assign(timestamps=frame["timestamps"] + pd.Timedelta(by))


def write_zone(zone: str) -> Change:
    return lambda frame: frame.assign(timestamps=frame["timestamps"].dt.strftime("%Y-%m-%dT%H:%M:%S") + zone)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda frame: frame.iloc[::48], "candles of 1 day, but the run was trained on candles of 5 minutes"),
        (lambda frame: frame.iloc[2::3], "candles of 15 minutes"),
        (shift("-8h"), "these have candles at hours 1–3, 5–7, the run's at hours 9–11, 13–15"),
        (shift("-5min"), "the day begins at 09:30, in training at 09:35"),
        (shift("-1min"), "the day begins at 09:34"),
        (scale("close", 5), "close is about"),
        (scale("close", 100), "Check that these are the same symbol and unit"),
        (scale("volume", 100), "volume is about"),
        (scale("volume", 0.01), "volume is about"),
        (scale("volume", 0), "these candles have no volume"),
    ],
)
def test_what_differs_is_described(tmp_path: Path, change: Change, text: str) -> None:
    assert text in find(tmp_path, market(), change(market(first="2024-03-01")))


@pytest.mark.parametrize(
    ("trained", "new"),
    [
        (market(), market(first="2024-06-03")),
        (market(), market(2)),
        (market(), scale("close", 2.5)(market(first="2024-06-03"))),
        (market(), market().iloc[:10]),  # too few to tell
        (market(around_the_clock=True), market(5, around_the_clock=True, first="2024-06-03")),
        (market().iloc[::48], market(first="2024-06-03").iloc[::48]),
        (ticks(), ticks(7)),
    ],
)
def test_candles_of_the_same_kind_differ_in_nothing(tmp_path: Path, trained: pd.DataFrame, new: pd.DataFrame) -> None:
    assert find(tmp_path, trained, new) == ""


def test_the_zone_matters_where_the_hours_do_not_show_it(tmp_path: Path) -> None:
    coin = market(around_the_clock=True)
    trained = write_zone("+00:00")(coin)
    assert "the times have no zone, those in training the offset +00:00" in find(tmp_path, trained, coin)
    assert "the times have the offset +08:00" in find(tmp_path, trained, write_zone("+08:00")(coin))
    assert find(tmp_path, trained, write_zone("Z")(coin)) == ""
    share = market()
    assert find(tmp_path, write_zone("+08:00")(share), share) == ""  # the hours agree


@pytest.mark.parametrize(
    ("trained", "new", "differs"),
    [
        ("600977", "600977_5min", False),
        ("sh600977", "600977.SH", False),
        ("BTC-USDT_5m", "BTCUSDT", False),
        ("AAPL", "TSLA_2024", True),
        ("600977", "000001", True),
        ("kline_train", "kline_new", False),  # file names that name no symbol
        ("AAPL", "new", False),
        ("history", "TSLA", False),
    ],
)
def test_symbols_named_by_files(tmp_path: Path, trained: str, new: str, differs: bool) -> None:
    assert ("not trained on this symbol" in find(tmp_path, market(), market(), (trained, new))) == differs


def test_daily_candles_at_midnights_of_another_zone(tmp_path: Path) -> None:
    daily = market().iloc[::48]
    daily = daily.assign(timestamps=daily["timestamps"].dt.normalize())
    assert "on Sundays at 16:00. Moved by +8 h they would fit" in find(tmp_path, daily, shift("-8h")(daily))


@pytest.mark.parametrize("zoned", [True, False])
def test_the_zone_that_is_proposed_settles_it(tmp_path: Path, zoned: bool) -> None:
    trained, later = market(), shift("-8h")(market(first="2024-03-01"))
    zone = "Asia/Shanghai" if zoned else "UTC:Asia/Shanghai"
    assert f"set data.timezone={zone}." in find(tmp_path, trained, write_zone("Z")(later) if zoned else later)
    data = DataConfig(data_path=(tmp_path / "new.csv",), timezone=zone)
    candles = load_candles(data, RepairsConfig()).candles
    assert collect_differences([describe_kind(candles, candles.symbols[0])], RunFolder(tmp_path)) == {}


def test_symbols_in_a_column(tmp_path: Path) -> None:
    frame = market()
    found = find(
        tmp_path, frame.assign(symbol="AAPL"), pd.concat([frame.assign(symbol=name) for name in ("AAPL", "X")])
    )
    assert found == "the run was not trained on this symbol, but on AAPL. Its report says nothing about other symbols."


def test_a_run_of_an_earlier_version(tmp_path: Path) -> None:
    """Its data.json has symbols and intervals only, or does not exist."""
    frame = market()
    find(tmp_path, frame, frame)
    run = RunFolder(tmp_path)
    old = json.loads(run.audit.read_text())
    del old["kind"]
    for symbol in old["symbols"]:
        del symbol["levels"]
    candles = load_candles(DataConfig(data_path=(tmp_path / "new.csv",)), RepairsConfig()).candles
    kinds = [describe_kind(candles, symbol) for symbol in candles.symbols]
    run.audit.write_text(json.dumps(old))
    assert collect_differences(kinds, run) == {}
    for damaged in ("{", "[]", '{"symbols": 3}'):
        run.audit.write_text(damaged)
        assert collect_differences(kinds, run) == {}
