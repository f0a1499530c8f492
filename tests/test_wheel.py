"""What the wheel carries: the program, its configurations, the sample candles and nano; nothing of the workshop."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

NEEDED = (
    *("kronos/__main__.py", "kronos/py.typed", "kronos/report/words/zh.yaml", "kronos/report/templates/report.html.j2"),
    *(f"kronos/model/nano/{model}/{file}" for model in ("tokenizer", "basemodel") for file in ("model.safetensors",)),
    *(f"kronos/shipped_files/data/{name}_5min.csv" for name in ("season", "synthetic")),
)
MAX_BYTES = 3_000_000


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-q")
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "-w", folder, ROOT], check=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_contents_of_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    configs = {path.relative_to(ROOT).as_posix() for path in (ROOT / "configs").rglob("*.yaml")}
    assert {*NEEDED, *(f"kronos/shipped_files/{name}" for name in configs)} <= names
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kronos").rglob("*.py")}
    assert sources == {name for name in names if name.endswith(".py")}
    assert {name.split("/")[0].split("-")[0] for name in names} == {"kronos", "kronos_finetune"}
    assert wheel.stat().st_size < MAX_BYTES
    assert "kronos = kronos.cli.start:main" in entry_points and "kline = kronos.cli.start:main" in entry_points
