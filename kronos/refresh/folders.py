"""The folders of a refresh: {run}, the run in use; .{run}.new, the one that is trained; {run}.previous, the one before."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from kronos.errors import ConfigError
from kronos.files import name_old, restore_folder, swap_folders


def name_new(run: Path) -> Path:
    """Return the folder in which the new run is trained."""
    return run.with_name(f".{run.name}.new")


def name_previous(run: Path) -> Path:
    """Return the folder of the run that was in use before."""
    return run.with_name(f"{run.name}.previous")


def put_in_use(run: Path) -> None:
    """Exchange the new run with the one in use, which becomes the previous one.

    A run is in use at any moment, also if the process is killed: `finish_exchange` completes what was begun.

    Raises:
        WriteError: the file system refuses.
    """
    shutil.rmtree(name_previous(run), ignore_errors=True)
    swap_folders(name_new(run), run)
    name_new(run).rename(name_previous(run))


def finish_exchange(run: Path, is_before: Callable[[Path], bool]) -> None:
    """Finish an exchange of folders during which the process has ended.

    Args:
        is_before: whether the folder of the new run has the run that was in use before instead.
    """
    restore_folder(run)
    new, old, previous = name_new(run), name_old(run), name_previous(run)
    if new.is_dir() and is_before(new):
        shutil.rmtree(previous, ignore_errors=True)
        new.rename(previous)
    if old.is_dir() and not previous.exists():
        old.rename(previous)


def take_back(run: Path) -> None:
    """Put the previous run in use again; the one in use becomes the previous one.

    Raises:
        ConfigError: there is none. WriteError: the file system refuses.
    """
    previous = name_previous(run)
    if not previous.is_dir():
        raise ConfigError(
            "{folder}: there is no earlier run to go back to. kronos refresh leaves one when it replaces a run.",
            folder=previous,
        )
    swap_folders(previous, run)
