"""`kronos watch`: a ledger that is graded as candles come."""

import math
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kronos.cli.commands.live import watch as watching
from kronos.ledger.store import Ledger
from tests.cli.test_score import EVERY, fill
from tests.conftest import invoke
from tests.ledger.made import START, STEP


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


def watch(monkeypatch: pytest.MonkeyPatch, steps: list[Callable[[], object]], *words: object) -> str:
    """Take a step whenever `kronos watch` sleeps, and stop it after the last one; return what it logged."""
    remaining = iter(steps)

    def sleep(seconds: float) -> None:
        step = next(remaining, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr("kronos.cli.commands.live.watch.time.sleep", sleep)
    done = invoke("watch", *words)
    assert done.exit_code == 130, done.output
    return done.stderr


def test_files_that_grow_are_half_written_or_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, counts = Ledger(fill(tmp_path, width=1.0)), list[int]()
    whole = pd.read_csv(tmp_path / "later.csv")
    folder = tmp_path / "incoming"
    folder.mkdir()
    file, origin = folder / "growing.csv", START + EVERY * STEP
    until = [whole[whole["timestamps"] <= str(origin + n * STEP)] for n in (0, 1, 2)]

    def then(action: Callable[[], object]) -> Callable[[], None]:
        def step() -> None:
            counts.append(sum(map(len, ledger.read_outcomes().values())))
            action()

        return step

    steps = [
        then(lambda: until[0].to_csv(file, index=False)),  # the folder was empty
        then(lambda: until[1].to_csv(file, index=False)),
        then(lambda: until[2].to_csv(file, index=False)),  # the candle before is finished
        then(lambda: file.write_bytes(b"\x00\x01 half")),
        then(file.unlink),
        then(lambda: whole.to_csv(folder / "renamed.csv", index=False)),
        then(folder.stat),
    ]
    page = tmp_path / "health.html"
    errors = watch(monkeypatch, steps, "--data", folder, "--ledger", ledger.path, "--page", page)
    assert counts == [0, 2, 2, 4, 4, 4, 240], errors
    assert errors.count("no file of candles in this folder") == 2 and "NUL bytes" in errors, errors
    assert page.exists()


def test_a_file_that_is_removed_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, removed, later = (
        fill(tmp_path, width=1.0),
        iter(["gone.csv", "gone.csv", "other.csv"]),
        tmp_path / "later.csv",
    )

    def fail(*given: object, **options: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", next(removed))

    def change() -> None:
        monkeypatch.setattr(watching, "grade_files", fail)
        later.write_bytes(later.read_bytes())

    words = ["--ledger", ledger, "--data", later, "--page", tmp_path / "health.html"]
    logged = watch(monkeypatch, [change, lambda: None, lambda: None], *words)
    assert logged.count("gone.csv: No such file") == 1 and logged.count("other.csv: No such file") == 1, logged


@pytest.mark.parametrize("name", ["ledger", "data"])
def test_a_wrong_name_is_an_error_at_once(tmp_path: Path, name: str) -> None:
    words = {"ledger": fill(tmp_path, width=1.0), "data": tmp_path / "later.csv"} | {name: tmp_path / "none"}
    done = invoke("watch", *(part for key, value in words.items() for part in (f"--{key}", value)))
    assert done.exit_code == 1 and "none" in done.stderr and "Traceback" not in done.stderr, done.output


def test_an_empty_ledger(tmp_path: Path) -> None:
    fill(tmp_path, width=1.0)
    (tmp_path / "empty.db").touch()
    done = invoke("watch", "--ledger", tmp_path / "empty.db", "--data", tmp_path / "later.csv", "--once")
    assert done.exit_code == 1 and "it holds no forecasts to grade" in done.stderr, done.output
