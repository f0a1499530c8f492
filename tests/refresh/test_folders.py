"""Folders of a refresh: one command forward, one back, and never without a run."""

from pathlib import Path

import pytest

from kronos.errors import ConfigError
from kronos.files import name_old
from kronos.refresh.folders import finish_exchange, name_new, name_previous, put_in_use, take_back


def make(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "name").write_text(text)


def read(folder: Path) -> str:
    return (folder / "name").read_text()


@pytest.mark.parametrize("exchanges", [True, False])
def test_forward_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool) -> None:
    if not exchanges:
        monkeypatch.setattr("kronos.files._exchange", lambda first, second: False)
    run = tmp_path / "my"
    make(run, "1")
    for n in ("2", "3"):
        make(name_new(run), n)
        put_in_use(run)
        assert read(run) == n and not name_new(run).exists()
    assert read(name_previous(run)) == "2"
    take_back(run)
    assert (read(run), read(name_previous(run))) == ("2", "3")
    take_back(run)
    assert (read(run), read(name_previous(run))) == ("3", "2")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my", "my.previous"]


def test_nothing_to_go_back_to(tmp_path: Path) -> None:
    make(tmp_path / "my", "1")
    with pytest.raises(ConfigError, match="no earlier run"):
        take_back(tmp_path / "my")


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ({".my.new": "1", "my": "2", "my.previous": "0"}, {"my": "2", "my.previous": "1"}),  # after the exchange
        ({".my.new": "2", "my": "1"}, {".my.new": "2", "my": "1"}),  # before it
        ({".my.new": "2", ".my.old": "1"}, {".my.new": "2", "my": "1"}),  # no exchange in one step: the first of three
        ({".my.old": "1", "my": "2"}, {"my": "2", "my.previous": "1"}),  # the second
        ({".my.old": "2", "my.previous": "1"}, {"my": "2", "my.previous": "1"}),  # on the way back
    ],
)
def test_an_exchange_that_was_killed(tmp_path: Path, folders: dict[str, str], expected: dict[str, str]) -> None:
    run = tmp_path / "my"
    assert (name_new(run).name, name_old(run).name) == (".my.new", ".my.old")
    for name, text in folders.items():
        make(tmp_path / name, text)
    finish_exchange(run, lambda left: read(left) == "1")
    assert {path.name: read(path) for path in tmp_path.iterdir()} == expected
