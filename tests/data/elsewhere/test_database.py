from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

duckdb = pytest.importorskip("duckdb")

from kronos.config.load import build_reading_config, dump_config, load_config
from kronos.data import load_candles
from kronos.data.elsewhere import database as module
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.files.read import read_file
from kronos.data.windows.load import read_candles
from kronos.errors import ConfigError, DataError
from kronos.urls import Url
from tests.conftest import ROOT
from tests.data.elsewhere.conftest import make_candles

ALL = "SELECT * FROM candles ORDER BY symbol, timestamps"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a database of two symbols and a view of a file."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "other.csv").write_text("a,b\n1,2\n")
    with duckdb.connect("c.db") as connection:
        for n, symbol in enumerate(("A", "B")):
            connection.register("frame", make_candles(300, n).assign(symbol=symbol))
            verb = "INSERT INTO candles" if n else "CREATE TABLE candles AS"
            connection.execute(f"{verb} SELECT * FROM frame")
        connection.execute(f"CREATE VIEW outside AS SELECT * FROM read_csv('{folder}/other.csv')")
    return folder


def fetch(options: FetchOptions, query: str | None = ALL, url: str = "duckdb:///c.db") -> Path:
    (file,) = gather_files([Url(url)], replace(options, query=query)).files
    return file


def test_a_query_gives_candles(folder: Path, options: FetchOptions) -> None:
    file = fetch(options)
    assert [(raw.symbol, len(raw)) for raw in read_file(file)] == [("A", 300), ("B", 300)]
    assert np.allclose(read_file(file)[1].values[:, 3], make_candles(300, 1).close)
    assert file.stat().st_mtime == pytest.approx((folder / "c.db").stat().st_mtime)


def test_types_that_only_databases_have(folder: Path, options: FetchOptions) -> None:
    query = (
        "SELECT timestamps::TIMESTAMPTZ AS time, open::DECIMAL(18, 4) AS open, high::DECIMAL(18, 4) AS high, "
        "low::FLOAT AS low, close, volume::HUGEINT AS volume, symbol::ENUM ('A', 'B') AS symbol FROM candles"
    )
    first = read_file(fetch(options, query))[0]
    assert first.zoned and first.symbol == "A" and np.allclose(first.values[:, 4], make_candles(300).volume)


@pytest.mark.parametrize(
    "url", ["duckdb:///c.db", "duckdb://c.db", "duckdb:///{folder}/c.db", "duckdb://{folder}/c.db"]
)
def test_paths_of_databases(folder: Path, options: FetchOptions, url: str) -> None:
    assert fetch(options, url=url.format(folder=folder)).name == "c.parquet"


def test_a_change_is_seen(folder: Path, options: FetchOptions) -> None:
    before = fetch(options)
    assert fetch(options) == before and fetch(options, f"{ALL} LIMIT 20") != before
    with duckdb.connect("c.db") as connection:
        connection.execute("DELETE FROM candles WHERE symbol = 'B'")
    assert [raw.symbol for raw in read_file(fetch(options))] == ["A"]


ATTACKS = {
    "INSERT INTO candles SELECT * FROM candles": "of the kind INSERT",
    "DELETE FROM candles": "of the kind DELETE",
    "DROP TABLE candles": "of the kind DROP",
    "CREATE TEMP TABLE a AS SELECT 1": "of the kind CREATE",
    "COPY candles TO 'stolen.csv'": "of the kind COPY",
    "EXPORT DATABASE 'stolen'": "of the kind EXPORT",
    "ATTACH 'new.db'": "of the kind ATTACH",
    "PRAGMA database_list": "of the kind PRAGMA",
    "CALL pragma_version()": "of the kind CALL",
    "INSTALL httpfs": "of the kind LOAD",
    "LOAD httpfs": "of the kind LOAD",
    "SET enable_external_access = true": "of the kind SET",
    "EXPLAIN ANALYZE SELECT 1": "of the kind EXPLAIN",
    "SELECT 1; COPY candles TO 'stolen.csv'": "holds 2 statements",
    "SELECT 1 -- \n; DROP TABLE candles": "holds 2 statements",
    "-- nothing": "holds 0 statements",
    "SELECT * FROM read_csv('other.csv')": "needs something outside",
    "SELECT * FROM 'other.csv'": "needs something outside",
    "SELECT * FROM read_text('/etc/hostname')": "needs something outside",
    "SELECT * FROM glob('/*')": "needs something outside",
    "SELECT * FROM outside": "needs something outside",
    "SELECT * FROM read_parquet('http://127.0.0.1:1/a.parquet')": "needs something outside",
    "SELECT * FROM sqlite_scan('a', 'b')": "needs something outside",
    "SELECT * FROM query('COPY candles TO ''stolen.csv''')": "cannot be run",
    "WITH a AS (DELETE FROM candles RETURNING *) SELECT * FROM a": "cannot be run",
    "SELECT * FROM secret_variable": "cannot be run: Table with name secret_variable does not exist",
    "SELECT * FROM nowhere": "cannot be run: Table with name nowhere does not exist",
    "SELEC 1": "cannot be run: syntax error",
    "SELECT * FROM candles WHERE false": "returns no rows",
}


