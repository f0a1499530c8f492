"""The ledger as a file: sealed, whole after kill -9, of several writers one after another."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from kronos.errors import DataError, WriteError
from kronos.ledger.records import Outcome
from kronos.ledger.store import FIRST_SEAL, Ledger, compute_seal, write_record
from tests.conftest import ROOT
from tests.ledger.made import make_forecast

WRITER = """
import sys
from pathlib import Path
from kronos.ledger.store import Ledger
from tests.ledger.made import make_forecast
ledger = Ledger(Path(sys.argv[1]))
for n in range(int(sys.argv[2])):
    ledger.append([make_forecast(n, symbol=sys.argv[3]), make_forecast(n, symbol=sys.argv[3])])
    print(n, flush=True)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "new folder" / "ledger.db")


def test_what_is_written_is_read(ledger: Ledger) -> None:
    forecasts = [make_forecast(0), make_forecast(1, "中文"), make_forecast(2)]
    first = ledger.append(forecasts[:1])
    seal = ledger.append(forecasts[1:])
    entries = list(ledger.read())
    assert [entry.forecast for entry in entries] == forecasts and [entry.number for entry in entries] == [1, 2, 3]
    assert first == compute_seal(FIRST_SEAL, write_record(forecasts[0]))
    assert ledger.verify() == seal == entries[-1].seal
    assert [entry.number for entry in ledger.read(["中文"])] == [2]


def test_outcomes_stay_as_they_came_first(ledger: Ledger) -> None:
    ledger.append([make_forecast()])
    assert ledger.add_outcomes([Outcome(number=1, step=0, actual=101.5)]) == 1
    assert ledger.add_outcomes([Outcome(number=1, step=0, actual=9.0), Outcome(number=1, step=1, actual=99.0)]) == 1
    assert ledger.read_outcomes() == {1: {0: 101.5, 1: 99.0}}
    ledger.verify()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("UPDATE forecasts SET record = replace(record, '100.0', '101.0') WHERE number = 2", "forecast 2 does not fit"),
        ("UPDATE forecasts SET seal = '0' WHERE number = 1", "forecast 1 does not fit"),
        ("UPDATE forecasts SET record = (SELECT record FROM forecasts WHERE number = 3)", "forecast 1 does not fit"),
        ("DELETE FROM forecasts WHERE number = 1", "forecast 1 was removed"),
        ("DELETE FROM forecasts WHERE number = 2", "forecast 2 was removed"),
        (
            "INSERT INTO forecasts SELECT 0, symbol, record, seal FROM forecasts WHERE number = 1",
            "forecast 1 was removed",
        ),
    ],
)
def test_changes_break_the_seals(ledger: Ledger, change: str, text: str) -> None:
    ledger.append([make_forecast(n) for n in range(3)])
    with sqlite3.connect(ledger.path) as database:
        assert database.execute(change).rowcount
    with pytest.raises(DataError, match=text):
        ledger.verify()


def test_a_kept_seal_shows_that_the_end_was_cut_off(ledger: Ledger) -> None:
    first, second = ledger.append([make_forecast()]), ledger.append([make_forecast(1)])
    assert ledger.verify(first) == ledger.verify(second) == second
    with sqlite3.connect(ledger.path) as database:
        database.execute("DELETE FROM forecasts WHERE number = 2")
    assert ledger.verify(first) == first
    with pytest.raises(DataError, match=f"the seal {second} is not in it"):
        ledger.verify(second)


@pytest.mark.slow
@pytest.mark.process
def test_two_writers_do_not_mix(ledger: Ledger) -> None:
    n = 15
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, ledger.path, str(n), name], cwd=ROOT, stdout=subprocess.DEVNULL)
        for name in "AB"
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    entries = list(ledger.read())
    assert len(entries) == 4 * n and ledger.verify() == entries[-1].seal
    for first, second in zip(entries[::2], entries[1::2]):
        assert first.forecast == second.forecast  # of one transaction
    for name in "AB":
        origins = [entry.forecast.origin for entry in entries[::2] if entry.forecast.symbol == name]
        assert len(origins) == n and origins == sorted(origins)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("after", [1, 4])
def test_a_killed_writer_loses_nothing(ledger: Ledger, after: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, ledger.path, "100000", "A"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    for _ in range(after):
        written = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    n = len(list(ledger.read()))
    assert n >= 2 * (written + 1) and n % 2 == 0
    ledger.verify()
    ledger.append([make_forecast()])
    assert len(list(ledger.read())) == n + 1
    ledger.verify()


@pytest.mark.slow
def test_a_full_disk_leaves_what_was_written(ledger: Ledger) -> None:
    seal = ledger.append([make_forecast()])
    limited = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({ledger.path.stat().st_size + 60_000},) * 2)\n"
    )
    script = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + limited + WRITER
    done = subprocess.run(
        [sys.executable, "-c", script, ledger.path, "200", "B"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "WriteError" in done.stderr and f"{ledger.path}: cannot be written" in done.stderr, done.stderr
    entries = list(ledger.read())
    assert entries[0].seal == seal and len(entries) % 2 == 1
    ledger.verify()


def test_files_that_are_no_ledger(tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("no database " * 100)
    with sqlite3.connect(other := tmp_path / "other.db") as database:
        database.execute("CREATE TABLE t (a)")
    for path in (text, other):
        before = path.read_bytes()
        with pytest.raises(DataError, match="not a ledger, or damaged"):
            Ledger(path).append([make_forecast()])
        with pytest.raises(DataError, match="not a ledger, or damaged"):
            list(Ledger(path).read())
        assert path.read_bytes() == before
    for attempt in (lambda ledger: ledger.append([make_forecast()]), Ledger.newest):
        with pytest.raises(DataError, match="it is a folder"):
            attempt(Ledger(tmp_path))
    with pytest.raises(DataError, match="there is no ledger"):
        list(Ledger(tmp_path / "none.db").read())
    with pytest.raises(WriteError):
        Ledger(tmp_path / "text.db" / "under.db").append([make_forecast()])


def test_a_ledger_of_a_newer_version(ledger: Ledger) -> None:
    ledger.append([make_forecast()])
    with sqlite3.connect(ledger.path) as database:
        database.execute("PRAGMA user_version=2")
    with pytest.raises(DataError, match="newer version"):
        list(ledger.read())


def test_a_damaged_ledger(ledger: Ledger) -> None:
    ledger.append([make_forecast(n) for n in range(50)])
    with sqlite3.connect(ledger.path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    damaged = bytearray(ledger.path.read_bytes())
    damaged[5000:30000] = os.urandom(25_000)
    ledger.path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"damaged|seal"):
        ledger.verify()


def test_a_ledger_in_a_folder_that_cannot_be_written_is_read(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a read-only mount: the files that SQLite's log needs cannot be created."""
    seal = ledger.append([make_forecast()])
    monkeypatch.setattr("kronos.ledger.store.os.access", lambda path, mode: False)
    entries = ledger.read()
    assert next(entries).seal == seal
    assert [path.name for path in ledger.path.parent.iterdir()] == ["ledger.db"]
    entries.close()


def test_an_empty_file_is_an_empty_ledger(tmp_path: Path) -> None:
    (empty := Ledger(tmp_path / "empty.db")).path.touch()
    assert empty.newest() == 0 and empty.verify() == FIRST_SEAL and not empty.read_symbols()
