"""The gallery: the page shows the commands of the script, and the script makes pictures."""

import sys
from pathlib import Path

import pytest
import typer

from kronos.cli.main import app
from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "examples"))

import make_gallery

PAGES = [ROOT / "docs" / "gallery.md", ROOT / "docs" / "zh" / "gallery.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_the_page_shows_each_picture_with_its_command(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = [make_gallery.TRAIN, *(picture.command for picture in make_gallery.GALLERY.values())]
    assert text.count("```bash\n") == len(shown)
    for command in shown:
        assert f"```bash\npython -m kronos {command}\n```" in text
    for name in make_gallery.GALLERY:
        picture = ROOT / "docs" / "gallery" / f"{name}.png"
        assert f"gallery/{name}.png)" in text and 5_000 < picture.stat().st_size < 150_000


@pytest.mark.parametrize("command", [make_gallery.TRAIN, *(each.command for each in make_gallery.GALLERY.values())])
def test_the_commands_parse(command: str) -> None:
    subcommand, *words = make_gallery.shlex.split(command)
    known = typer.main.get_command(app).commands[subcommand]
    known.make_context(subcommand, words)  # raises for an unknown option or value


@pytest.mark.slow
def test_it_makes_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    made = make_gallery.make("random_walk", tmp_path / "pictures", ["--paths", "2", "--horizon", "2"])
    assert made == tmp_path / "pictures" / "random_walk.png" and made.read_bytes()[:4] == b"\x89PNG"


def test_the_daily_candles_are_several_symbols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_gallery, "N_DAYS", 30)
    make_gallery.write_daily_candles(tmp_path)
    assert len(list(tmp_path.glob("*.csv"))) == 4
    assert f"{make_gallery.GALLERY['daily'].series}.csv" in {path.name for path in tmp_path.glob("*.csv")}
