"""The wheel: what it carries, and three users who have nothing else, each in a folder outside the clone."""

import os
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kronos.config import load_config
from tests.conftest import ROOT

NEEDED = (
    *("kronos/__init__.pyi", "kronos/model/__init__.pyi"),
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


Shell = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of a new environment with the wheel. It borrows the other packages, to save minutes."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    own = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))
    (own / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    commands = Path(sysconfig.get_path("scripts", "venv", {"base": str(folder)}))
    options = ("--no-deps", "--no-index", "--disable-pip-version-check", "-q")
    pip = [sys.executable, "-m", "pip", "--python", commands / "python", "install", *options, wheel]
    subprocess.run(pip, check=True)
    return commands


@pytest.fixture
def shell(installed: Path, tmp_path: Path) -> Shell:
    """Run a line as a user types it, in an empty folder, without a GPU and without a network."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "LC_ALL", "LANG")
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    environment |= {
        "PATH": f"{installed}{os.pathsep}{environment['PATH']}",
        "CUDA_VISIBLE_DEVICES": "",
        "COLUMNS": "80",
    }

    def run(line: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            shlex.split(line), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert "Traceback" not in done.stderr and str(ROOT) not in done.stdout + done.stderr, done.stderr
        return done

    return run


def next_command(printed: str) -> str:
    """Return the command after "next:", in either language."""
    (line,) = [line for line in printed.splitlines() if line.startswith(("next: ", "下一步："))]
    return line.partition("：" if "：" in line else ": ")[2]


TINY = "training.epochs=1 evaluation.n_paths=10 evaluation.invented_drift=false evaluation.rivals=[pretrained,last_close] report.n_origins=1"


@pytest.mark.slow
def test_chinese_with_the_yaml_of_upstream(shell: Shell, tmp_path: Path) -> None:
    """Own candles with Chinese headings, `use_cuda: true` without a GPU, and nano, as there is no hub."""
    upstream = (ROOT / "configs/config_ali09988_candle-5min.yaml").read_text()
    upstream = upstream.replace("data/HK_ali_09988_kline_5min_all.csv", "阿里 5分钟.csv")
    (tmp_path / "ali.yaml").write_text(upstream + "\ndevice:\n  use_cuda: true\n", encoding="utf-8")
    frame = pd.read_csv(ROOT / "data/season_5min.csv")[:1500]
    frame.columns = ["时间", "开盘", "最高", "最低", "收盘", "成交量", "成交额"]
    frame.to_csv(tmp_path / "阿里 5分钟.csv", index=False, encoding="gb18030")
    checked = shell(
        "kronos check --config ali.yaml --language zh data.train_ratio=0.6 data.val_ratio=0.2 data.test_ratio=0.2"
    )
    assert "1,500 根 K 线" in checked.stdout and "loading" not in checked.stderr
    sizes = "data.lookback_window=32 data.predict_window=8 data.max_context=40 data.windows_per_epoch=64"
    stages = "training.tokenizer_epochs=1 training.basemodel_epochs=1"
    models = "model_paths.pretrained_tokenizer=nano model_paths.pretrained_predictor=nano"
    command = f"kline train --config ali.yaml --language zh {models} {sizes} {stages} {TINY.partition(' ')[2]}"
    done = shell(command)
    assert done.returncode == 0, done.stderr
    assert "use_cuda" in done.stderr and "GPU" in done.stderr  # one warning, and the CPU is used
    assert "预训练模型" in done.stdout and "finetuned/HK_ali_09988_kline_5min_all/report/index.html" in done.stdout
    assert (tmp_path / "finetuned/HK_ali_09988_kline_5min_all/report/index.html").is_file()


@pytest.mark.slow
def test_a_laptop_without_a_gpu(shell: Shell, tmp_path: Path) -> None:
    listed = shell("kronos")
    assert "demo" in listed.stdout and shell("python -m kronos --version").stdout == shell("kline --version").stdout
    done = shell(f"kronos demo data.val_windows=16 {TINY}")
    assert done.returncode == 0, done.stderr
    assert "Should I believe it?" in done.stdout and "kronos init FILE" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"finetuned"}
    assert shell("kronos predict --run finetuned/demo --paths 5").returncode == 0
    assert shell("kronos check data/season_5min.csv").returncode == 0
    assert (
        shell("kronos train --config configs/daily.yaml --dry-run").returncode == 1
    )  # of the candles, not of the file


@pytest.mark.slow
def test_daily_candles_and_a_question(shell: Shell, tmp_path: Path) -> None:
    """Is there anything to learn in five years of a stock? check, init, train, the verdict, predict; each names the next."""
    close = 20 * np.exp(np.random.default_rng(0).normal(0, 0.01, 1200).cumsum())
    days = pd.bdate_range("2019-01-02", periods=1200)
    frame = pd.DataFrame({"Date": days, "Open": close, "High": close * 1.01, "Low": close * 0.99, "Close": close})
    frame.assign(Volume=1e6).to_csv(tmp_path / "ACME.csv", index=False)
    checked = shell("kronos check ACME.csv")
    assert checked.returncode == 0 and next_command(checked.stdout) == "kronos init ACME.csv"
    written = shell(f"{next_command(checked.stdout)} --model nano")
    assert written.returncode == 0 and "daily candles" in written.stdout, written.stderr
    config = load_config(tmp_path / "ACME.yaml")
    assert config.data.lookback_window + config.data.predict_window <= config.data.max_context
    done = shell(f"{next_command(written.stdout)} {TINY}")
    assert done.returncode == 0, done.stderr
    assert "ACME.csv: 1,200 candles, 1 day" in done.stderr and "synthetic" not in done.stderr.replace("nano", "")
    assert "Fine-tuning changed nothing" in done.stdout or "too little data to tell" in done.stdout
    forecast = shell("kronos predict --run finetuned/ACME --paths 5")
    assert forecast.returncode == 0 and "2023-" in forecast.stdout
