from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kronos.data.elsewhere import snapshot as module
from kronos.data.elsewhere.options import FetchOptions
from kronos.data.elsewhere.snapshot import RECORD, Fetch, fetch_once
from kronos.errors import DataError


def make_fetch(written: list[str] | None = None, identity: str = "a") -> Fetch:
    def write(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "a.csv").write_text("1")
        (folder / "sub" / "b.csv").write_text(f"two {len(written or [])}")
        if written is not None:
            written.append(str(folder))

    return Fetch("s3://bucket/a", "a", {"url": identity}, write)


def test_the_record(options: FetchOptions) -> None:
    snapshot = fetch_once(make_fetch(), options)
    record = json.loads((snapshot.folder / RECORD).read_text())
    assert record["source"] == "s3://bucket/a" and record["sha256"] == snapshot.sha256
    assert [(each["name"], each["size"]) for each in record["files"]] == [("a.csv", 1), ("sub/b.csv", 5)]
    assert snapshot.files == (snapshot.folder / "a.csv", snapshot.folder / "sub" / "b.csv")
    assert datetime.now(UTC) - snapshot.fetched < timedelta(minutes=1)
    assert fetch_once(make_fetch(identity="b"), options).sha256 == snapshot.sha256  # the same content


def test_what_is_complete_is_not_fetched_again(options: FetchOptions) -> None:
    written: list[str] = []
    first = fetch_once(make_fetch(written), options)
    assert fetch_once(make_fetch(written), options) == first and len(written) == 1


@pytest.mark.parametrize("damage", ["another size", "one bit", "record gone", "record changed"])
def test_what_is_damaged_is_fetched_again(options: FetchOptions, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    folder = fetch_once(make_fetch(), options).folder
    record = (folder / RECORD).read_text()
    (folder / "a.csv").write_text({"another size": "changed", "one bit": "0"}.get(damage, "1"))
    (folder / RECORD).write_text(record.replace('"s3://bucket/a"', '"s3://bucket/b"') if "record" in damage else record)
    if damage == "record gone":
        (folder / RECORD).unlink()
    again = fetch_once(make_fetch(), options)
    assert (again.source, (folder / "a.csv").read_text()) == ("s3://bucket/a", "1")
    assert f"{folder} is damaged or incomplete and is fetched again" in caplog.text


def test_refetch_replaces_what_an_earlier_process_fetched(
    options: FetchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    refetch = replace(options, refetch=True)
    first = fetch_once(make_fetch(written), refetch)
    assert fetch_once(make_fetch(written), refetch) == first  # by this process, or another rank
    monkeypatch.setattr(module, "_start_of_process", lambda: datetime.now(UTC) + timedelta(minutes=1))
    again = fetch_once(make_fetch(written), refetch)
    assert again.folder == first.folder and again.sha256 != first.sha256


def test_a_failed_fetch_leaves_nothing_and_keeps_the_earlier_one(
    options: FetchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        (folder / "half.csv").write_text("1")
        raise DataError("the connection was lost.")

    failing = replace(make_fetch(), write=fail)
    with pytest.raises(DataError, match="lost"):
        fetch_once(failing, options)
    assert not list(options.cache_dir.rglob("*.csv"))
    first = fetch_once(make_fetch(), options)
    monkeypatch.setattr(module, "_start_of_process", lambda: datetime.now(UTC) + timedelta(minutes=1))
    with pytest.raises(DataError, match="lost"):
        fetch_once(failing, replace(options, refetch=True))
    assert fetch_once(failing, options) == first


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(DataError, match=r"s3://bucket/a cannot be written there.*data\.cache_dir"):
        fetch_once(make_fetch(), FetchOptions(tmp_path / "cache"))


def _fetch_slowly(folder: Path, results: multiprocessing.Queue[tuple[bool, str]]) -> None:
    import time

    wrote = []

    def write(new: Path) -> None:
        time.sleep(0.3)
        (new / "a.csv").write_text("1")
        wrote.append(new)

    snapshot = fetch_once(Fetch("x", "x", {}, write), FetchOptions(folder))
    results.put((bool(wrote), snapshot.sha256))


@pytest.mark.process
def test_one_of_several_processes_fetches(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_fetch_slowly, args=(tmp_path, results)) for _ in range(4)]
    for process in processes:
        process.start()
    found = [results.get(timeout=30) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(wrote for wrote, _ in found) == [False, False, False, True]
    assert len({digest for _, digest in found}) == 1
