"""Fetch the result of a query from a DuckDB file, without rights to write or to read anything else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from kronos.data.elsewhere.arrow import ROWS_AT_A_TIME, write_batches
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.elsewhere.snapshot import Fetch, keep_time
from kronos.errors import ConfigError, DataError
from kronos.urls import Url

# Options of a connection that can neither write nor reach anything but the file.
CLOSED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",  # a table name is no variable of this program
}
NO_ACCESS = re.compile(r"operations are disabled|disabled through configuration|disabled by configuration|extension")


def plan_query(url: Url, options: FetchOptions) -> Fetch:
    """Return the fetch of a query's result. Its key holds the query, and the size and time of the database.

    Raises:
        ConfigError: there is no query. DataError: there is no such file.
    """
    path = find_database(url)
    if not options.query or not options.query.strip():
        template = (
            "{url} needs a query. Give data.query, for example data.query='SELECT symbol, time, open, high, low, close, volume "
            "FROM candles ORDER BY symbol, time'."
        )
        raise ConfigError(template, url=url)
    files = [path, path.with_name(f"{path.name}.wal")]
    state = [(each.stat().st_size, each.stat().st_mtime_ns) for each in files if each.exists()]
    identity = {"database": str(path), "state": state, "query": options.query, "open": options.external_access}
    write = partial(_write, url, path, options.query, options.external_access)
    return Fetch(str(url), path.stem, identity, write, remote=options.external_access)


def find_database(url: Url) -> Path:
    """Return the file of duckdb:///relative.db or duckdb:////absolute.db; if only the other one exists, that.

    Raises:
        DataError: there is no such file.
    """
    rest = url.address.partition("://")[2].partition("?")[0]
    text = rest.removeprefix("/")
    choices = [Path(each).expanduser() for each in (text, f"/{text.lstrip('/')}") if text.strip("/")]
    found = next((path for path in choices if path.is_file()), None)
    if found is None:
        template = (
            "{url}: there is no such file (looked for {looked}). Write duckdb:///relative.db or duckdb:////absolute.db."
        )
        raise DataError(template, url=url, looked=" and ".join(map(str, dict.fromkeys(choices))) or "nothing")
    return found.resolve()


def _write(url: Url, path: Path, query: str, external_access: bool, folder: Path) -> None:
    try:
        import duckdb
    except ImportError:
        template = '{url}: the package for databases is not installed. Run: pip install "kronos-finetune[duckdb]"'
        raise DataError(template, url=url) from None
    temporary = folder / "temporary"
    settings: dict[str, Any] = {"temp_directory": str(temporary), "lock_configuration": "true"}
    with _translate_errors(url, query, duckdb):
        connection = duckdb.connect(path, read_only=True, config=settings | ({} if external_access else CLOSED))
        try:
            _check_statement(connection, query, duckdb)
            reader = connection.sql(query).to_arrow_reader(ROWS_AT_A_TIME)
            rows = write_batches(reader, reader.schema, folder / f"{path.stem}.parquet")
        finally:
            connection.close()
    if not rows:
        raise DataError("{url}: data.query returns no rows.", url=url)
    keep_time(folder / f"{path.stem}.parquet", path.stat().st_mtime)


def _check_statement(connection: Any, query: str, duckdb: Any) -> None:
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        raise DataError("data.query holds {n} statements. Give one SELECT.", n=len(statements))
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        template = (
            "data.query is a statement of the kind {kind}. Only one SELECT is allowed: it reads, and changes nothing."
        )
        raise DataError(template, kind=kind.name)


@contextmanager
def _translate_errors(url: Url, query: str, duckdb: Any) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        raise error.within("{url}", url=url) from None
    except duckdb.Error as error:
        raise _explain(url, query, error, duckdb) from None


def _explain(url: Url, query: str, error: Exception, duckdb: Any) -> DataError:
    lines = [line.strip() for line in str(error).splitlines()]
    reason = re.sub(r"^[A-Z][\w ]+ Error: ", "", lines[0]).rstrip(".")
    if re.search(r"not a valid DuckDB|is not a database|magic", str(error)) or "sqlite_scanner" in str(error):
        return DataError("{url}: this is not a DuckDB database.", url=url)
    if "lock" in lines[0].lower() and isinstance(error, duckdb.IOException):
        template = "{url}: another program has the database open for writing. Close it there, or copy the file."
        return DataError(template, url=url)
    if isinstance(error, duckdb.PermissionException) or NO_ACCESS.search(lines[0]):
        template = (
            "{url}: data.query reads something outside the database ({reason}). That is off. If you trust the query, give "
            "data.external_access=true on the command line."
        )
        return DataError(template, url=url, reason=reason)
    template = "{url}: data.query cannot be run: {reason}. Correct the query: {query}"
    return DataError(template, url=url, reason=reason, query=query if len(query) <= 200 else f"{query[:200]} …")
