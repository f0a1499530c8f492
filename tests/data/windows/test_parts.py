"""Which files and contracts are parts in time of one series."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos.data.windows.parts import find_stem
from tests.data.planted import make_frame, surround
from tests.data.quality.test_repair import kinds, load, write

Files = dict[str, pd.DataFrame]


def around_the_clock(n_days: int = 120, seed: int = 1) -> pd.DataFrame:
    times = pd.date_range("2025-01-01", periods=24 * n_days, freq="h", tz="UTC")
    generator = np.random.default_rng(seed)
    close = 90_000 * np.exp(0.003 * generator.standard_normal(len(times)).cumsum())
    frame = surround(close, times, generator, decimals=2)
    return frame.assign(timestamps=times.strftime("%Y-%m-%dT%H:%M:%SZ"))


def days(start: str = "2020-01-01", n: int = 1000, seed: int = 1) -> pd.DataFrame:
    times = pd.bdate_range(start, periods=n)
    generator = np.random.default_rng(seed)
    frame = surround(20 * np.exp(0.01 * generator.standard_normal(n).cumsum()), times, generator, decimals=4)
    frame["open"] *= np.exp(0.002 * generator.standard_normal(n))
    return frame.assign(high=frame[["open", "high"]].max(axis=1), low=frame[["open", "low"]].min(axis=1))


def by_month(frame: pd.DataFrame, name: str, left_out: str = "") -> Files:
    month = frame["timestamps"].astype(str).str.slice(0, 7)
    return {f"{name}{key}.csv": part for key, part in frame.groupby(month) if key != left_out}


def by_year(frame: pd.DataFrame, form: str) -> Files:
    return {form.format(year): part for year, part in frame.groupby(frame["timestamps"].dt.year)}


def cut(frame: pd.DataFrame, *rows: int) -> list[pd.DataFrame]:
    edges = [0, *rows, len(frame)]
    return [frame[start:stop] for start, stop in itertools.pairwise(edges)]


def contracts(roll: float, in_one_file: bool) -> Files:
    """Three contracts, each at another level of price."""
    parts = [
        part.assign(**{name: part[name] * np.exp(roll * i) for name in ("open", "high", "low", "close")})
        for i, part in enumerate(cut(days(n=390), 130, 260))
    ]
    named = dict(zip(("rb2305", "rb2310", "rb2401"), parts))
    if not in_one_file:
        return {f"{name}.csv": part for name, part in named.items()}
    return {"main.csv": pd.concat([part.assign(contract=name) for name, part in named.items()])}


# Files, the series and their candles, the findings of the kind.
CASES: dict[str, tuple[Callable[[], Files], dict[str, int], set[str]]] = {
    "months of a coin": (lambda: by_month(around_the_clock(), "BTCUSDT-1h-"), {"BTCUSDT-1h": 2880}, {"repair"}),
    "months of two coins": (
        lambda: by_month(around_the_clock(), "BTCUSDT-1h-") | by_month(around_the_clock(seed=2), "ETHUSDT-1h-"),
        {"BTCUSDT-1h": 2880, "ETHUSDT-1h": 2880},
        {"repair"},
    ),
    "a month is missing": (
        lambda: by_month(around_the_clock(), "BTC_", "2025-02"),
        {"BTC_2025-01": 744, "BTC_2025-03": 744, "BTC_2025-04": 720},
        {"error"},
    ),
    "years of a stock": (lambda: by_year(days(), "600977_{}.csv"), {"600977": 1000}, {"repair"}),
    "years in folders": (lambda: by_year(days(), "{}/AAPL.csv"), {"AAPL": 1000}, {"repair"}),
    "files of a day": (
        lambda: {
            f"{day:%Y%m%d}.csv": part
            for day, part in make_frame(1)[:480].groupby(make_frame(1)["timestamps"][:480].dt.normalize())
        },
        {"files": 480},
        {"repair"},
    ),
    "files of a day with moves overnight": (
        lambda: {
            f"{day:%Y%m%d}.csv": part.assign(**(part[["open", "high", "low", "close"]] * (1.05 if day.day % 3 else 1)))
            for day, part in make_frame(1)[:480].groupby(make_frame(1)["timestamps"][:480].dt.normalize())
        },
        {"files": 480},
        {"repair"},
    ),
    "old and new": (lambda: dict(zip(("old.csv", "new.csv"), cut(make_frame(1), 1000))), {"files": 2880}, {"repair"}),
    "overlapping downloads": (
        lambda: {"a_2023.csv": make_frame(1)[:1500], "a_2024.csv": make_frame(1)[1400:]},
        {"a": 2880},
        {"repair"},
    ),
    "contracts that continue": (lambda: contracts(0, in_one_file=False), {"rb": 390}, {"repair"}),
    "contracts in a column": (lambda: contracts(0, in_one_file=True), {"rb": 390}, {"repair"}),
    "contracts with gaps in price": (
        lambda: contracts(0.08, in_one_file=True),
        {"rb2305": 130, "rb2310": 130, "rb2401": 130},
        {"note"},
    ),
    "two stocks": (lambda: {"A.csv": days(seed=1), "B.csv": days(seed=2)}, {"A": 1000, "B": 1000}, set()),
    "one stock ends, another is listed": (
        lambda: {"A.csv": days()[:500], "B.csv": days("2021-12-01", seed=2)[:500]},
        {"A": 500, "B": 500},
        {"note"},
    ),
    "numbered stocks": (
        lambda: {f"s{i}.csv": days(seed=i)[:400] for i in range(3)},
        {f"s{i}": 400 for i in range(3)},
        set(),
    ),
    "codes like years": (
        lambda: {"2015.HK.csv": days(seed=1), "2020.HK.csv": days(seed=2)[100:]},
        {"2015.HK": 1000, "2020.HK": 900},
        set(),
    ),
    "snapshots": (
        lambda: {"A_20240101.csv": days()[:600], "A_20240601.csv": days()},
        {"A_20240101": 600, "A_20240601": 1000},
        set(),
    ),
}


def write_all(folder: Path, files: Files) -> Path:
    for name, frame in files.items():
        write((folder / name).parent, frame, Path(name).name)
    return folder / "**" / "*.csv"


@pytest.mark.parametrize("name", CASES)
def test_parts_of_one_series(tmp_path: Path, name: str) -> None:
    make, series, severities = CASES[name]
    candles, findings = load(write_all(tmp_path / "files", make()))
    assert {symbol.symbol: len(symbol) for symbol in candles.symbols} == series
    assert {severity for kind, severity in kinds(findings) if kind == "series"} == severities
    found = [each for each in findings if each.kind == "series"]
    assert all("data.series=join" in str(each) or each.severity == "repair" for each in found)
    assert all((np.diff(candles.instants[s.start : s.stop]) > 0).all() for s in candles.symbols)


def test_the_choice_settles_it(tmp_path: Path) -> None:
    path = write_all(tmp_path, by_month(around_the_clock(), "BTC_", "2025-02"))
    joined, apart = (load(path, series=choice) for choice in ("join", "separate"))
    assert [s.symbol for s in joined.candles.symbols] == ["BTC"] and len(apart.candles.symbols) == 3
    assert not [f for f in (*joined.findings, *apart.findings) if f.severity == "error"]
    rolled = write_all(tmp_path / "rolled", contracts(0.08, in_one_file=True))
    assert [s.symbol for s in load(rolled, series="join").candles.symbols] == ["rb"]


def test_symbols_that_are_held_out_keep_their_names(tmp_path: Path) -> None:
    path = write_all(tmp_path, dict(zip(("old.csv", "new.csv"), cut(make_frame(1), 1000))))
    candles, _ = load(path, test_symbols=["new"])
    assert {symbol.symbol for symbol in candles.symbols} == {"old", "new"}


def test_a_row_of_a_part_keeps_its_place(tmp_path: Path) -> None:
    parts = by_year(days(), "A_{}.csv")
    parts["A_2021.csv"] = parts["A_2021.csv"].assign(high=lambda f: f["high"].where(np.arange(len(f)) != 8, 1.0))
    found = [each for each in load(write_all(tmp_path, parts)).findings if each.kind == "impossible"]
    assert found[0].places[0].startswith("A_2021.csv, line 10 (2021-01-13")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("BTCUSDT-1h-2025-01", "BTCUSDT-1h"),
        ("XBTUSD_60_2023Q1", "XBTUSD_60"),
        ("EURUSD_M1_202401", "EURUSD_M1"),
        ("600977_20230101_20231231", "600977"),
        ("2023/AAPL", "AAPL"),
        ("20240102", ""),
        ("rb2405", "rb"),
        ("rb2405.SHF", "rb.SHF"),
        ("AAPL (1)", "AAPL"),
        ("part_2", "part"),
        ("rb202405", "rb"),
        ("1718668800", ""),
        ("600977", "600977"),
        ("0700", "0700"),
        ("SPX500", "SPX"),
        ("old", "old"),
    ],
)
def test_stems(name: str, stem: str) -> None:
    assert find_stem(name).text == stem
