"""The choice of threads, on machines whose clock is simulated."""

import time
from collections.abc import Callable, Iterator

import psutil
import pytest
import torch

from kronos.threads import GRAIN, PAUSE_SECONDS, IdleThreads, Setting, StepThreads

CPU = torch.device("cpu")
FAST, SLEEPING, ONE = Setting(2, False), Setting(2, True), Setting(1, True)
# Milliseconds of a step, by setting.
IDLE = {FAST: 10.0, SLEEPING: 16.0, ONE: 18.0}
BUSY = {FAST: 60.0, SLEEPING: 20.0, ONE: 22.0}
CROWDED = {FAST: 300.0, SLEEPING: 40.0, ONE: 30.0}

Machine = Callable[[int], dict[Setting, float]]


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(StepThreads, "_spin_again", 0.0)
    yield
    torch.set_num_threads(before)


def simulate(machine: Machine, n_steps: int = 48, fewer: bool = True, pause_before: int | None = None) -> list[Setting]:
    """Return the setting of each step on a machine that takes machine(step)[setting] milliseconds for it.

    Args:
        pause_before: the step before which the loop does something else for a minute.
    """
    seconds, used = 0.0, []
    with StepThreads(CPU, lambda: seconds) as threads:
        threads.begin(n_steps, fewer)
        for step in range(n_steps):
            if step == pause_before:
                seconds += 60.0
                threads.start_step()
            assert torch.get_num_threads() == threads.current.threads
            assert (threads._idle is not None) == threads.current.asleep
            used.append(threads.current)
            seconds += machine(step)[threads.current] / 1000
            threads.end_step()
        assert torch.get_num_threads() == 2  # the rest of the loop may round differently on fewer
        assert (threads._idle is not None) == used[-1].asleep
    return used


@pytest.mark.parametrize(("milliseconds", "best"), [(IDLE, FAST), (BUSY, SLEEPING), (CROWDED, ONE)])
def test_the_fastest_setting_is_found_and_kept(milliseconds: dict[Setting, float], best: Setting) -> None:
    used = simulate(lambda step: milliseconds)
    assert used[0] == SLEEPING  # reads the context
    assert used[5:33] == [best] * 28
    assert used.count(best) >= 43


def test_an_idle_machine_loses_little() -> None:
    used = simulate(lambda step: IDLE)
    assert sum(IDLE[setting] for setting in used[1:]) < 1.05 * 47 * IDLE[FAST]


def test_a_machine_that_becomes_busy_is_noticed_at_once() -> None:
    used = simulate(lambda step: BUSY if 20 <= step < 60 else IDLE, n_steps=150)
    assert used[15] == FAST
    assert used[25] == SLEEPING
    assert used[-1] == SLEEPING  # spinning was too slow to be tried again soon


def test_a_machine_that_becomes_idle_is_noticed_soon() -> None:
    slow = BUSY | {FAST: 30.0}
    assert simulate(lambda step: slow if step < 60 else IDLE, n_steps=150)[-1] == FAST


def test_spinning_that_is_much_too_slow_is_not_tried_again_for_a_while() -> None:
    assert simulate(lambda step: CROWDED).count(FAST) == 1
    assert FAST not in simulate(lambda step: CROWDED)  # of the next forecast
    StepThreads._spin_again -= PAUSE_SECONDS + 1
    assert FAST in simulate(lambda step: CROWDED)


@pytest.mark.parametrize("milliseconds", [IDLE, BUSY, CROWDED])
def test_a_pause_between_steps_is_no_part_of_a_step(milliseconds: dict[Setting, float]) -> None:
    expected = simulate(lambda step: milliseconds)
    StepThreads._spin_again = 0.0
    assert simulate(lambda step: milliseconds, pause_before=5) == expected


def test_fewer_threads_are_not_used_where_results_depend_on_them() -> None:
    assert ONE not in simulate(lambda step: CROWDED, fewer=False)


def test_many_threads_are_halved_as_long_as_that_helps() -> None:
    torch.set_num_threads(8)
    with StepThreads(CPU, iter(range(1000)).__next__) as threads:
        threads.begin(4, fewer=True)
        assert [setting.threads for setting in threads._fewer] == [4, 2, 1]
    assert torch.get_num_threads() == 8


def test_the_callers_threads_are_restored_even_after_an_error() -> None:
    with pytest.raises(ValueError, match="broken"), StepThreads(CPU) as threads:
        threads.begin(8, fewer=True)
        threads._use(ONE)
        raise ValueError("broken")
    assert torch.get_num_threads() == 2
    assert threads._idle is None


@pytest.mark.parametrize(("device", "n_threads"), [("cuda", 2), ("cpu", 1)])
def test_nothing_changes_on_a_gpu_or_with_one_thread(device: str, n_threads: int) -> None:
    torch.set_num_threads(n_threads)
    with StepThreads(torch.device(device)) as threads:
        threads.begin(8, fewer=True)
        for _ in range(8):
            threads.end_step()
            assert threads._idle is None
            assert torch.get_num_threads() == n_threads


def list_threads() -> set[int]:
    return {thread.id for thread in psutil.Process().threads()}


def test_idle_threads_end() -> None:
    torch.ones(GRAIN * 3, dtype=torch.uint8)  # starts the threads that compute for this one
    before = list_threads()
    idle = IdleThreads()
    started = list_threads() - before
    assert idle._thread.is_alive()
    assert len(started) >= 2  # a team, not only its first thread
    idle.end()
    assert not idle._thread.is_alive()
    deadline = time.monotonic() + 60
    while started & list_threads():  # the team ends soon after its first thread
        assert time.monotonic() < deadline
        time.sleep(0.01)
