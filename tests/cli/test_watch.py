"""`kronos watch`: a ledger that is graded as candles come."""

import math
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kronos.ledger.store import Ledger
from tests.cli.test_score import fill
from tests.conftest import ROOT, invoke


def read_gauges(path: Path) -> dict[tuple[str, ...], float]:
    """Gauges by name and the values of their labels but the run."""
    samples = [each for family in text_string_to_metric_families(path.read_text()) for each in family.samples]
    assert {each.labels["run"] for each in samples} == {"finetuned/my"}
    return {(each.name, *(value for key, value in each.labels.items() if key != "run")): each.value for each in samples}


class Texts(HTMLParser):
    """The tags of a page, and all its text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(("width", "alarm"), [(1.0, 0.0), (0.2, 1.0)])
def test_a_page_and_gauges(tmp_path: Path, width: float, alarm: float) -> None:
    ledger, page, gauges = fill(tmp_path, width), tmp_path / "out" / "health.html", tmp_path / "out" / "kronos.prom"
    words = ["--data", tmp_path / "later.csv", "--page", page, "--metrics", gauges, "--once"]
    done = invoke("watch", "--ledger", ledger, *words)
    assert done.exit_code == 0, done.output
    found = read_gauges(gauges)
    assert found["kronos_forecasts",] == found["kronos_forecasts_graded",] == 240
    assert found["kronos_alarm", "too_narrow"] == alarm and math.isfinite(found["kronos_crps_ratio", "ewma"])
    assert {key[1] for key in found if key[0] == "kronos_realised_coverage"} == {"0.5", "0.8", "0.9"}
    shown = Texts(page)
    assert "script" not in shown.tags and shown.tags.count("svg") == 6
    assert ("since the forecast of" in shown.text) == ("ALARM" in done.stderr) == bool(alarm)


def test_candles_that_come_later_and_files_that_are_half_written(tmp_path: Path) -> None:
    ledger = Ledger(fill(tmp_path, width=1.0))
    whole = pd.read_csv(tmp_path / "later.csv")
    growing = tmp_path / "growing.csv"
    whole[: len(whole) // 4].to_csv(growing, index=False)
    words = ["--data", growing, "--ledger", ledger.path, "--page", tmp_path / "health.html", "--every", "0.1"]
    watcher = subprocess.Popen(
        [sys.executable, "-m", "kronos", "watch", *map(str, words)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )

    def wait_for(n: int) -> None:
        for _ in range(600):
            assert watcher.poll() is None, watcher.communicate()[1]
            if ledger.read_outcomes() and len(ledger.read_outcomes()) >= n:
                return
            time.sleep(0.1)
        raise AssertionError(f"{len(ledger.read_outcomes())} graded")

    try:
        wait_for(1)
        early = len(ledger.read_outcomes())
        assert early < 120
        growing.write_bytes(b"\x00\x01 half")
        time.sleep(0.5)
        whole.to_csv(growing, index=False)
        wait_for(240)
    finally:
        watcher.terminate()
        errors = watcher.communicate()[1]
    assert "Traceback" not in errors, errors
    assert (tmp_path / "health.html").exists() and watcher.returncode == 143
