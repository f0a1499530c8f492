"""Folders of a refresh: one command forward, one back, and never without a run."""

from pathlib import Path

import pytest

from kronos.errors import ConfigError
from kronos.refresh.folders import name_new, name_previous, put_in_use, take_back


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
