"""`kronos predict --log` and `kronos score`: from a forecast to its grade."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos.ledger.store import Ledger
from kronos.serving.runs import ServedRuns
from tests.conftest import ROOT, FinishedRun, invoke
from tests.ledger.made import START, STEP, make_forecast

SAMPLE = ROOT / "data" / "synthetic_5min.csv"
KNOWN, HORIZON = 200, 6
EVERY = 30  # candles from one origin to the next


@pytest.fixture
def candles(tmp_path: Path) -> pd.DataFrame:
    """Candles around the clock, of which the first KNOWN end now."""
    frame = pd.read_csv(SAMPLE, nrows=KNOWN + HORIZON)
    now = pd.Timestamp.now().floor("5min")
    frame["timestamps"] = pd.date_range(end=now, periods=KNOWN, freq="5min").union(
        pd.date_range(start=now, periods=HORIZON + 1, freq="5min")
    )
    frame[:KNOWN].to_csv(tmp_path / "x.csv", index=False)
    frame.to_csv(tmp_path / "later.csv", index=False)
    return frame


def predict(folder: Path, *words: object):
    options = ["--lookback", 32, "--horizon", HORIZON, "--paths", 5, "--no-pictures", "--out", folder / "f"]
    return invoke("predict", "--model", "nano", "--data", folder / "x.csv", *options, *words)


def test_a_forecast_is_logged_and_graded(candles: pd.DataFrame, tmp_path: Path) -> None:
    done = predict(tmp_path, "--log", "--json")
    assert done.exit_code == 0, done.output
    ledger = Ledger(tmp_path / "f" / "ledger.db")
    (entry,) = ledger.read()
    shown = json.loads(done.stdout)["forecasts"][0]
    assert entry.forecast.last_close == pytest.approx(candles["close"][KNOWN - 1]) and entry.seal in done.stderr
    medians = [row[9] for row in entry.forecast.close]
    assert medians == pytest.approx(shown["quantiles"]["0.5"]["close"], rel=1e-6)
    before = invoke("score", "--ledger", ledger.path)
    assert before.exit_code == 0 and "Nothing is graded yet" in before.output
    graded = invoke("score", "--ledger", ledger.path, "--data", tmp_path / "later.csv")
    assert graded.exit_code == 0 and f"{HORIZON} closes are new" in graded.stderr, graded.output
    (run,) = json.loads(invoke("score", "--ledger", ledger.path, "--json").stdout)["runs"]
    assert run["overall"]["n_steps"] == HORIZON and run["n_open"] == 0 and run["run"] == "nano"
    assert "0 closes are new" in invoke("score", "--ledger", ledger.path, "--data", tmp_path / "later.csv").stderr


def test_a_run_is_logged_by_its_whole_path(
    candles: pd.DataFrame, finished_run: FinishedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished_run.path.parent)
    options = ["--paths", 2, "--no-pictures", "--out", tmp_path / "f", "--log", "--device", "cpu"]
    done = invoke("predict", "--run", finished_run.path.name, "--data", tmp_path / "x.csv", *options)
    assert done.exit_code == 0, done.output
    (entry,) = Ledger(tmp_path / "f" / "ledger.db").read()
    (served,) = ServedRuns([Path(finished_run.path.name)], {"device": "cpu"}).values()
    assert entry.forecast.run == str(served.config.model_paths.run_folder.path)


def test_the_past_is_not_logged(candles: pd.DataFrame, tmp_path: Path) -> None:
    refused = predict(tmp_path, "--log", "--origin", candles["timestamps"][100].isoformat(" "))
    assert refused.exit_code == 1 and "have not come yet" in refused.stderr
    assert not (tmp_path / "f" / "ledger.db").exists()
    pd.read_csv(SAMPLE, nrows=KNOWN).to_csv(tmp_path / "x.csv", index=False)  # of 2024
    done = predict(tmp_path, "--log")
    assert done.exit_code == 0 and "kronos score does not count them" in " ".join(done.stderr.split())
    later = invoke("score", "--ledger", tmp_path / "f" / "ledger.db", "--data", SAMPLE)
    assert later.exit_code == 0 and "1 more were written after their last candle had come" in later.output


def fill(path: Path, width: float) -> Path:
    """A ledger of forecasts of two symbols, and a file of candles that stray by 1 at each step."""
    n = 120
    closes = 100 + np.random.default_rng(0).normal(size=EVERY * n + 1)
    closes[::EVERY] = 100.0  # at the origins
    Ledger(path / "ledger.db").append([make_forecast(EVERY * k, name, 1, width) for k in range(n) for name in "AB"])
    frame = pd.DataFrame({"timestamps": pd.date_range(START, periods=len(closes), freq=STEP), "symbol": "A"})
    frame = frame.assign(open=closes, high=closes, low=closes, close=closes, volume=1.0, amount=1.0)
    pd.concat([frame, frame.assign(symbol="B")]).to_csv(path / "later.csv", index=False)
    return path / "ledger.db"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_table_and_no_alarm_while_all_is_well(tmp_path: Path, language: str) -> None:
    ledger = fill(tmp_path, width=1.0)
    done = invoke("score", "--ledger", ledger, "--data", tmp_path / "later.csv", "--language", language)
    assert done.exit_code == 0, done.output
    words = {"en": ["by symbol", "by week", "CRPS ratio", "no alarm"], "zh": ["按标的", "按周", "CRPS 比", "无警报"]}
    assert all(word in done.stdout for word in words[language]), done.stdout
    (run,) = json.loads(invoke("score", "--ledger", ledger, "--json").stdout)["runs"]
    assert run["overall"]["coverage"]["90"] == pytest.approx(0.9, abs=0.06)
    assert run["overall"]["crps_ratio"] == pytest.approx(1) and set(run["by_symbol"]) == {"A", "B"}
    assert sum(week["n_steps"] for week in run["by_week"].values()) == run["overall"]["n_steps"] == 240


def test_an_alarm(tmp_path: Path) -> None:
    ledger = fill(tmp_path, width=0.2)
    done = invoke("score", "--ledger", ledger, "--data", tmp_path / "later.csv")
    assert done.exit_code == 3 and "ALARM: the 90% band holds less than 85% of the closes" in done.stdout
    (run,) = json.loads(invoke("score", "--ledger", ledger, "--json").stdout)["runs"]
    on = {alarm["kind"]: alarm["on"] for alarm in run["alarms"]}
    assert on["too_narrow"] and not on["too_wide"]


def test_what_is_not_graded_is_named(tmp_path: Path) -> None:
    ledger, later = fill(tmp_path, width=1.0), tmp_path / "later.csv"
    candles = pd.read_csv(later)
    changed = candles.copy()
    changed.loc[changed["timestamps"] >= candles["timestamps"][25 * EVERY - 15], ["open", "high", "low", "close"]] /= 2
    changed.to_csv(tmp_path / "changed.csv", index=False)  # as after a split between two forecasts of each symbol
    candles[candles["timestamps"] > candles["timestamps"][EVERY * 119]].to_csv(tmp_path / "tail.csv", index=False)
    for name, text in (("tail", "not graded: 2 forecasts, because these candles lack"), ("changed", "not graded: 190")):
        done = invoke("score", "--ledger", ledger, "--data", tmp_path / f"{name}.csv")
        assert text in " ".join(done.stderr.split()) and done.exit_code == 0, done.output
    changed = candles.copy()
    changed.loc[changed["timestamps"] > candles["timestamps"][EVERY * 30], ["open", "high", "low", "close"]] /= 2
    changed.to_csv(tmp_path / "split.csv", index=False)  # just after a forecast
    done = invoke("score", "--ledger", ledger, "--data", tmp_path / "split.csv")
    text = " ".join(done.stderr.split())
    assert "as at a split: 2 forecasts" in text and "not graded: 178 forecasts" in text, text
    candles.assign(close=candles["close"] * np.where(np.arange(len(candles)) % EVERY == 1, 1.0005, 1)).to_csv(
        tmp_path / "revised.csv", index=False
    )
    done = invoke("score", "--ledger", ledger, "--data", tmp_path / "revised.csv", "repairs.impossible=widen")
    assert "The first grade stays" in done.stderr, done.stderr


def test_a_kept_seal_and_an_empty_ledger(tmp_path: Path) -> None:
    ledger = Ledger(fill(tmp_path, width=1.0))
    assert invoke("score", "--ledger", ledger.path, "--seal", ledger.verify()).exit_code == 0
    done = invoke("score", "--ledger", ledger.path, "--seal", "0" * 63 + "1")
    assert done.exit_code == 1 and "is not in it" in done.stderr
    (tmp_path / "empty.db").touch()
    done = invoke("score", "--ledger", tmp_path / "empty.db")
    assert done.exit_code == 0 and "it holds no forecasts" in done.stdout
    done = invoke("score", "--ledger", tmp_path / "empty.db", "--data", tmp_path / "later.csv")
    assert done.exit_code == 1 and "it holds no forecasts to grade" in done.stderr


def test_mistakes(candles: pd.DataFrame, tmp_path: Path) -> None:
    ledger = fill(tmp_path, width=1.0)
    for words, text in (
        (["--ledger", tmp_path / "none.db"], "there is no ledger"),
        (["--ledger", tmp_path / "later.csv"], "not a ledger, or damaged"),
        (["--ledger", ledger, "--data", tmp_path / "x.csv"], "no symbol of these candles is in the ledger"),
        (["--ledger", ledger, "--data", tmp_path / "gone.csv"], "gone.csv"),
    ):
        done = invoke("score", *words)
        assert done.exit_code == 1 and text in done.stderr and "Traceback" not in done.stderr, done.output