@pytest.mark.parametrize(("query", "message"), ATTACKS.items())
def test_a_query_reads_the_database_and_nothing_else(
    folder: Path, options: FetchOptions, query: str, message: str
) -> None:
    secret_variable = make_candles(10)  # noqa: F841  DuckDB reads variables of Python by default
    before = (folder / "c.db").read_bytes()
    with pytest.raises(DataError, match=message) as error:
        fetch(options, query)
    assert "\n" not in str(error.value).replace(query, "")
    assert (folder / "c.db").read_bytes() == before
    assert {path.name for path in folder.iterdir()} == {"c.db", "other.csv"}
    assert not list(options.cache_dir.rglob("*.parquet"))


def test_nothing_in_a_query_opens_what_is_locked(folder: Path, options: FetchOptions) -> None:
    for setting in ("enable_external_access", "lock_configuration", "autoload_known_extensions"):
        query = f"SELECT current_setting('{setting}') AS value"
        expected = setting == "lock_configuration"
        assert duckdb.read_parquet(str(fetch(options, query))).fetchall() == [(expected,)]


def test_external_access_is_for_the_command_line(folder: Path, options: FetchOptions) -> None:
    opened = replace(options, external_access=True)
    file = fetch(opened, "SELECT * FROM read_csv('other.csv')")
    assert duckdb.read_parquet(str(file)).fetchall() == [(1, 2)]
    with pytest.raises(DataError, match="of the kind COPY"):  # it still reads only
        fetch(opened, "COPY candles TO 'stolen.csv'")
    with pytest.raises(DataError, match="needs something outside"):  # the key holds the rights
        fetch(options, "SELECT * FROM read_csv('other.csv')")


def test_external_access_in_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("data:\n  data_path: duckdb:///c.db\n  external_access: true\n")
    with pytest.raises(ConfigError, match=r"a\.yaml:3: data\.external_access lets a query.*command line"):
        load_config(path)
    config = build_reading_config(["duckdb:///c.db"], ["data.external_access=true", "data.refetch=true"])
    assert config.data.external_access and config.data.refetch
    saved = dump_config(config)
    assert "external_access: false" in saved and "refetch: false" in saved


def test_a_query_and_a_database_belong_together(folder: Path, options: FetchOptions) -> None:
    for query in (None, "  "):
        with pytest.raises(ConfigError, match=r"c\.db needs a query.*data\.query="):
            fetch(options, query)
    with pytest.raises(ConfigError, match=r"data\.query needs a database"):
        gather_files([folder / "other.csv"], replace(options, query="SELECT 1"))


def test_a_file_that_is_no_database(folder: Path, options: FetchOptions) -> None:
    (folder / "text.db").write_text("no database " * 1000)
    for name in ("text.db", "other.csv"):
        with pytest.raises(DataError, match="cannot be opened as a DuckDB database"):
            fetch(options, url=f"duckdb:///{name}")
    with pytest.raises(DataError, match=r"no such file \(looked for missing\.db and /missing\.db\)"):
        fetch(options, url="duckdb:///missing.db")


@pytest.mark.process
def test_a_database_that_another_program_writes(folder: Path, options: FetchOptions) -> None:
    code = "import duckdb, sys; c = duckdb.connect('c.db'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout and other.stdout.readline()
        with pytest.raises(DataError, match="another program has the database open"):
            fetch(options)
        other.communicate()
    assert fetch(options)


