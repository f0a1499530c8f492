"""The audit: every line of the table in docs/data.md, a folder of planted defects, and every switch."""

import json
import os
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos.config.data import DataConfig, RepairsConfig
from kronos.data import load_candles, read_candles, split_candles
from kronos.data.audit import summarise_findings
from kronos.data.quality.findings import FINDINGS, SEVERITIES, Finding, raise_errors
from kronos.data.windows.load import Audited
from kronos.errors import DataError
from tests.conftest import ROOT
from tests.data.planted import DEFECTS, make_frame, plant

LINE = re.compile(r"^\| `(\w+)` \| (\w+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
DOCUMENTED = LINE.findall((ROOT / "docs" / "data.md").read_text(encoding="utf-8"))
KEY = re.compile(r"`(\w+): (.+)`")


def load(path: Path, repairs: RepairsConfig | None = None, **data: object) -> Audited:
    settings = {"lookback_window": 96, "predict_window": 24} | data
    return load_candles(DataConfig(data_path=(path,), **settings), repairs or RepairsConfig())


def kinds(findings: tuple[Finding, ...]) -> set[tuple[str, str]]:
    return {(finding.kind, finding.severity) for finding in findings}


def write(folder: Path, content: object, name: str = "made.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = content.to_csv(index=False) if isinstance(content, pd.DataFrame) else content
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / name


def crypto(n_days: int, zone: str | None = None, start: str = "2024-10-20") -> pd.DataFrame:
    """A 24-hour market's 5-minute candles, in New York's clock without a zone, or with its offset."""
    times = pd.date_range(start, periods=288 * n_days, freq="5min", tz="UTC").tz_convert("America/New_York")
    frame = pd.concat([make_frame(9)] * (1 + len(times) // 2880), ignore_index=True)[: len(times)]
    close = 20 * np.exp(0.001 * np.random.default_rng(3).standard_normal(len(times)).cumsum())
    frame = frame.assign(open=close, high=close * 1.001, low=close * 0.999, close=close)
    return frame.assign(timestamps=times.map(lambda t: t.isoformat()) if zone else times.tz_localize(None))


def irregular(n: int = 2000) -> pd.DataFrame:
    seconds = (1 + np.random.default_rng(5).exponential(200, n)).cumsum().round(3)
    frame = pd.concat([make_frame(8)] * 2, ignore_index=True)[:n]
    close = 20 * np.exp(0.001 * np.random.default_rng(3).standard_normal(n).cumsum())
    frame = frame.assign(open=close, high=close * 1.001, low=close * 0.999, close=close)
    return frame.assign(timestamps=pd.Timestamp("2024-03-01") + pd.to_timedelta(seconds, unit="s"))


def daily(times: object) -> pd.DataFrame:
    return make_frame(1)[: len(times)].assign(timestamps=times)


def night_session(n_days: int = 20, as_settled: bool = True) -> pd.DataFrame:
    """15-minute candles from 21:15 to 23:00 and from 09:15 to 15:00; the nights have the date of the next trading day."""
    days = pd.bdate_range("2024-03-05", periods=n_days)
    before = days if as_settled else days - pd.offsets.BDay()
    night, morning = (
        pd.timedelta_range(start, end, freq="15min")
        for start, end in (("21:15:00", "23:00:00"), ("09:15:00", "15:00:00"))
    )
    times = [t for day, eve in zip(days, before) for t in (*(eve + night), *(day + morning))]
    return make_frame(1)[: len(times)].assign(timestamps=times)


def planted(code: str) -> object:
    """An example of a finding that a few rows do not show."""
    if code == "misread":
        return make_frame(1).rename(columns={"open": "close", "close": "open"})
    if code == "midnights":
        days = pd.bdate_range("2024-01-01", periods=300, tz="Asia/Shanghai").tz_convert("UTC")
        return daily(days.strftime("%Y-%m-%dT%H:%M:%SZ"))
    if code == "night_session":
        return night_session()
    if code == "series":
        return make_frame(1)[:480]
    if code == "clock_changes":
        return crypto(30)
    if code == "zones":
        return crypto(10, "with its offset", "2024-06-01")
    if code == "irregular":
        return irregular()
    return next(defect(make_frame(1)) for defect, expected in DEFECTS.values() if {c for c, _ in expected} == {code})


def test_every_finding_is_documented_with_its_severity_and_its_switch() -> None:
    assert [code for code, *_ in DOCUMENTED] == sorted(
        FINDINGS, key=lambda c: [code for code, *_ in DOCUMENTED].index(c)
    )
    documented = {}
    for _, severity, _, _, switch in DOCUMENTED:
        assert severity in SEVERITIES
        documented |= {key: values.split(", ") for key, values in KEY.findall(switch)}
    switches = {key: field for key, field in RepairsConfig.model_fields.items() if key != "fill_limit"}
    allowed = {key: set(field.annotation.__args__) for key, field in switches.items()}
    assert {key: set(values) for key, values in documented.items()} == allowed
    assert all(values[0] == getattr(RepairsConfig(), key) for key, values in documented.items())


# Of the source and the configuration, not of rows: tests/data/elsewhere/test_snapshot.py, tests/data/windows/test_limits.py.
OF_ROWS = [line for line in DOCUMENTED if line[0] not in ("fetched", "limits")]


@pytest.mark.parametrize(("code", "severity", "example", "_", "switch"), OF_ROWS, ids=[line[0] for line in OF_ROWS])
def test_a_line_of_the_table(tmp_path: Path, code: str, severity: str, example: str, _: str, switch: str) -> None:
    rows = [row for row in re.findall(r"`([^`]+)`", example) if row.count(",") == 6]
    sound = make_frame(1).to_csv(index=False)
    assert not load(write(tmp_path / "sound", sound)).findings
    path = write(tmp_path / "one", sound + "\n".join(rows) + "\n" if rows else planted(code), "symbol.csv").parent
    if code == "copies":
        write(path, make_frame(len(DEFECTS)), "original.csv")
    if code == "series":
        path.joinpath("symbol.csv").rename(path / "symbol-2024-03.csv")
        write(path, make_frame(1)[960:1440], "symbol-2024-05.csv")
    if code in ("halts", "short", "zones"):  # the other symbols show it
        for seed in (2, 3):
            write(path, make_frame(seed), f"sound{seed}.csv")
    findings = load(path).findings
    assert kinds(findings) == {(code, severity)}
    if code == "unreadable":
        assert "symbol.csv" in findings[0].source and "line 2882: close is 'n/v'" in findings[0].text
    elif rows:
        assert findings[0].places[0].startswith("line 288")
    if severity == "error":
        with pytest.raises(DataError, match=r"symbol.*\.csv"):
            raise_errors(findings)


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (key, action)
        for key, field in RepairsConfig.model_fields.items()
        if key != "fill_limit"
        for action in field.annotation.__args__
    ],
)
def test_every_switch(tmp_path: Path, code: str, action: str) -> None:
    """error stops, keep leaves the rows as they are, everything else repairs and is counted."""
    example = next(example for documented, _, example, _, _ in DOCUMENTED if documented == code)
    rows = [row for row in re.findall(r"`([^`]+)`", example) if row.count(",") == 6]
    # A row after the planted ones, so that none of them is the last.
    text = make_frame(1).to_csv(index=False) + "\n".join(rows) + "\n" if rows else planted(code)
    path = write(tmp_path, text)
    candles, findings = load(path, RepairsConfig(**{code: action}))
    expected = {"error": "error", "keep": "note"}.get(action, "repair")
    assert kinds(findings) == {(code, expected)}
    assert np.isfinite(candles.values).all() and (np.diff(candles.instants) > 0).all()
    values = candles.values
    if not (code == "impossible" and action == "keep"):
        assert (values[:, 1] >= values[:, [0, 3]].max(1)).all() and (values[:, 2] <= values[:, [0, 3]].min(1)).all()
    if not (code == "non_positive" and action == "keep"):
        assert (values[:, :4] > 0).all()


def test_what_the_repairs_leave(tmp_path: Path) -> None:
    frame = make_frame(1)
    n = len(frame)

    def repair(rows: str, **repairs: object) -> pd.DataFrame:
        path = write(tmp_path, frame.to_csv(index=False) + rows)
        return read_candles(path, repairs=RepairsConfig(**repairs))

    two = "2024-05-30 09:35,20,20.1,19.9,20,100,2000\n2024-05-30 09:35,20,20.2,19.9,20,100,2000\n"
    assert repair(two, conflicting="first")["high"].iloc[-1] == np.float32(20.1)
    assert repair(two, conflicting="last")["high"].iloc[-1] == np.float32(20.2)
    odd = "2024-05-30 09:35,20,19.8,19.9,20,-5,2000\n"
    assert len(repair(odd, impossible="drop")) == n
    assert list(repair(odd, impossible="widen").iloc[-1]) == list(np.float32([20, 20, 19.8, 20, 0, 2000]))
    blank = "2024-05-30 09:35,20,20.1,19.9,,100,2000\n"
    last = np.float32(frame["close"].iloc[-1])
    assert list(repair(blank, not_finite="fill").iloc[-1]) == [last] * 4 + [0, 0]
    assert len(repair(blank, not_finite="drop")) == n
    assert repair("2024-05-30 09:35,20,20.1,19.9,20,,\n").iloc[-1, 4:].tolist() == [0, 0]
    assert repair("2024-02-29 15:00,20,20.1,19.9,20,1,2\n").index[0] == pd.Timestamp("2024-02-29 15:00")


def test_only_short_holes_are_filled(tmp_path: Path) -> None:
    frame = make_frame(1)
    path = write(tmp_path, frame.drop(index=[*range(490, 493), *range(720, 728)]))
    filled = read_candles(path, repairs=RepairsConfig(gaps="fill", fill_limit=3))
    times = pd.DatetimeIndex(frame["timestamps"])
    assert filled.index.equals(times.delete(range(720, 728)).as_unit(filled.index.unit))
    assert (filled.iloc[490:493, :4] == np.float32(frame["close"][489])).all(axis=None)
    assert (filled.iloc[490:493, 4:] == 0).all(axis=None)
    findings = load(path, RepairsConfig(gaps="fill", fill_limit=3)).findings
    assert kinds(findings) == {("gaps", "repair"), ("gaps", "note")}
    assert next(f for f in findings if f.severity == "repair").count == 3


def test_long_runs_of_blank_prices_are_not_filled(tmp_path: Path) -> None:
    frame = make_frame(1)
    frame.loc[100:105, "close"] = np.nan
    for limit, severity in ((6, "repair"), (5, "error")):
        findings = load(write(tmp_path, frame), RepairsConfig(not_finite="fill", fill_limit=limit)).findings
        assert kinds(findings) == {("not_finite", severity)} and findings[0].count == 6


@pytest.mark.slow
def test_all_defects_in_a_folder_of_50_symbols_and_nothing_else(tmp_path: Path) -> None:
    expected = plant(tmp_path, 50)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    candles, findings = load(tmp_path)
    by_symbol = defaultdict(set)
    for finding in findings:
        by_symbol[finding.symbol or Path(finding.source).stem].add((finding.kind, finding.severity))
    assert len(expected) == 50
    assert {name: by_symbol[name] for name in expected} == expected and set(by_symbol) <= set(expected)
    assert len(candles.symbols) == 50 - 3  # three cannot be read
    sizes = {f.symbol: re.search(r"([\d,]+ \w+) in", f.text)[1] for f in findings if f.kind in ("gaps", "halts")}
    days = {"halt_of_3_days": "3 days", "halt_of_15_days": "15 days"}  # the latter with two holidays within
    assert sizes == {"hole_of_3": "3 candles", "hole_of_20": "20 candles"} | days
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_real_candles_have_no_findings(real_candles: Path) -> None:
    candles, findings = load(real_candles)
    assert len(candles) == 2500 and not findings


def test_clocks_of_a_market_that_never_closes(tmp_path: Path) -> None:
    """Both with zones and without, a night of 25 hours is one note and no gap, and time goes on."""
    for zone in (None, "with its offset"):
        candles, findings = load(write(tmp_path, crypto(30, zone)))
        assert kinds(findings) == {("clock_changes", "note")}, findings
        assert (np.diff(candles.instants) == 300_000_000).all()
    assert kinds(load(write(tmp_path, crypto(30, None, "2024-03-01"))).findings) == {("clock_changes", "note")}


def test_a_candle_later_than_the_file_is_unfinished(tmp_path: Path) -> None:
    frame = crypto(10, "with its offset", "2024-06-01")
    path = write(tmp_path, frame)
    last = pd.Timestamp(frame["timestamps"].iloc[-1])
    os.utime(path, (last.timestamp() + 100,) * 2)  # written while the last candle, stamped at its start, was growing
    assert kinds(load(path).findings) == {("unfinished", "repair")}
    os.utime(path, (last.timestamp() + 301,) * 2)
    assert not load(path).findings


def test_jumps_do_not_depend_on_what_comes_after(tmp_path: Path) -> None:
    frame = make_frame(1)
    frame.loc[960:, ["open", "high", "low", "close"]] *= 0.5
    whole = load(write(tmp_path, frame)).candles.symbols[0].jump_rows
    assert whole == (960,)
    assert load(write(tmp_path, frame[:961])).candles.symbols[0].jump_rows == whole
    frame.loc[1200:, ["open", "high", "low", "close"]] *= np.exp(np.random.default_rng(0).normal(0, 0.5, (1680, 1)))
    assert load(write(tmp_path, frame)).candles.symbols[0].jump_rows[0] == 960


PRICES = ["open", "high", "low", "close"]


def scale(*factors: tuple[int, float], zero: int | None = None) -> pd.DataFrame:
    """Candles whose prices are multiplied from some rows on; zero: a row whose low is 0."""
    frame = make_frame(1)
    for row, factor in factors:
        frame.loc[row:, PRICES] *= factor
    if zero is not None:
        frame.loc[zero, "low"] = 0.0
    return frame


def volatile(zero: int | None = None) -> pd.DataFrame:
    """Daily candles, each with a day from limit up to limit down, and a split at row 300."""
    frame = make_frame(2)[:600].assign(timestamps=pd.bdate_range("2020-01-01", periods=600))
    frame[PRICES] = frame[PRICES].mul(np.exp(0.03 * np.random.default_rng(0).standard_normal(600).cumsum()), axis=0)
    frame["high"] *= 1.15
    frame.loc[300:, PRICES] /= 2
    if zero is not None:
        frame.loc[zero, PRICES] = 0.0
    return frame


def heavy_tails() -> pd.DataFrame:
    frame = make_frame(1)
    moves = np.exp(np.random.default_rng(0).standard_t(4, len(frame)) * 0.03).cumprod()
    frame[PRICES] = frame[PRICES].mul(moves, axis=0)
    return frame


@pytest.mark.parametrize(
    ("frame", "rows"),
    [
        (scale((960, 5), (1020, 1 / 5)), (960, 1020)),  # near each other
        (scale((10, 1 / 3), (60, 1 / 3)), (60,)),  # row 10 has too few candles before it
        (scale((60, 1 / 3), zero=40), (60,)),
        (volatile(), (300,)),
        (volatile(zero=100), (300,)),
        (heavy_tails(), ()),
    ],
    ids=["near each other", "early", "after a zero", "volatile", "far from a zero", "heavy tails"],
)
def test_jumps(tmp_path: Path, frame: pd.DataFrame, rows: tuple[int, ...]) -> None:
    jumps = load(write(tmp_path, frame), RepairsConfig(non_positive="keep")).candles.symbols[0].jump_rows
    assert jumps == rows


def test_what_is_filled_is_filled_from_the_past(tmp_path: Path) -> None:
    frame = make_frame(1)
    close = frame["close"][479]
    frame.loc[480, "close"] = np.nan
    filled = read_candles(write(tmp_path, frame[::-1]), repairs=RepairsConfig(not_finite="fill"))
    assert filled["close"].iloc[480] == np.float32(close)


def test_an_outage_on_a_sunday_night_is_no_change_of_clocks(tmp_path: Path) -> None:
    times = pd.date_range("2024-07-01", periods=288 * 30, freq="5min")
    frame = crypto(30).assign(timestamps=times)
    outage = (times >= "2024-07-14 02:00") & (times < "2024-07-14 03:00")
    candles, findings = load(write(tmp_path, frame[~outage]))
    assert kinds(findings) == {("gaps", "note")} and candles.symbols[0].gap_missing == (12,)


def test_pauses_where_no_interval_tells_what_is_missing(tmp_path: Path) -> None:
    frame = irregular()
    late = frame["timestamps"].where(frame.index < 1000, frame["timestamps"] + pd.Timedelta("180D"))
    candles, findings = load(write(tmp_path, frame.assign(timestamps=late)))
    assert candles.symbols[0].gap_rows == (1000,) and ("irregular", "note") in kinds(findings)
    assert split_candles(candles, DataConfig(data_path=(tmp_path,), lookback_window=96, predict_window=24))[
        "train"
    ].dropped == {"gaps": 119}


def test_rows_with_errors_make_no_other_findings(tmp_path: Path) -> None:
    frame = make_frame(1)
    frame.loc[500:900, ["open", "high", "low", "close"]] *= -1
    assert kinds(load(write(tmp_path, frame)).findings) == {("non_positive", "error")}


def weekly(moved: str, n: int = 100) -> pd.DataFrame:
    """Weekly candles, the last of which is moved."""
    times = pd.date_range("2020-01-06", periods=n, freq="7D").to_series()
    times.iloc[-1] += pd.Timedelta(moved)
    return make_frame(1)[:n].assign(timestamps=times.to_numpy())


def daily_in_utc() -> pd.DataFrame:
    """Daily candles of New York until the Monday after the clocks changed."""
    days = pd.bdate_range("2024-05-01", "2024-11-04", tz="America/New_York") + pd.Timedelta("16h")
    return make_frame(1)[: len(days)].assign(timestamps=days.tz_convert("UTC").strftime("%Y-%m-%dT%H:%M:%SZ"))


@pytest.mark.parametrize(
    ("frame", "unfinished"),
    [(weekly("0D"), False), (weekly("-4D"), True), (weekly("-1D", 65), False), (daily_in_utc(), False)],
    ids=["weekly", "weekly, on Thursday", "weekly, a day early for a holiday", "daily in UTC"],
)
def test_the_last_candle_of_longer_intervals(tmp_path: Path, frame: pd.DataFrame, unfinished: bool) -> None:
    assert kinds(load(write(tmp_path, frame)).findings) == ({("unfinished", "repair")} if unfinished else set())


def test_symbols_of_several_files(tmp_path: Path) -> None:
    """Files with a symbol column are joined, and a row keeps its place; so are files of one name that continue one another."""
    frame = make_frame(1).assign(symbol="AAPL")
    frame.loc[1000, "high"] = 1.0
    for folder, rows in (("2023", slice(0, 960)), ("2024", slice(960, None))):
        write(tmp_path / "named" / folder, frame[rows], "AAPL.csv")
        write(tmp_path / "unnamed" / folder / "x", frame[rows].drop(columns="symbol"), "600.csv")
    write(tmp_path / "named", frame[:0].drop(columns="symbol").head(), "none.txt")
    (candles, findings) = load(tmp_path / "named" / "*" / "*.csv")
    assert [(s.symbol, len(s)) for s in candles.symbols] == [("AAPL", 2880)]
    assert [f.places for f in findings] == [("AAPL.csv, line 42 (2024-03-29 12:50)",)] or findings[0].places[
        0
    ].startswith("AAPL.csv, line 42 (")
    candles, _ = load(tmp_path / "unnamed" / "**" / "*.csv")
    assert [(s.symbol, len(s)) for s in candles.symbols] == [("x/600", 2880)]
    candles, _ = load(tmp_path / "unnamed" / "**" / "*.csv", series="separate")
    assert [s.symbol for s in candles.symbols] == ["2023/x/600", "2024/x/600"]


def test_a_longer_download_of_the_same_symbol_is_a_copy(tmp_path: Path) -> None:
    write(tmp_path, make_frame(1), "AAPL (1).csv")
    write(tmp_path, make_frame(1)[:2000], "AAPL.csv")
    write(tmp_path, make_frame(1)[500:], "late.csv")
    assert [f.symbol for f in load(tmp_path).findings if f.kind == "copies"] == ["AAPL", "late"]


def test_one_missing_hour_is_no_change_of_clocks(tmp_path: Path) -> None:
    """Without its counterpart in autumn; and a symbol without trades in the night of a real one."""
    times = pd.date_range("2022-01-01", "2024-01-01", freq="h")
    frame = pd.concat([make_frame(2)] * 7, ignore_index=True)[: len(times)].assign(timestamps=times)
    close = 20 * np.exp(0.001 * np.random.default_rng(3).standard_normal(len(times)).cumsum())
    frame = frame.assign(open=close, high=close * 1.001, low=close * 0.999, close=close)
    candles, findings = load(write(tmp_path, frame[times != pd.Timestamp("2023-03-12 02:00")]))
    assert kinds(findings) == {("gaps", "note")} and candles.symbols[0].gap_missing == (1,)
    still = crypto(30)
    night = still["timestamps"].dt.normalize() == pd.Timestamp("2024-11-03")
    still.loc[night, ["open", "high", "low", "close"]] = 20.0
    still.loc[night, ["volume", "amount"]] = 0.0
    assert ("clock_changes", "note") in kinds(load(write(tmp_path, still)).findings)


def test_parts_of_a_symbol_in_two_zones_are_reported(tmp_path: Path) -> None:
    frame = crypto(20, "with its offset", "2024-06-01").assign(symbol="A")
    utc = pd.to_datetime(frame["timestamps"], utc=True)
    frame["timestamps"] = utc.map(lambda time: time.isoformat())
    frame.loc[2880:, "timestamps"] = utc[2880:].dt.tz_convert("Asia/Shanghai").map(lambda time: time.isoformat())
    findings = load(write(tmp_path, frame)).findings
    assert kinds(findings) == {("time_zone", "note")} and findings[0].places[0].startswith("line 2882")


def test_a_blank_row_beside_the_real_one_is_left_out(tmp_path: Path) -> None:
    frame = make_frame(1)
    twin = frame.iloc[[480]].assign(close=np.nan)
    both = pd.concat([frame[:480], twin, frame[480:]])
    for repairs in (RepairsConfig(), RepairsConfig(not_finite="fill", conflicting="first")):
        candles, findings = load(write(tmp_path, both), repairs)
        assert kinds(findings) == {("duplicates", "repair")}
        assert candles.values[480, 3] == np.float32(frame["close"][480])


def test_many_findings_are_counted_by_kind(tmp_path: Path) -> None:
    for seed in range(13):
        frame = make_frame(seed, 20)
        frame.loc[[100, 200], "high"] = 1.0
        write(tmp_path, frame.drop(columns="amount"), f"s{seed}.csv")
    assert summarise_findings(load(tmp_path, RepairsConfig(impossible="widen")).findings) == [
        "repair: impossible candles: 26 in 13 symbols; high and low widened to include open and close",
        "note: what was assumed in reading the file: 13 symbols",
        "kronos check lists them one by one.",
    ]


@pytest.mark.slow
def test_findings_survive_json(tmp_path: Path) -> None:
    plant(tmp_path, 50)
    for finding in load(tmp_path).findings:
        plain = json.loads(json.dumps(finding.to_json(), allow_nan=False))
        read = Finding.from_json(plain)
        assert str(read) == str(finding) and read.to_json() == plain
        older = {key: plain[key] for key in plain if key not in ("template", "values", "remedy_template")}
        assert str(Finding.from_json(older)) == str(finding)


def test_at_most_ten_errors_are_listed() -> None:
    errors = [
        Finding("impossible", "error", f"{n}.csv", "", 1, (), "odd", remedy_template="Repair it.") for n in range(13)
    ]
    with pytest.raises(DataError) as caught:
        raise_errors(errors)
    assert str(caught.value).count("\n") == 10 and "… and 3 more" in str(caught.value)
