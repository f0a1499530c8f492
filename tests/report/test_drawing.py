"""Pictures are drawn in other processes during the block; whatever happens there, they are drawn or the error is raised."""

import logging
import multiprocessing
import os
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from kronos.errors import KronosError
from kronos.report import drawing
from kronos.report.drawing import draw_meanwhile


def note_process(path: Path) -> None:
    path.write_text(str(os.getpid()))


def die_elsewhere(here: int, path: Path) -> None:
    if os.getpid() != here:
        os._exit(1)
    note_process(path)


def fail(path: Path) -> None:
    raise KronosError("{path}: cannot be written. Use {braces}.", path=path, braces="{}")


def fail_with_a_bug(path: Path) -> None:
    raise ZeroDivisionError


@pytest.fixture
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_count_processes", lambda n_pictures: min(n_pictures, 2))


def list_pictures(folder: Path, draw: Callable[[Path], None], n: int = 3) -> list[partial[None]]:
    return [partial(draw, folder / str(i)) for i in range(n)]


@pytest.mark.usefixtures("two_cpus")
def test_other_processes_draw(tmp_path: Path) -> None:
    with draw_meanwhile(list_pictures(tmp_path, note_process)):
        pass
    processes = [(tmp_path / str(i)).read_text() for i in range(3)]
    assert processes[0] == processes[2] != processes[1] and str(os.getpid()) not in processes


@pytest.mark.usefixtures("two_cpus")
def test_a_process_that_dies_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("kronos").propagate = True
    with draw_meanwhile(list_pictures(tmp_path, partial(die_elsewhere, os.getpid()))):
        pass
    assert [(tmp_path / str(i)).read_text() for i in range(3)] == [str(os.getpid())] * 3
    assert "ended too early" in caplog.text


@pytest.mark.usefixtures("two_cpus")
def test_errors_are_raised(tmp_path: Path) -> None:
    with (
        pytest.raises(KronosError, match=r"0: cannot be written. Use \{\}."),
        draw_meanwhile(list_pictures(tmp_path, fail)),
    ):
        pass
    with pytest.raises(ZeroDivisionError), draw_meanwhile(list_pictures(tmp_path, fail_with_a_bug, n=1)):
        pass


@pytest.mark.usefixtures("two_cpus")
def test_without_room_for_a_process_this_one_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(process: BaseProcess) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(BaseProcess, "start", refuse)
    with draw_meanwhile(list_pictures(tmp_path, note_process)):
        assert [(tmp_path / str(i)).read_text() for i in range(3)] == [str(os.getpid())] * 3


@pytest.mark.usefixtures("two_cpus")
def test_an_error_does_not_wait_for_a_process_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "ENDING_SECONDS", 0.1)
    with pytest.raises(ValueError, match="broken"), draw_meanwhile([lambda: time.sleep(1000)]):
        raise ValueError("broken")
    assert not multiprocessing.active_children()


def test_one_cpu_draws_before_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    with draw_meanwhile(list_pictures(tmp_path, note_process)):
        assert [(tmp_path / str(i)).read_text() for i in range(3)] == [str(os.getpid())] * 3
    with draw_meanwhile([]):
        pass
