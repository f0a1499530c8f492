"""The database of a search, and what it raises."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError

from kronos.errors import CheckpointError, WriteError

DATABASE_NAME = "search.db"
BUSY_SECONDS = 120  # SQLite waits so long for the transaction of another process
UNWRITABLE = "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN"


def open_study(path: Path) -> optuna.Study:
    """Open a search, or begin one.

    Raises:
        WriteError: the disk is full. CheckpointError: the database is damaged.
    """
    # SQLite rather than Optuna's journal file: a half-written line, after a power cut or on a full disk, damages a
    # journal for good, while SQLite rolls back an unfinished transaction.
    with translate_database_errors(path):
        try:
            storage = RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS}})
        except RuntimeError as error:  # of another version of Optuna
            raise _refuse(path, error) from None
        return optuna.create_study(
            storage=storage,
            study_name="search",
            direction="minimize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(),
        )


@contextmanager
def translate_database_errors(path: Path) -> Iterator[None]:
    """Translate what the database raises.

    Raises:
        WriteError: it cannot be written. CheckpointError: it is damaged.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = _find_cause(error)
        code = getattr(cause, "sqlite_errorname", "")
        if code.startswith(UNWRITABLE):
            is_full = code == "SQLITE_FULL"
            refused = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if is_full else OSError(errno.EIO, str(cause))
            raise WriteError.about(path, refused, "model_paths.base_path") from error
        raise _refuse(path, cause) from None


def _find_cause(error: BaseException) -> BaseException:
    """Return SQLite's error behind SQLAlchemy's and Optuna's."""
    inner = getattr(error, "orig", None) or error.__cause__
    return error if inner is None or isinstance(error, sqlite3.Error) else _find_cause(inner)


def _refuse(path: Path, error: BaseException) -> CheckpointError:
    return CheckpointError(
        "{path}: cannot be opened ({reason}). Move {folder} away to start a new search.",
        path=path,
        reason=str(error).splitlines()[0],
        folder=path.parent,
    )
