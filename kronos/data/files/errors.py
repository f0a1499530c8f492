"""Collect what is wrong in a file, to report it at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kronos.candles import Array
from kronos.data.files.tables import Table
from kronos.errors import DataError
from kronos.names import Message


class ErrorsInRows:
    """Errors in rows of a table. lines: (N,) the places of the rows."""

    def __init__(self, table: Table, lines: Array) -> None:
        self.lines = lines
        self._table = table
        self.listed: list[DataError] = []

    def add(self, error: DataError, row: int) -> None:
        """Add an error without a place."""
        self._add_at(error, int(self.lines[row]))

    @contextmanager
    def collect(self, line: int) -> Iterator[None]:
        """Add an error that is raised within, at a line."""
        try:
            yield
        except DataError as error:
            self._add_at(error, line)

    def _add_at(self, error: DataError, line: int) -> None:
        table = self._table
        self.listed.append(error.within("{path}, {unit} {line}", path=table.path, unit=Message(table.unit), line=line))

    def raise_all(self) -> None:
        """Raise all errors as one, if there are any."""
        if self.listed:
            raise join_errors(self._table.path, self.listed)


def join_errors(path: Path, errors: Sequence[DataError]) -> DataError:
    """Return one error for several about a file, which begin with its path."""
    if len(errors) == 1:
        return errors[0]
    plain = [Message(error.template.removeprefix("{path}").lstrip(":, "), **error.values) for error in errors]
    parts = [Message("({n}) {text}", n=n, text=text.as_sentence()) for n, text in enumerate(plain, start=1)]
    return DataError(
        "{path}: {n} things are wrong. {listed}", path=path, n=len(errors), listed=Message.join(parts, " ")
    )
