"""Seconds by activity: they add up to the whole, and nothing is counted twice or after the end."""

import time

import pytest

from kronos.report.words.catalogue import Words
from kronos.report.words.times import list_times
from kronos.timing import ACTIVITIES, read_clock, run_clock, timed


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that the test moves: the last entry is the time."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[-1])
    return now


def test_each_second_belongs_to_the_innermost_activity(passing: list[float]) -> None:
    with run_clock(started=90.0), timed("other"):
        with timed("steps"):
            passing.append(103.0)
            with timed("validation"), timed("checkpoints"):  # a part of the validation
                passing.append(105.0)
            passing.append(106.0)
        passing.append(107.0)
        seconds = read_clock()
    assert seconds == {"start_up": 10.0, "steps": 4.0, "validation": 2.0, "other": 1.0}
    assert list(seconds) == [each for each in ACTIVITIES if each in seconds]
    assert sum(seconds.values()) == 107.0 - 90.0


def test_an_error_ends_its_activity(passing: list[float]) -> None:
    with run_clock(), timed("other"):
        with pytest.raises(ValueError), timed("reading"):
            passing.append(101.0)
            raise ValueError
        passing.append(103.0)
        assert read_clock() == {"reading": 1.0, "other": 2.0}


def test_a_clock_ends_with_its_block_and_an_inner_one_is_the_outer_one(passing: list[float]) -> None:
    with run_clock(), run_clock():
        passing.append(102.0)
        assert read_clock() == {"start_up": 2.0}
    assert read_clock() == {}
    with timed("steps"):
        passing.append(103.0)
    assert read_clock() == {}
    with run_clock():
        assert read_clock() == {}


def test_rounded_seconds_add_up_to_the_total() -> None:
    seconds = {"reading": 0.26, "steps": 0.26, "pictures": 0.26, "other": 0.01}
    rows = list_times(seconds, Words("en"))  # type: ignore[arg-type]
    assert [label for label, _ in rows] == ["Reading the candles", "Training steps", "Pictures and page", "Total"]
    tenths = [float(text.partition(" ")[0]) for _, text in rows]
    assert sum(tenths[:-1]) == pytest.approx(tenths[-1]) == 0.8
    assert rows[-1] == ("Total", "0.8 s (100%)")
    assert list_times({}, Words("zh")) == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_activity_has_a_name(language: str) -> None:
    words = Words(language)  # type: ignore[arg-type]
    assert all(words(f"times.{activity}") for activity in ACTIVITIES)
