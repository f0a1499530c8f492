"""Fetch the result of a query from a DuckDB file, without rights to write or to read anything else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from kronos.data.elsewhere.arrow import ROWS_AT_A_TIME, write_batches
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.elsewhere.snapshot import Fetch, keep_time
from kronos.errors import ConfigError, DataError
from kronos.names import Message, name_file
from kronos.urls import Url

# Options of a connection that loads nothing.
CLOSED: dict[str, Any] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
}
ALWAYS_SET: dict[str, Any] = {
    "python_enable_replacements": "false",  # a table's name is no variable of this program
    "memory_limit": "1GB",  # what does not fit goes to the disk
    "max_temp_directory_size": "64GB",
}
QUERY_SECONDS = 60  # without a row
MAX_ROWS = 200_000_000
# After these statements it can reach nothing but the file, and no query can change that.
LOCK = ("SET enable_external_access = false",)
ALWAYS = ("SET enable_progress_bar = false", "SET lock_configuration = true")  # standard output may be JSON
INTERRUPTED = "INTERRUPT Error"
NO_ACCESS = re.compile(r"operations are disabled|disabled through|in the \w+ extension")


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
        raise DataError(template, url=url, looked=Message.join(dict.fromkeys(choices), " and ") or "nothing")
    return found.resolve()


def _write(url: Url, path: Path, query: str, external_access: bool, folder: Path) -> None:
    try:
        import duckdb
    except ImportError:
        template = "{url}: the package for databases is not installed. Run: pip install duckdb"
        raise DataError(template, url=url) from None
    target, temporary = folder / f"{name_file(path.stem)}.parquet", folder / "temporary"
    settings: dict[str, Any] = {"temp_directory": str(temporary), **ALWAYS_SET} | ({} if external_access else CLOSED)
    try:
        connection = duckdb.connect(path, read_only=True, config=settings)
    except duckdb.Error as error:
        raise _explain_connection(url, error) from None
    try:
        for statement in (*(() if external_access else LOCK), *ALWAYS):
            connection.execute(statement)
        _check_statement(url, connection.extract_statements(query), duckdb)
        with ThreadPoolExecutor(1) as thread:
            in_time = partial(_call_in_time, thread, connection.interrupt)
            reader = in_time(lambda: connection.sql(query).to_arrow_reader(ROWS_AT_A_TIME))
            batches = iter(lambda: in_time(lambda: next(reader, None)), None)
            rows = write_batches(_limit_rows(url, batches), reader.schema, target)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the disk, not the query
            raise
        raise _explain_query(url, query, error, duckdb) from None
    finally:
        connection.close()
        shutil.rmtree(temporary, ignore_errors=True)
    if not rows:
        raise DataError("{url}: data.query returns no rows.", url=url)
    keep_time(target, path.stat().st_mtime)


def _call_in_time(thread: ThreadPoolExecutor, interrupt: Callable[[], None], function: Callable[[], Any]) -> Any:
    """Call a function of a query, and interrupt it if it takes too long. Meanwhile, this thread answers signals."""
    called = thread.submit(function)
    with suppress(TimeoutError):
        return called.result(QUERY_SECONDS)
    interrupt()
    return called.result()


def _limit_rows(url: Url, batches: Iterator[Any]) -> Iterator[Any]:
    rows = 0
    for batch in batches:
        rows += len(batch)
        if rows > MAX_ROWS:
            template = "{url}: data.query returns more than {n:,} rows. Select fewer, with WHERE or LIMIT."
            raise DataError(template, url=url, n=MAX_ROWS)
        yield batch


def _check_statement(url: Url, statements: Sequence[Any], duckdb: Any) -> None:
    if len(statements) != 1:
        template = "{url}: data.query holds {n} statements. Give one SELECT."
        raise DataError(template, url=url, n=len(statements))
    kind = statements[0].type
    if kind != duckdb.StatementType.SELECT:
        template = "{url}: data.query is a statement of the kind {kind}. Only one SELECT is allowed: it reads, and changes nothing."
        raise DataError(template, url=url, kind=kind.name)


def _explain_connection(url: Url, error: Exception) -> DataError:
    reason = _shorten(error)
    if "set lock" in reason.lower():  # not a corrupt block
        template = "{url}: another program has the database open for writing. Close it there, or copy the file."
        return DataError(template, url=url)
    if "extension" in reason.lower():  # with the path of one, on this machine
        reason = "it is a database of another kind, such as SQLite"
    template = "{url}: this cannot be opened as a DuckDB database: {reason}. Check the file."
    return DataError(template, url=url, reason=reason)


def _explain_query(url: Url, query: str, error: Exception, duckdb: Any) -> DataError:
    reason = _shorten(error)
    if INTERRUPTED in str(error):
        template = "{url}: data.query returned no row for {n} seconds. Select less, or write the result into a table of the database first."
        return DataError(template, url=url, n=QUERY_SECONDS)
    if isinstance(error, duckdb.OutOfMemoryException):
        template = "{url}: data.query needs more than {limit} of memory. Select less, or write the result into a table of the database first."
        return DataError(template, url=url, limit=ALWAYS_SET["memory_limit"])
    if isinstance(error, duckdb.PermissionException) or NO_ACCESS.search(reason):
        template = (
            "{url}: data.query needs something outside the database ({reason}). That is off. If you trust the query, give "
            "data.external_access=true on the command line."
        )
        return DataError(template, url=url, reason=reason)
    template = "{url}: data.query cannot be run: {reason}. Correct the query: {query}"
    return DataError(template, url=url, reason=reason, query=query if len(query) <= 200 else f"{query[:200]} …")


def _shorten(error: Exception) -> str:
    return re.sub(r"^[A-Z][\w ]+ Error: ", "", str(error).strip().partition("\n")[0]).rstrip(".!")
