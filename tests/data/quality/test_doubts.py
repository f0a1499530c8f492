"""Doubts: what a file says, what must be read or reported, and that the line that is named settles it."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos.config.data import DataConfig, RepairsConfig
from kronos.config.load import build_config
from kronos.data import load_candles
from kronos.data.quality.findings import Finding
from kronos.data.windows.load import Audited
from tests.data.planted import make_frame, surround
from tests.data.quality.test_repair import daily, kinds, load, night_session, write

PRICES = ["open", "high", "low", "close"]
Make = Callable[[], pd.DataFrame]


def with_line(path: Path, finding: Finding, nth: int = 0) -> Audited:
    """Load again with the nth line that a finding names, as a command would."""
    lines = [word for word in shlex.split(finding.remedy) if word.startswith("data.")]
    lines = [re.sub(r"[.,]$", "", line) for line in lines]
    chosen = lines if nth is None else lines[nth : nth + 1]
    nothing = {"experiment": {"train_tokenizer": False, "train_basemodel": False}}
    config = build_config({"data": {"data_path": [str(path)]}, **nothing}, chosen)
    return load_candles(config.data, config.repairs)


def errors(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]


def walk(times: object, seed: int = 1, level: float = 20.0, noise: float = 0.002) -> pd.DataFrame:
    """Candles of a random walk at any times, without an amount."""
    generator = np.random.default_rng(seed)
    index = pd.DatetimeIndex(times)
    close = level * np.exp(noise * generator.standard_normal(len(index)).cumsum())
    return surround(close, index, generator, decimals=4).drop(columns="amount")


def several(*levels: float, n: int = 250) -> list[pd.DataFrame]:
    return [walk(pd.bdate_range("2022-01-03", periods=n), seed, level) for seed, level in enumerate(levels)]


def named(column: str, in_blocks: bool = True) -> pd.DataFrame:
    names = ("AAL", "AAPL", "AAP")
    frame = pd.concat([each.assign(**{column: name}) for name, each in zip(names, several(14, 70, 100))])
    return frame if in_blocks else frame.sort_values("timestamps", kind="stable")


def bars() -> pd.DataFrame:
    return make_frame(1)[:960].drop(columns="amount")


def with_fine_times(**columns: Callable[[pd.Series], object]) -> pd.DataFrame:
    frame = bars()
    more = {name: make(frame["timestamps"]) for name, make in columns.items()}
    return frame.assign(timestamps=frame["timestamps"].dt.date, **more)


# The file, the line that settles the doubt, the number of series and of candles in each.
CLASHES: dict[str, tuple[Make, str, int, int]] = {
    "an unknown name, in blocks": (lambda: named("Name"), "data.columns.symbol=Name", 3, 250),
    "an unknown name, by day": (lambda: named("asset", False), "data.columns.symbol=asset", 3, 250),
    "a name with a space": (lambda: named("Stock Name"), "'data.columns.symbol=Stock Name'", 3, 250),
    "finer times, compact": (
        lambda: with_fine_times(moment=lambda t: t.dt.strftime("%Y%m%d%H%M")),
        "data.columns.timestamps=moment",
        1,
        960,
    ),
    "finer times, ISO": (
        lambda: with_fine_times(ends=lambda t: t.dt.strftime("%Y-%m-%d %H:%M:%S")),
        "data.columns.timestamps=ends",
        1,
        960,
    ),
    "a clock of an unknown name": (
        lambda: with_fine_times(hhmm=lambda t: t.dt.strftime("%H:%M")),
        "data.columns.time=hhmm",
        1,
        960,
    ),
    "two intervals": (
        lambda: pd.concat(
            [
                walk(pd.date_range("2024-01-01", periods=500, freq="h")).assign(frame="1h"),
                walk(pd.date_range("2024-01-01", periods=125, freq="4h"), 2).assign(frame="4h"),
            ]
        ),
        "data.columns.symbol=frame",
        2,
        500,
    ),
}


@pytest.mark.parametrize("name", CLASHES)
def test_what_distinguishes_candles_at_one_time_is_named(tmp_path: Path, name: str) -> None:
    make, line, n_series, n_candles = CLASHES[name]
    path = write(tmp_path, make())
    found = next(each for each in load(path).findings if each.kind in ("conflicting", "misread"))
    assert found.severity == "error" and line in found.remedy and "repairs" not in found.remedy
    candles, findings = with_line(path, found)
    assert not errors(findings) and len(candles.symbols) == n_series and len(candles.symbols[0]) == n_candles


def blocks() -> pd.DataFrame:
    """Two series, one after the other, under an unknown name."""
    first, second = several(14, 70)
    second["timestamps"] = pd.bdate_range(first["timestamps"].iloc[-1], periods=251)[1:]
    return pd.concat([first.assign(Company="A"), second.assign(Company="B")])


def test_a_name_that_changes_where_the_price_jumps(tmp_path: Path) -> None:
    path = write(tmp_path, blocks())
    found = errors(load(path).findings)[0]
    assert found.kind == "misread" and "'Company' changes" in found.text
    assert [len(s) for s in with_line(path, found).candles.symbols] == [250, 250]
    assert [len(s) for s in with_line(path, found, None).candles.symbols] == [500]
    factor = blocks().drop(columns="Company").assign(adj_factor=np.repeat([1.0, 5.0], 250))
    assert not errors(load(write(tmp_path, factor)).findings)


def without_names(*levels: float) -> pd.DataFrame:
    return pd.concat(several(*levels)).sort_values("timestamps", kind="stable")


def replaced(every: int, value: float) -> pd.DataFrame:
    """Candles with another value in all columns of each so-manyth row."""
    frame = bars()
    frame.loc[frame.index % every == 1, [*PRICES, "volume"]] = value
    return frame


# The file, a part of the error's text.
MISREAD: dict[str, tuple[Make, str]] = {
    "two series, no name": (lambda: without_names(14, 70), "without a column of symbols"),
    "times cut off": (lambda: with_fine_times(), "continue one another"),
    "high and low swapped": (lambda: bars().rename(columns={"high": "low", "low": "high"}), "in another order"),
    "open, close, high, low": (
        lambda: bars().set_axis(["timestamps", "open", "close", "high", "low", "volume"], axis=1),
        "in another order",
    ),
    "open and close swapped": (
        lambda: bars().rename(columns={"open": "close", "close": "open"}),
        "open and close had changed places",
    ),
    "an adjusted close": (lambda: bars().assign(close=bars()["close"] / 3), "adjusted"),
    "volumes of both signs": (
        lambda: bars().assign(volume=np.random.default_rng(0).integers(-99, 99, 960)),
        "negative",
    ),
    "-1 in a third of the rows": (lambda: replaced(3, -1), "-1"),
    "returns": (lambda: bars().assign(**(bars()[PRICES] - 20)), "returns"),
    "an empty column": (lambda: bars().assign(open=np.where(bars().index % 5, np.nan, bars()["open"])), "blank in 80%"),
    "a change as open": (lambda: bars().assign(open=bars()["close"].diff().fillna(-0.1)), "no column of prices"),
    "12 hours": (
        lambda: bars().assign(timestamps=bars()["timestamps"].dt.strftime("%Y-%m-%d %I:%M")),
        "12 hours without AM or PM",
    ),
}


@pytest.mark.parametrize("name", MISREAD)
def test_the_cause_is_named_and_no_repair_offered(tmp_path: Path, name: str) -> None:
    make, text = MISREAD[name]
    found = errors(load(write(tmp_path, make())).findings)
    assert found and any(text in str(each) for each in found), [str(each) for each in found]
    assert not any("repairs." in each.remedy for each in found)


@pytest.mark.parametrize("name", ["high and low swapped", "open, close, high, low", "open and close swapped"])
def test_columns_in_another_order_are_read_with_the_lines_named(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, MISREAD[name][0]())
    candles, findings = with_line(path, errors(load(path).findings)[0], None)
    assert not errors(findings)
    assert np.allclose(candles.values[:, :4], bars()[PRICES])


# The file, the repair that is right for it.
REPAIRABLE: dict[str, tuple[Make, dict[str, str]]] = {
    "minutes without a trade are blank": (
        lambda: replaced(5, np.nan),
        {"not_finite": "drop"},
    ),
    "days without a trade are 0": (
        lambda: bars().assign(
            **{name: bars()[name].where(bars().index % 5 != 1, 0) for name in ("open", "high", "low", "volume")}
        ),
        {"non_positive": "drop"},
    ),
    "a few impossible rows": (
        lambda: bars().assign(high=bars()["high"].where(bars().index % 50 != 1, 1.0)),
        {"impossible": "widen"},
    ),
}


@pytest.mark.parametrize("name", REPAIRABLE)
def test_what_a_repair_repairs_is_still_offered(tmp_path: Path, name: str) -> None:
    make, repair = REPAIRABLE[name]
    path = write(tmp_path, make())
    found = errors(load(path).findings)
    assert [each.kind for each in found] == list(repair) and "repairs." in found[0].remedy
    assert not errors(load(path, RepairsConfig(**repair)).findings)


def test_a_volume_of_minus_one_is_a_missing_volume(tmp_path: Path) -> None:
    candles, findings = load(write(tmp_path, bars().assign(volume=-1)))
    assert ("blank_volume", "repair") in kinds(findings) and not errors(findings)
    assert (candles.values[:, 4:] == 0).all()


def utc_days(zone: str, n: int = 300, clock: str = "0h", freq: str = "B") -> pd.DataFrame:
    """Daily candles that begin at a time of day in a zone, written in UTC."""
    days = pd.date_range("2023-01-02", periods=n, freq=freq, tz=zone) + pd.Timedelta(clock)
    return daily(days.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"))


def local_days(clock: str) -> pd.DataFrame:
    return daily(pd.bdate_range("2023-01-02", periods=300) + pd.Timedelta(clock))


# Daily candles, and the expected severity of the finding.
DAYS: dict[str, tuple[Make, str]] = {
    "Shanghai": (lambda: utc_days("Asia/Shanghai"), "error"),
    "Tokyo": (lambda: utc_days("Asia/Tokyo"), "error"),
    "Berlin": (lambda: utc_days("Europe/Berlin"), "error"),
    "Sydney": (lambda: utc_days("Australia/Sydney"), "error"),
    "India": (lambda: utc_days("Asia/Kolkata"), "error"),
    "Shanghai without a zone": (
        lambda: daily(pd.bdate_range("2023-01-02", periods=300) - pd.Timedelta("8h")),
        "error",
    ),
    "weeks of Shanghai": (lambda: utc_days("Asia/Shanghai", 60, freq="W-MON"), "error"),
    "New York": (lambda: utc_days("America/New_York"), "note"),  # the dates are right
    "seven days of Shanghai": (lambda: utc_days("Asia/Shanghai", freq="D"), "note"),
    "currencies from 17:00 in New York": (lambda: utc_days("America/New_York", clock="-7h"), ""),
    "currencies in winter": (lambda: utc_days("America/New_York", 40, clock="-7h"), "note"),
    "closes in New York": (lambda: utc_days("America/New_York", clock="16h"), ""),
    "closes at 15:00": (lambda: local_days("15h"), ""),
    "dates": (lambda: local_days("0h"), ""),
    "coins": (lambda: utc_days("UTC", freq="D"), ""),
    "Sunday to Thursday": (lambda: daily(pd.bdate_range("2023-01-02", periods=300) - pd.Timedelta("1D")), ""),
}


@pytest.mark.parametrize("name", DAYS)
def test_midnights_of_another_zone(tmp_path: Path, name: str) -> None:
    make, severity = DAYS[name]
    path = write(tmp_path, make())
    found = [each for each in load(path).findings if each.kind == "midnights"]
    assert [each.severity for each in found] == [severity] * bool(severity)
    if severity == "error":
        candles, findings = with_line(path, found[0])
        assert kinds(findings) <= {("clock_changes", "note"), ("reading", "note")}
        local = candles.local(candles.symbols[0], 0, len(candles))
        assert (local % 86_400_000_000 == 0).all() and set((local // 86_400_000_000 + 3) % 7) <= set(range(5))
        assert not errors(with_line(path, found[0], 1).findings) or "Shanghai without" in name


def around_the_clock(trading_dates: bool) -> pd.DataFrame:
    """Hourly candles from 17:00 on Sunday to 16:00 on Friday, as in Chicago, with the date of the trading day or the true one."""
    times = pd.date_range("2024-03-03 17:00", "2024-04-12 15:00", freq="h")
    times = times[(times.hour != 16) & ((times - pd.Timedelta("17h")).day_of_week.isin([6, 0, 1, 2, 3]))]
    shown = times + pd.to_timedelta((times.hour >= 17).astype(int), unit="D")
    return walk(times).assign(timestamps=shown if trading_dates else times)


def until_half_past_two(trading_dates: bool) -> pd.DataFrame:
    """Half-hourly candles of a night session until 02:30 and of a day session."""
    days = pd.bdate_range("2024-03-05", periods=15)
    evening, early, day = (
        pd.timedelta_range(a, b, freq="30min")
        for a, b in (("21:30:00", "23:30:00"), ("00:00:00", "02:30:00"), ("09:30:00", "15:00:00"))
    )
    true, shown = [], []
    for date in days:
        eve = date - pd.offsets.BDay()
        true += [*(eve + evening), *(eve + pd.Timedelta("1D") + early), *(date + day)]
        shown += [*(date + evening), *(date + early), *(date + day)]
    return walk(true).assign(timestamps=shown if trading_dates else true)


NIGHTS: dict[str, Callable[[bool], pd.DataFrame]] = {
    "until 23:00": lambda settled: night_session(as_settled=settled),
    "until 02:30": until_half_past_two,
    "around the clock": around_the_clock,
    "newest first": lambda settled: night_session(as_settled=settled)[::-1],
}


@pytest.mark.parametrize("name", NIGHTS)
def test_night_sessions_with_the_date_of_the_trading_day(tmp_path: Path, name: str) -> None:
    make = NIGHTS[name]
    settled, true = (load(write(tmp_path / str(is_settled), make(is_settled))) for is_settled in (True, False))
    assert ("night_session", "repair") in kinds(settled.findings)
    assert not {kind for kind, _ in kinds(true.findings)} & {"night_session", "misread"}
    assert np.array_equal(settled.candles.instants, true.candles.instants)
    assert np.array_equal(settled.candles.values, true.candles.values)


@pytest.mark.parametrize("seed", range(3))
def test_rows_in_disorder_are_sorted(tmp_path: Path, seed: int) -> None:
    """Shuffled days, months in the order of the alphabet, and a later download before an earlier one."""
    frame = bars()
    days = frame["timestamps"].dt.date
    order = np.random.default_rng(seed).permutation(days.unique())
    shuffled = pd.concat([frame[days == day] for day in order])
    overlapping = pd.concat([frame[400:], frame[:600]])
    noisy = frame.iloc[np.argsort(np.arange(960) + np.random.default_rng(seed).integers(0, 4, 960), kind="stable")]
    for each in (shuffled, overlapping, noisy):
        candles, findings = load(write(tmp_path, each))
        assert not errors(findings) and len(candles) == 960
        assert np.allclose(candles.values[:, 3], frame["close"])


LEVELS: dict[str, tuple[Make, str]] = {
    "amount in thousands": (lambda: make_frame(1).eval("amount = amount / 1000 ** (index >= 1440)"), "amount"),
    "volume in lots": (
        lambda: local_days("0h").assign(volume=lambda f: f["volume"] * np.where(f.index < 150, 1, 100)),
        "volume",
    ),
    "a split by 1.2": (
        lambda: local_days("0h").assign(**(local_days("0h")[PRICES] / np.where(np.arange(300) < 150, 1, 1.2)[:, None])),
        "1.2",
    ),
}


@pytest.mark.parametrize("name", LEVELS)
def test_a_level_that_changes_is_a_note(tmp_path: Path, name: str) -> None:
    make, text = LEVELS[name]
    findings = load(write(tmp_path, make())).findings
    found = [each for each in findings if each.kind == "levels"]
    assert len(found) == 1 and found[0].severity == "note" and text in found[0].text
    assert not errors(findings)


def received(**columns: Callable[[pd.Series], object]) -> pd.DataFrame:
    """Candles with the times of their receipt, some seconds late, and other columns."""
    frame = bars()
    late = pd.to_timedelta(np.random.default_rng(0).integers(1, 50, len(frame)), unit="s")
    more = {name: make(frame["timestamps"]) for name, make in columns.items()}
    return frame.assign(timestamps=frame["timestamps"] + late, **more)


def test_a_column_of_times_on_the_grid_is_preferred(tmp_path: Path) -> None:
    for name in ("bar_begin", "bucket", "trading_minute"):
        candles, findings = load(write(tmp_path, received(**{name: lambda t: t})))
        assert np.array_equal(candles.instants, bars()["timestamps"].astype("M8[us]").astype(np.int64))
        assert any(f"times read from {name}: timestamps is off" in each.text for each in findings)
    days = daily(pd.bdate_range("2022-01-03", periods=300))
    late = pd.Timedelta("18h") + pd.to_timedelta(np.random.default_rng(0).integers(1, 900, 300), unit="s")
    written = days.assign(trading_day=days["timestamps"].dt.strftime("%Y%m%d"), timestamps=days["timestamps"] + late)
    candles, _ = load(write(tmp_path, written))
    assert np.array_equal(candles.instants, days["timestamps"].astype("M8[us]").astype(np.int64))


def test_times_off_the_grid_are_a_note(tmp_path: Path) -> None:
    (found,) = [each for each in load(write(tmp_path, received())).findings if each.kind == "irregular"]
    assert "one candle every 5 minutes" in found.text and "write the times at which" in found.text
    path = write(tmp_path, received(**{"Nr 1": lambda t: t}))
    (found,) = [each for each in load(path).findings if each.kind == "irregular"]
    assert "'data.columns.timestamps=Nr 1'" in found.text
    seven = walk(pd.date_range("2024-01-01", periods=500, freq="7min"))
    assert not [each for each in load(write(tmp_path, seven)).findings if each.kind == "irregular"]


def test_numbers_of_securities_are_no_clock(tmp_path: Path) -> None:
    frame = pd.concat([each.assign(stock_id=number) for number, each in zip((2330, 2317), several(14, 70))])
    found = errors(load(write(tmp_path, frame)).findings)
    assert "data.columns.symbol=stock_id" in found[0].remedy


def test_several_series_of_each_symbol_are_not_told_apart_by_one_column(tmp_path: Path) -> None:
    parts = zip(several(14, 15, 70, 71), ("A", "A", "B", "B"), ("x", "y", "x", "y"))
    frame = pd.concat([each.assign(symbol=symbol, exchange=exchange) for each, symbol, exchange in parts])
    found = errors(load(write(tmp_path, frame)).findings)
    assert len(found) == 2 and "a column that joins 'symbol' and 'exchange'" in found[0].remedy


def test_a_clock_in_milliseconds_is_not_advised_as_the_symbol(tmp_path: Path) -> None:
    frame = with_fine_times(ms_of_day=lambda t: (t - t.dt.normalize()) // pd.Timedelta("1ms"))
    (found,) = errors(load(write(tmp_path, frame)).findings)
    assert "symbol" not in found.remedy and "the times were cut off" in found.text


def test_a_running_total_is_a_note(tmp_path: Path) -> None:
    volume = bars().groupby(bars()["timestamps"].dt.date)["volume"].cumsum()
    found = [each for each in load(write(tmp_path, bars().assign(volume=volume))).findings if each.kind == "volume"]
    assert len(found) == 1 and "running total" in found[0].text
    assert not [each for each in load(write(tmp_path, bars())).findings if each.kind == "volume"]


@pytest.mark.filterwarnings("error")
def test_levels_at_the_limits_of_float32(tmp_path: Path) -> None:
    frame = walk(pd.bdate_range("2022-01-03", periods=250), 0, 1e15).assign(volume=1e30, amount=1.0)
    frame.to_csv(tmp_path / "c.csv", index=False)
    assert len(load_candles(DataConfig(data_path=tmp_path / "c.csv"), RepairsConfig()).candles) == 250