def test_without_the_package(folder: Path, options: FetchOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(DataError, match="pip install duckdb"):
        fetch(options)


def test_read_candles_takes_a_query(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    frame = read_candles("duckdb:///c.db", query="SELECT * EXCLUDE (symbol) FROM candles WHERE symbol = 'B'")
    assert len(frame) == 300 and np.allclose(frame["close"], make_candles(300, 1).close)


def write_numbers(path: Path, n: int) -> str:
    """Write a table of numbers, and return a query that makes candles of them."""
    with duckdb.connect(path) as connection:
        connection.execute(f"CREATE TABLE numbers AS SELECT i FROM range({n}) t(i)")
    return (
        "SELECT 'S' || (i % 20) AS symbol, TIMESTAMP '2020-01-01' + INTERVAL (i // 20) MINUTE AS time, 100.0 + sin(i) AS open, "
        "102.0 AS high, 98.0 AS low, 100.0 + cos(i) AS close, 1 + i % 7 AS volume FROM numbers"
    )


def test_a_million_candles(tmp_path: Path, options: FetchOptions) -> None:
    query = write_numbers(tmp_path / "c.db", 1_000_000)
    assert pq.read_metadata(fetch(options, query, f"duckdb:///{tmp_path}/c.db")).num_rows == 1_000_000


MEASURE = """
import resource, sys
from pathlib import Path
from kronos.data.elsewhere import database as module
from kronos.data.elsewhere.gather import gather_files
from kronos.data.elsewhere.options import FetchOptions
from kronos.urls import Url
import duckdb
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
gather_files([Url(sys.argv[1])], FetchOptions(Path(sys.argv[2]), query=sys.argv[3]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.slow
@pytest.mark.process
def test_the_result_is_streamed(tmp_path: Path) -> None:
    """Five million candles, 300 MB, take no more memory than one million."""
    query = write_numbers(tmp_path / "c.db", 5_000_000)
    words = [sys.executable, "-c", MEASURE, f"duckdb:///{tmp_path}/c.db", str(tmp_path / "cache"), query]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 150  # MB; and nothing else is printed


@pytest.mark.slow
def test_a_million_candles_are_read(tmp_path: Path) -> None:
    query = write_numbers(tmp_path / "c.db", 1_000_000)
    given = [f"data.cache_dir={tmp_path}/cache", f"data.query={query}"]
    config = build_reading_config([f"duckdb:///{tmp_path}/c.db"], given)
    assert len(load_candles(config.data, config.repairs).candles) == 1_000_000


ENDLESS = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t)"


@pytest.mark.parametrize("query", [f"{ENDLESS} SELECT count(*) FROM t", f"{ENDLESS} SELECT n FROM t WHERE n < 0"])
def test_a_query_without_end(folder: Path, options: FetchOptions, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kronos.data.elsewhere.database.QUERY_SECONDS", 0.05)
    with pytest.raises(DataError, match="returned no row for"):
        fetch(options, query)


@pytest.mark.slow
@pytest.mark.process
def test_a_signal_during_a_query(folder: Path) -> None:
    """The process ends at once, not after QUERY_SECONDS."""
    query = (
        "SELECT a.* FROM candles a, candles b, candles c, candles d, candles e WHERE md5(concat(a, b, c, d, e)) = 'x'"
    )
    words = [sys.executable, "-m", "kronos", "check", "duckdb:///c.db", f"data.query={query}"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr
        while "Fetching" not in process.stderr.readline():
            assert process.poll() is None
        time.sleep(2)  # it is within the query, at the latest after the import of DuckDB
        process.send_signal(signal.SIGTERM)
        message = process.communicate(timeout=module.QUERY_SECONDS / 2)[1]
    assert process.returncode == 143 and "stopped by SIGTERM" in message


def test_rows_without_end(folder: Path, options: FetchOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kronos.data.elsewhere.database.MAX_ROWS", 100_000)
    with pytest.raises(DataError, match="more than 100,000 rows"):
        fetch(options, "SELECT range AS time FROM range(1000000000000)")


def test_a_query_that_fills_the_memory(folder: Path, options: FetchOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.ALWAYS_SET, "memory_limit", "50MB")
    with pytest.raises(DataError, match="needs more than 50MB of memory"):
        fetch(options, "SELECT list(range) FROM range(100000000)")


def test_an_error_after_the_first_rows_is_one_of_the_query(folder: Path, options: FetchOptions) -> None:
    with pytest.raises(DataError, match="query cannot be run: Could not convert"):
        fetch(options, "SELECT CAST(CASE WHEN range = 300000 THEN 'x' ELSE '1' END AS INT) AS open FROM range(400000)")


def test_a_damaged_block_is_no_lock(folder: Path, options: FetchOptions) -> None:
    content = bytearray((folder / "c.db").read_bytes())
    content[12288::97] = bytes(255 - each for each in content[12288::97])
    (folder / "bad.db").write_bytes(content)
    with pytest.raises(DataError, match="cannot be opened as a DuckDB database"):
        fetch(options, url="duckdb:///bad.db")


def test_a_database_of_another_kind(tmp_path: Path, options: FetchOptions) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE candles (time TEXT)")
        connection.commit()
    with pytest.raises(DataError, match=r"a database of another kind, such as SQLite\. Check the file") as error:
        gather_files([Url(f"duckdb:///{tmp_path}/a.db")], replace(options, query="SELECT 1"))
    assert ".duckdb" not in str(error.value)
