"""Where the time of a command goes: seconds by activity, which add up to the whole time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

Activity = Literal[
    "start_up",
    "reading",
    "models",
    "tokenising",
    "steps",
    "validation",
    "checkpoints",
    "health",
    "blend",
    "forecasts",
    "drift",
    "baselines",
    "scoring",
    "pictures",
    "other",
]
ACTIVITIES: tuple[Activity, ...] = get_args(Activity)
WHOLE = (
    "baselines",
    "drift",
    "blend",
    "validation",
)  # what happens within them is a part of them: the LSTM's training steps


class Clock:
    """Counts seconds by activity; each second belongs to one activity, the first ones to the start-up."""

    def __init__(self, started: float | None = None) -> None:
        """Start. started: of time.monotonic(); by default now."""
        self.activity: Activity = "start_up"
        self._since = time.monotonic() if started is None else started
        self._seconds: dict[Activity, float] = dict.fromkeys(ACTIVITIES, 0.0)

    def switch(self, activity: Activity) -> None:
        """Begin an activity; the one before ends."""
        now = time.monotonic()
        self._seconds[self.activity] += now - self._since
        self.activity, self._since = activity, now

    def read(self) -> dict[Activity, float]:
        """Return the seconds so far, of the activities that took any."""
        self.switch(self.activity)
        return {activity: seconds for activity, seconds in self._seconds.items() if seconds}


_clock: ContextVar[Clock | None] = ContextVar("clock", default=None)


@contextmanager
def run_clock(started: float | None = None) -> Iterator[Clock]:
    """Count the time of the block by activity. Within another clock's block, give that clock.

    Args:
        started: when the command started, of time.monotonic(); by default now.
    """
    if clock := _clock.get():
        yield clock
        return
    clock = Clock(started)
    token = _clock.set(clock)
    try:
        yield clock
    finally:
        _clock.reset(token)


@contextmanager
def timed(activity: Activity) -> Iterator[None]:
    """Count the time of the block, or of the decorated function, as an activity; without a clock, do nothing.

    An activity within another one is counted by itself, unless the other one is counted as a WHOLE.
    """
    clock = _clock.get()
    if clock is None or clock.activity in WHOLE:
        yield
        return
    before = clock.activity
    clock.switch(activity)
    try:
        yield
    finally:
        clock.switch(before)


def read_clock() -> dict[Activity, float]:
    """Return the seconds of the running clock by activity; empty without one."""
    clock = _clock.get()
    return clock.read() if clock else {}
