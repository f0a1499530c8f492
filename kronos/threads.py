"""Share the CPU's cores with other programs while a loop of similar steps runs.

PyTorch's threads wait for each other after each operation. On an idle machine it is fastest to spin while they wait. Beside
a busy program the other thread may have no core, and spinning only delays it. GNU OpenMP, which PyTorch uses on Linux, lets
waiting threads sleep almost at once while there are more OpenMP threads than cores: some idle threads change how all others
wait. No result depends on how threads wait.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

import torch

GRAIN = 32768  # elements that PyTorch computes in one thread
LOOK_AGAIN = 64  # steps after which the other settings are measured again
SLOW = 2.0  # spinning that is so many times slower is not tried again for a while
PAUSE_SECONDS = 10.0
CLEARLY = 0.8  # fewer threads must take at most this share of the time


class Setting(NamedTuple):
    """A number of threads, and whether threads that wait sleep at once."""

    threads: int
    asleep: bool


class IdleThreads:
    """A second team of OpenMP threads that does nothing. While it exists, threads that wait sleep at once."""

    def __init__(self) -> None:
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, daemon=True)
        self._thread.start()
        self._ready.wait()

    def _hold(self) -> None:
        try:
            torch.ones(GRAIN * (torch.get_num_threads() + 1), dtype=torch.uint8)  # starts this thread's team
        finally:
            self._ready.set()
        self._over.wait()

    def end(self) -> None:
        self._over.set()
        self._thread.join()


class StepThreads:
    """Choose the threads of a loop of similar steps by what its first steps take, and look again now and then.

    All threads that the caller allows are used at the beginning and at the end of a loop, where the number could change the
    rounding. The caller's number is restored on leaving the context. Nothing changes on a GPU.
    """

    _spin_again = 0.0  # the time before which no loop of this process tries spinning

    def __init__(self, device: torch.device, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._all = torch.get_num_threads() if device.type == "cpu" else 1
        self._usual, self._spinning = Setting(self._all, True), Setting(self._all, False)
        self._fewer: list[Setting] = []
        self._idle: IdleThreads | None = None
        self.current = self._spinning
        self._seconds: dict[Setting, float] = {}
        self._started: float | None = None
        self._left = self._since_look = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._use(self._spinning)

    def begin(self, n_steps: int, fewer: bool) -> None:
        """Begin a loop. Its first step, which reads the context, is not compared with the others.

        Args:
            fewer: whether the steps may use fewer threads; their results must not depend on it.
        """
        halves = [self._all >> n for n in range(1, self._all.bit_length())] if fewer else []
        self._fewer = [Setting(threads, True) for threads in halves]
        self._seconds, self._started = {}, None
        self._left, self._since_look = n_steps, 0
        self._use(self._usual)

    def start_step(self) -> None:
        """Start a step now, if something else came after the last one."""
        if self._started is not None:
            self._started = self._clock()

    def end_step(self) -> None:
        """Note what the step took, and choose the setting of the next one."""
        if self._all == 1:
            return
        now = self._clock()
        if self._started is not None:
            self._note(now - self._started)
        self._left -= 1
        if self._left <= 0:
            self._use(self._usual if self.current.asleep else self._spinning)
            return
        self._use(self._choose(now))
        self._started = self._clock()

    def _note(self, seconds: float) -> None:
        before = self._seconds.get(self.current, seconds)
        self._seconds[self.current] = (before + seconds) / 2
        if self.current == self._spinning and seconds > SLOW * self._seconds.get(self._usual, seconds):
            StepThreads._spin_again = self._clock() + PAUSE_SECONDS
        self._since_look += 1
        if self._since_look == LOOK_AGAIN:
            self._since_look = 0
            self._seconds = {}

    def _choose(self, now: float) -> Setting:
        """Return the next setting to measure, or the fastest. Spinning that is faster means an idle machine."""
        if self._usual not in self._seconds:
            return self._usual
        if self._spinning not in self._seconds and now >= StepThreads._spin_again:
            return self._spinning
        best = min(self._seconds, key=self._seconds.__getitem__)
        if best != self._spinning:
            for larger, setting in zip([self._usual, *self._fewer], self._fewer):
                if setting not in self._seconds and best == larger:
                    return setting
        return best

    def _use(self, setting: Setting) -> None:
        self.current = setting
        if self._all == 1:
            return
        if setting.asleep and self._idle is None:
            self._idle = IdleThreads()
        elif not setting.asleep and self._idle is not None:
            self._idle.end()
            self._idle = None
        if torch.get_num_threads() != setting.threads:
            torch.set_num_threads(setting.threads)


def choose_number(measure: Callable[[], float]) -> int:
    """Return the number of threads to compute with: all, unless half of them, or half of those, are clearly faster.

    Args:
        measure: measures the seconds of a piece of the work.
    """
    number = allowed = torch.get_num_threads()
    if allowed == 1:
        return 1
    seconds = measure()
    idle = IdleThreads()
    try:
        seconds = min(seconds, measure())
        while number > 1:
            torch.set_num_threads(number // 2)
            fewer = measure()
            if fewer > CLEARLY * seconds:
                break
            number, seconds = number // 2, fewer
    finally:
        torch.set_num_threads(allowed)
        idle.end()
    return number
