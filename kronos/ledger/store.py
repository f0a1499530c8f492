"""The ledger: a file of SQLite in which forecasts are written before their outcome is known.

Each forecast is sealed by the SHA-256 of the seal before it and its own record. A change of any forecast, an insertion or a
deletion breaks every later seal. Who changes the file can compute all seals anew; the newest seal, kept elsewhere, proves
that nothing before it was changed.

A write is one transaction in SQLite's write-ahead log: it is there as a whole or not at all, also after kill -9, and of two
writers one waits. A ledger on a network drive is not safe: its locks may not work.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kronos.errors import DataError, WriteError, first_line
from kronos.ledger.records import Entry, LoggedForecast, Outcome

FORMAT = 1  # of the file, in SQLite's user_version
BUSY_SECONDS = 60.0  # for the transaction of another process
FIRST_SEAL = "0" * 64
UNWRITABLE = "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN"
TABLES = """
CREATE TABLE forecasts (number INTEGER PRIMARY KEY, symbol TEXT NOT NULL, record TEXT NOT NULL, seal TEXT NOT NULL);
CREATE INDEX forecasts_by_symbol ON forecasts (symbol);
CREATE TABLE outcomes (
    number INTEGER NOT NULL REFERENCES forecasts (number), step INTEGER NOT NULL, actual REAL NOT NULL,
    PRIMARY KEY (number, step)
) WITHOUT ROWID;
"""


class Ledger:
    """A ledger in a file, which the first write creates.

    Raises (all methods):
        DataError: the file is no ledger, or damaged. WriteError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, forecasts: Sequence[LoggedForecast]) -> str:
        """Write forecasts, all or none, and return the newest seal."""
        with self._writing() as database:
            last = database.execute("SELECT number, seal FROM forecasts ORDER BY number DESC LIMIT 1").fetchone()
            newest, seal = last or (0, FIRST_SEAL)
            rows = []
            for number, forecast in enumerate(forecasts, newest + 1):
                record = write_record(forecast)
                seal = compute_seal(seal, record)
                rows.append((number, forecast.symbol, record, seal))
            database.executemany("INSERT INTO forecasts VALUES (?, ?, ?, ?)", rows)
        return str(seal)

    def add_outcomes(self, outcomes: Iterable[Outcome]) -> int:
        """Write outcomes; the first one of a step stays. Return how many are new."""
        rows = [(each.number, each.step, each.actual) for each in outcomes]
        with self._writing() as database:
            before = database.total_changes
            database.executemany("INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?)", rows)
            return database.total_changes - before

    def read(self, symbols: Iterable[str] | None = None) -> Iterator[Entry]:
        """Yield the forecasts in the order of writing, of some symbols or all."""
        chosen = None if symbols is None else set(symbols)
        for number, symbol, record, seal in self._select(
            "SELECT number, symbol, record, seal FROM forecasts ORDER BY number"
        ):
            if chosen is None or symbol in chosen:
                yield Entry(number=number, seal=seal, forecast=self._parse(number, record))

    def read_outcomes(self) -> dict[int, dict[int, float]]:
        """Return the actual closes by forecast and step."""
        found: dict[int, dict[int, float]] = {}
        for number, step, actual in self._select("SELECT number, step, actual FROM outcomes"):
            found.setdefault(number, {})[step] = actual
        return found

    def read_symbols(self) -> set[str]:
        """Return the symbols of the forecasts."""
        return {symbol for (symbol,) in self._select("SELECT DISTINCT symbol FROM forecasts")}

    def newest(self) -> int:
        """Return the number of the newest forecast, 0 if there is none."""
        return max((number or 0 for (number,) in self._select("SELECT max(number) FROM forecasts")), default=0)

    def verify(self, kept: str | None = None) -> str:
        """Check every seal, and return the newest one.

        Args:
            kept: a newest seal from earlier: nothing before it was changed since if it is still in the ledger.

        Raises:
            DataError: a forecast was changed, inserted or deleted after it was written.
        """
        seal, is_found = FIRST_SEAL, kept in (None, FIRST_SEAL)
        for expected, (number, record, stored) in enumerate(
            self._select("SELECT number, record, seal FROM forecasts ORDER BY number"), 1
        ):
            seal = compute_seal(seal, record)
            if number != expected:
                raise DataError(
                    "{path}: forecast {n} was removed after it was written, or others were inserted before it. Restore the file from a "
                    "backup.",
                    path=self.path,
                    n=expected,
                )
            if stored != seal:
                raise DataError(
                    "{path}: forecast {n} does not fit its seal: it was changed after it was written, or another one is in its place. "
                    "Restore the file from a backup.",
                    path=self.path,
                    n=expected,
                )
            is_found = is_found or seal == kept
        if not is_found:
            raise DataError(
                "{path}: the seal {seal} is not in it. Forecasts that were written before this seal were removed or changed, or it is the "
                "seal of another ledger. Restore the file from a backup.",
                path=self.path,
                seal=kept,
            )
        return seal

    def _parse(self, number: int, record: str) -> LoggedForecast:
        try:
            return LoggedForecast.model_validate_json(record)
        except ValidationError as error:
            raise _refuse(self.path, first_line(error)) from None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if self.path.is_dir():
            raise _refuse(self.path, "it is a folder")
        with _translate(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect("rwc")) as database:
                self._find_format(database)  # before a file that is no ledger is changed
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("PRAGMA synchronous=FULL")
                database.execute("BEGIN IMMEDIATE")
                try:
                    self._create(database)
                    yield database
                    database.execute("COMMIT")
                except BaseException:
                    if database.in_transaction:
                        database.execute("ROLLBACK")
                    raise

    def _create(self, database: sqlite3.Connection) -> None:
        if self._find_format(database) is None:
            for statement in TABLES.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version={FORMAT}")

    def _find_format(self, database: sqlite3.Connection) -> int | None:
        """Return the format of the file; None if it is new."""
        version: int = database.execute("PRAGMA user_version").fetchone()[0]
        is_empty = not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if is_empty and not version:
            return None
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version > FORMAT:
            raise DataError("{path}: written by a newer version. Update the program.", path=self.path)
        if not tables >= {"forecasts", "outcomes"}:
            raise _refuse(self.path, "it holds other tables")
        return version

    def _select(self, query: str) -> Iterator[tuple[Any, ...]]:
        if self.path.is_dir():
            raise _refuse(self.path, "it is a folder")
        if not self.path.is_file():
            raise DataError("{path}: there is no ledger. Write one: kronos predict --log.", path=self.path)
        with _translate(self.path), closing(self._connect("ro")) as database:
            if self._find_format(database) is not None:
                yield from database.execute(query)

    def _connect(self, mode: str) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode={mode}"
        if mode == "ro" and not os.access(self.path.parent, os.W_OK) and not Path(f"{self.path}-wal").exists():
            uri += "&immutable=1"  # nobody writes: no files beside it are needed, which cannot be created here
        return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def write_record(forecast: LoggedForecast) -> str:
    """Return a forecast as the JSON that is sealed."""
    return json.dumps(forecast.model_dump(mode="json"), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def compute_seal(before: str, record: str) -> str:
    """Return the seal of a record after the seal of the record before it."""
    return hashlib.sha256(f"{before}\n{record}".encode()).hexdigest()


@contextmanager
def _translate(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith(UNWRITABLE):
            number = errno.ENOSPC if code == "SQLITE_FULL" else errno.EIO
            reason = os.strerror(number) if code == "SQLITE_FULL" else str(error)
            raise WriteError.about(path, OSError(number, reason), "--ledger") from error
        raise _refuse(path, first_line(error)) from error
    except OSError as error:
        raise WriteError.about(path, error, "--ledger") from error


def _refuse(path: Path, reason: str) -> DataError:
    return DataError(
        "{path}: not a ledger, or damaged ({reason}). Give another file with --ledger.", path=path, reason=reason
    )
