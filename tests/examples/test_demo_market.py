"""The candles of the demo, and the comparison of a run on them with the truth."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from kronos.run_folder import RunFolder
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def script() -> ModuleType:
    sys.path.insert(0, str(ROOT / "examples"))  # as for a script that is run there
    try:
        spec = importlib.util.spec_from_file_location("demo_market", ROOT / "examples" / "demo_market.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    return module


def test_the_shipped_file_is_what_the_command_writes(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo_market.py", "--out", str(tmp_path / "season.csv")])
    script.main()
    assert (tmp_path / "season.csv").read_bytes() == (ROOT / "data" / "season_5min.csv").read_bytes()


def test_the_oracle_beats_a_forecast_that_knows_nothing(script: ModuleType, tmp_path: Path) -> None:
    candles = script.simulate_demo(script.SEED).candles
    rows, losses = range(200, 5600, 27), RunFolder(tmp_path).report.losses
    closes, times = candles["close"], candles["timestamps"]
    table = [
        {"origin": times[row], "step": step, "forecaster": name, "actual": actual, "crps": abs(actual) * share}
        for row in rows
        for step in range(1, 25)
        for actual in [math.log(closes[row + step] / closes[row])]
        for name, share in (("pretrained", 1.0), ("finetuned", 0.9))
    ]
    losses.parent.mkdir(parents=True)
    pd.DataFrame(table).to_csv(losses, index=False)
    line = script.compare(tmp_path, script.SEED)
    assert "fine-tuned -10%" in line
    assert int(line.rsplit(" ", 1)[1].strip("%.")) < -30  # the CRPS of one point is its absolute error: far worse
