"""Names of folders; files and folders that are written completely or not at all, and carry their checksum."""

import json
import os
from pathlib import Path

import pytest

from kronos import files
from kronos.disk.temporaries import HOST, name_complete
from kronos.errors import WriteError
from kronos.files import (
    find_sealed,
    is_whole,
    read_sealed,
    replacing_files,
    replacing_folder,
    restore_folder,
    seal_folder,
    write_json,
    write_sealed,
    write_text,
)
from kronos.names import shorten_names


def test_names_are_short_and_unique() -> None:
    folders = [Path(text) for text in ("/runs/a/demo", "/runs/b/demo", "/runs/small", "/other/b/demo", "/")]
    assert shorten_names(folders) == ["a/demo", "runs/b/demo", "small", "other/b/demo", "/"]
    assert shorten_names([Path("/demo"), Path("/x/demo")]) == ["/demo", "x/demo"]


def fill(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "two renames"])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool) -> None:
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda *folders: False)
    folder = tmp_path / "report"
    for names in (("a", "b"), ("b", "c")):
        with replacing_folder(folder, keep=lambda path: path.name == "notes") as new:
            fill(new, *names)
        assert {path.name for path in folder.iterdir()} == {*names, *(["notes"] if "c" in names else [])}
        fill(folder, "notes")
    with pytest.raises(ZeroDivisionError), replacing_folder(folder) as new:
        fill(new, "d")
        raise ZeroDivisionError
    assert {path.name for path in folder.iterdir()} == {"b", "c", "notes"} and list(tmp_path.iterdir()) == [folder]


def test_a_process_that_ends_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    fill(tmp_path / ".report.old", "a")
    restore_folder(tmp_path / "report")
    assert (tmp_path / "report/a").is_file() and not (tmp_path / ".report.old").exists()
    restore_folder(tmp_path / "never")


def test_files_replace_others_together_or_not_at_all(tmp_path: Path) -> None:
    fill(tmp_path, "BTC.csv", "ETH.csv")
    with pytest.raises(ZeroDivisionError), replacing_files(tmp_path, "BTC") as new:
        write_text(new / "BTC.csv", "newer")
        raise ZeroDivisionError
    assert (tmp_path / "BTC.csv").read_text() == "BTC.csv"
    with replacing_files(tmp_path, "BTC") as new:
        write_text(new / "BTC.csv", "newer")
        fill(new, "BTC.html")
        assert name_complete(new / "BTC.html") == tmp_path / "BTC.html"
    assert (tmp_path / "BTC.csv").read_text() == "newer"
    assert {path.name for path in tmp_path.iterdir()} == {"BTC.csv", "BTC.html", "ETH.csv"}
    (tmp_path / "BTC.html").unlink()
    (tmp_path / "BTC.html").mkdir()
    with pytest.raises(WriteError, match=r"/BTC.html: cannot be written"), replacing_files(tmp_path, "BTC") as new:
        fill(new, "BTC.html")


def test_a_folder_that_is_replaced_finds_what_a_killed_process_left(tmp_path: Path) -> None:
    fill(tmp_path / f".{HOST}-{2**22 + 5}.report", "a")
    with replacing_folder(tmp_path / "report") as new:
        fill(new, "b")
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="report: cannot be written"), replacing_folder(tmp_path / "file" / "report"):
        pass


@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "价" * 83 + ".csv"], ids=["ASCII", "Chinese"])
def test_the_longest_names(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "text")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_json_that_changed_is_refused(tmp_path: Path) -> None:
    path, value = tmp_path / "x.json", {"figures": [1.5, None, "涨"], "n": 3}
    write_sealed(path, value)
    assert read_sealed(path) == find_sealed(path) == value
    whole = path.read_text()
    for changed in (whole.replace("1.5", "1.6"), whole[:-9], "[1]", "[" * 100_000, ""):
        path.write_text(changed)
        with pytest.raises(ValueError):
            read_sealed(path)
        assert find_sealed(path) is None
    path.write_text(json.dumps(value))  # of an earlier version
    assert read_sealed(path) == value


def test_a_sealed_folder_holds_regular_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    seal_folder(tmp_path)
    assert is_whole(tmp_path)
    (tmp_path / "a").unlink()
    os.mkfifo(tmp_path / "a")  # opening it would wait forever
    assert not is_whole(tmp_path)


def test_json_shows_no_control_character_and_loses_none(tmp_path: Path) -> None:
    value = {"\x1b\x7f\x85\u202e\U000e0001": ["\ud800 a\nb"]}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text("utf-8")
    assert all(each.isprintable() or each == "\n" for each in text) and json.loads(text) == value
