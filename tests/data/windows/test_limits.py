from datetime import date, datetime
from pathlib import Path

import pytest

from kronos.config.load import build_reading_config
from kronos.data import load_candles
from kronos.errors import ConfigError
from tests.data.elsewhere.conftest import make_candles


@pytest.mark.parametrize(
    ("since", "until", "n"),
    [
        ("2024-01-02", None, 7 * 288),  # from midnight
        (None, "2024-01-02", 2 * 288),  # to the end of the day
        ("2024-01-02", "2024-01-02", 288),
        ("2024-01-02 12:00", "2024-01-02 12:10", 3),  # both belong
    ],
)
def test_rows_outside_are_left_out(tmp_path: Path, since: str | None, until: str | None, n: int) -> None:
    make_candles(8 * 288, start="2024-01-01").to_csv(tmp_path / "A.csv", index=False)
    limits = [f"data.{key}={value}" for key, value in {"since": since, "until": until}.items() if value]
    config = build_reading_config([str(tmp_path / "A.csv")], limits)
    candles, findings = load_candles(config.data, config.repairs)
    assert len(candles) == n
    (note,) = (finding for finding in findings if finding.kind == "limits")
    assert f"{8 * 288 - n:,} of 2,304 rows are outside data.since and data.until; left out" in note.text


def test_times_are_those_of_the_exchange(tmp_path: Path) -> None:
    frame = make_candles(48, start="2024-01-01", freq="h")
    frame["timestamps"] = frame.timestamps.dt.tz_localize("UTC")
    frame.to_csv(tmp_path / "A.csv", index=False)
    given = ["data.timezone=Asia/Shanghai", "data.since=2024-01-02", "data.until=2024-01-02"]
    config = build_reading_config([str(tmp_path / "A.csv")], given)
    candles, _ = load_candles(config.data, config.repairs)
    assert len(candles) == 24
    assert str(candles.frame().index[0]).startswith("2024-01-02 00:00")


def test_faults_outside_are_not_found(tmp_path: Path) -> None:
    frame = make_candles(100, start="2024-01-01", freq="D")
    frame.loc[3, "open"] = -1.0
    frame.to_csv(tmp_path / "A.csv", index=False)
    for since, n in (("2024-01-10", 0), ("2024-01-01", 1)):
        config = build_reading_config([str(tmp_path / "A.csv")], [f"data.since={since}"])
        findings = load_candles(config.data, config.repairs).findings
        assert sum(finding.severity == "error" for finding in findings) == n


def test_a_file_without_rows_inside(tmp_path: Path) -> None:
    for name, start in (("A", "2023-01-01"), ("B", "2024-01-01")):
        make_candles(100, start=start).to_csv(tmp_path / f"{name}.csv", index=False)
    config = build_reading_config([str(tmp_path)], ["data.since=2024-01-01"])
    assert [symbol.symbol for symbol in load_candles(config.data, config.repairs).candles.symbols] == ["B"]
    config = build_reading_config([str(tmp_path)], ["data.since=2025-01-01"])
    (error,) = (each for each in load_candles(config.data, config.repairs).findings if each.severity == "error")
    assert "no row is between data.since and data.until; the rows are from 2023-01-01 to 2024-01-01 08:15" in error.text


def test_until_follows_since() -> None:
    with pytest.raises(ConfigError, match=r"until .* must not be earlier than since"):
        build_reading_config(["A.csv"], ["data.since=2024-02-01", "data.until=2024-01-31"])
    data = build_reading_config(["A.csv"], ["data.since=20240201", "data.until=2024-02-01 09:30"]).data
    assert (data.since, data.until) == (date(2024, 2, 1), datetime(2024, 2, 1, 9, 30))
