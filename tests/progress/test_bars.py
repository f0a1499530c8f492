"""One bar on a terminal, lines elsewhere."""

import io
import logging
import sys

import pytest

from kronos.progress import bars
from kronos.progress.bars import Progress, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(bars.time, "monotonic", clock)
    return clock


def work(progress: Progress, clock: Clock, steps: int, seconds: float) -> None:
    for _ in range(steps):
        clock.now += seconds
        progress.update()


def test_lines_where_there_is_no_terminal(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kronos")
    with Progress("basemodel", 100, "steps") as progress:
        progress.set_note("loss 1.5")
        work(progress, clock, 100, 1.0)
    assert [record.getMessage() for record in caplog.records] == [
        f"basemodel  {done}%  {done}/100 steps  loss 1.5  0:0{left // 60}:{left % 60:02} left"
        for done, left in ((10, 90), (30, 70), (50, 50), (70, 30), (90, 10))
    ]


def test_few_lines_of_short_and_of_long_work(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kronos")
    work(Progress("short", 100), clock, 100, 0.09)
    assert not caplog.records
    Progress._running.clear()
    work(Progress("long", 1000), clock, 100, 60.0)  # 10% in 100 minutes
    assert len(caplog.records) == 10
    Progress._running.clear()


def test_the_time_left_counts_from_a_restart_and_from_what_was_done_before(clock: Clock) -> None:
    with Progress("resumed", 100, initial=50) as progress:
        assert progress.seconds_left == 0
        clock.now += 1000
        progress.restart()
        work(progress, clock, 10, 2.0)
        assert (progress.share, progress.seconds_left) == (0.6, 80)


def test_one_bar_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(bars, "NOTE_SECONDS", 0.0)
    with Progress("basemodel", 4, "steps") as outer:
        outer.update()
        outer.set_note("loss 1.5")
        with Progress("validation", 2) as inner:
            inner.update()
        assert outer.note == "loss 1.5"
    shown = terminal.getvalue()
    assert "\n" not in shown and "basemodel   25%|" in shown and "1/4" in shown
    assert "validation 50%" in shown and "validation:" not in shown and "\rvalidation" not in shown
    assert not Progress._running


def test_what_other_ranks_do_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress("share of another rank", 2, shown=False) as progress:
        progress.update()
        assert not terminal.getvalue()
        assert list(track(range(3), "inner", 3)) == [0, 1, 2]
    assert "inner" in terminal.getvalue() and "rank" not in terminal.getvalue()


def test_an_error_ends_the_bars_within(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError), Progress("outer", 2):
        Progress("left open", 3)
        raise ValueError
    assert not Progress._running
