"""The configurations and the sample candles are found where the program is, and own files come first."""

from pathlib import Path

import pytest

from kronos.config import load_config
from kronos.config.load import build_reading_config
from kronos.disk import shipped
from kronos.disk.shipped import locate, shorten
from tests.conftest import ROOT


def test_a_shipped_file_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config("configs/demo.yaml")
    assert config.data.data_path == (ROOT / "data" / "season_5min.csv",)
    assert build_reading_config(["data/synthetic_5min.csv"]).data.data_path[0].is_file()
    for name in ("configs", "configs/none.yaml", "data/../pyproject.toml", "pyproject.toml", str(tmp_path / "data")):
        assert locate(Path(name)) == Path(name)


def test_an_own_file_of_the_same_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = Path("data/season_5min.csv")
    own.parent.mkdir()
    own.touch()
    assert load_config("configs/demo.yaml").data.data_path == (own,)


def test_a_wheel_has_them_in_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wheel/configs").mkdir(parents=True)
    (tmp_path / "wheel/configs/x.yaml").touch()
    monkeypatch.setattr(shipped, "ROOT", tmp_path / "wheel")
    assert locate(Path("configs/x.yaml")) == tmp_path / "wheel/configs/x.yaml"


def test_a_description_of_other_candles_is_forgotten() -> None:
    demo = ROOT / "configs" / "demo.yaml"
    assert "synthetic" in load_config(demo, ["training.batch_size=8"]).experiment.description
    assert load_config(demo, ["data.data_path=my.csv"]).experiment.description == ""
    given = ["data.data_path=my.csv", "experiment.description=mine"]
    assert load_config(demo, given).experiment.description == "mine"


def test_the_short_name_of_a_shipped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(ROOT / "data" / "season_5min.csv")
    assert shorten(path) == str(Path("data/season_5min.csv")) and locate(Path(shorten(path))) == Path(path)
    Path("data").mkdir()
    Path("data/season_5min.csv").touch()
    assert shorten(path) == path, "the short name is another file here"
    for other in ("https://a.b/c.csv", str(ROOT / "README.md"), "data/season_5min.csv", "a.csv (+2)"):
        assert shorten(other) == other
