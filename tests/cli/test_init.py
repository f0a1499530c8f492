"""`kronos init`: a configuration for any candles, which loads and says why it is so; and configs/, which it wrote."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from kronos.config import load_config
from tests.conftest import ROOT, invoke
from tests.data.planted import make_frame

TEMPLATES = {"daily": "daily", "minute": "ashare_5min", "crypto": "crypto_1min", "many": "many_symbols"}
MODEL = ("--model", "NeoQuasar/Kronos-mini")


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_candles(name: str, n: int, freq: str, symbols: int = 1) -> Path:
    """Write a random walk; a folder of files if there are several symbols."""
    times = (
        pd.bdate_range("2019-01-02", periods=n) if freq == "B" else pd.date_range("2024-01-01", periods=n, freq=freq)
    )
    paths = [Path(name)] if symbols == 1 else [Path(name) / f"S{i}.csv" for i in range(symbols)]
    for i, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        close = 20 * np.exp(np.random.default_rng(i).normal(0, 0.01, n).cumsum())
        frame = pd.DataFrame(
            {"timestamps": times, "open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
        )
        frame.assign(volume=1.0).to_csv(path, index=False)
    return Path(name)


@pytest.mark.parametrize(
    ("name", "n", "freq", "symbols", "case", "sizes"),
    [
        ("daily.csv", 1200, "B", 1, "daily candles", (60, 10)),
        ("coin.csv", 20_000, "1min", 1, "a market that never closes", (360, 60)),
        ("many", 600, "B", 3, "many symbols", (60, 5)),
    ],
)
def test_what_the_candles_are_decides(
    name: str, n: int, freq: str, symbols: int, case: str, sizes: tuple[int, int]
) -> None:
    candles = write_candles(name, n, freq, symbols)
    done = invoke("init", candles, *MODEL)
    assert done.exit_code == 0, done.output
    path = Path(f"{candles.stem}.yaml")
    assert case in done.output and f"{n * symbols:,} candles" in done.output
    assert done.stdout.splitlines()[-1] == f"next: kronos train --config {path}"
    config = load_config(path)
    assert (config.data.lookback_window, config.data.predict_window) == sizes
    assert config.data.data_path == (candles,) and config.recipe == "safe" and config.training.lora
    assert config.model_paths.exp_name == candles.stem and config.data.balance_symbols == (symbols > 1)
    checked = invoke("check", "--config", path)
    assert checked.exit_code == 0 and f"With a lookback of {sizes[0]} " in checked.output


def test_keys_are_kept_and_the_comments_are_chinese() -> None:
    make_frame()[:2000].to_csv("我的 K线.csv", index=False)
    words = (
        "data.predict_window=12",
        "data.test_ratio=0.3",
        "data.train_ratio=0.6",
        "repairs.gaps=fill",
        "training.epochs=2",
    )
    done = invoke("init", "我的 K线.csv", "--language", "zh", "--out", "out/x.yaml", *MODEL, *words)
    assert (
        done.exit_code == 0
        and "有休市的市场的分钟线" in done.output
        and "下一步：kronos train --config out/x.yaml" in done.output
    )
    text = Path("out/x.yaml").read_text()
    assert "# 由 kronos init 为以下数据生成：我的 K线.csv" in text and "Needs" not in text and "预测的 K 线根数" in text
    config = load_config("out/x.yaml")
    assert (config.data.predict_window, config.data.test_ratio, config.training.epochs) == (12, 0.3, 2)
    assert config.report.language == "zh" and config.repairs.gaps == "fill" and config.model_paths.exp_name == "x"
    assert yaml.safe_load(text)["evaluation"]["budget_minutes"] == 10  # read by other programs as by this one


def test_a_path_with_a_command_in_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in the comments are named as the program was started; the candles are not."""
    monkeypatch.setattr("sys.argv", ["kline", "init"])
    write_candles("my kronos check.csv", 1200, "B")
    assert invoke("init", "my kronos check.csv", *MODEL, "--out", "x.yaml").exit_code == 0
    assert load_config("x.yaml").data.data_path == (Path("my kronos check.csv"),)
    assert "# Launch:" in Path("x.yaml").read_text() and "kline train --config x.yaml" in Path("x.yaml").read_text()


def test_a_model_of_one_s_own(golden_run: Path) -> None:
    write_candles("my.csv", 1200, "B")
    model = golden_run / "basemodel" / "best_model"
    assert invoke("init", "my.csv", "--model", model).exit_code == 0
    assert load_config("my.yaml").model_paths.pretrained_predictor == str(model)


def test_a_file_is_not_overwritten() -> None:
    write_candles("my.csv", 300, "B")
    Path("my.yaml").write_text("mine")
    refused = invoke("init", "my.csv", *MODEL)
    assert (
        refused.exit_code == 1
        and "my.yaml: the file exists" in refused.stderr
        and Path("my.yaml").read_text() == "mine"
    )
    assert invoke("init", "my.csv", *MODEL, "--force").exit_code == 0 and load_config("my.yaml")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no candles to write a configuration for"),
        (("--daily", "--crypto"), "--daily and --crypto: give one of them"),
        (("none.csv",), "none.csv: no such file"),
        (("--daily", "--out", "my.txt"), "ends in .yaml"),
        (("--daily", "data.lookback=3"), "lookback"),
        (("--daily", "--model", "nobody/else"), "nobody/else"),
        (("--daily", "training.batch_size=0"), "training.batch_size"),
    ],
)
def test_bad_usage_is_one_message(words: tuple[str, ...], message: str) -> None:
    done = invoke("init", *words)
    assert done.exit_code == 1 and message in done.stderr and "Traceback" not in done.output
    assert not list(Path().glob("*.yaml"))


def test_unusable_candles_are_refused_with_the_findings() -> None:
    frame = make_frame()[:300]
    frame.loc[100, "high"] = 1.0
    frame.to_csv("broken.csv", index=False)
    done = invoke("init", "broken.csv", *MODEL)
    assert (
        done.exit_code == 1
        and "how to correct the errors" in done.stdout
        and "no configuration is written" in done.stderr
    )
    few = write_candles("few.csv", 20, "B")
    done = invoke("init", few, *MODEL)
    assert done.exit_code == 1 and "no window fits" in done.stdout and not list(Path().glob("*.yaml"))


def test_another_template_than_the_candles_are_is_told() -> None:
    make_frame()[:2000].to_csv("a.csv", index=False)
    done = invoke("init", "a.csv", "--daily", *MODEL)
    assert done.exit_code == 0 and "but --daily sets lengths for others" in done.output and "(asked for)" in done.output


def test_names_from_outside_write_no_lines_of_their_own() -> None:
    name = "a\nrecipe: full\x1b[2J.csv"
    write_candles(name, 1200, "B")
    assert invoke("init", name, *MODEL, "--out", "safe.yaml").exit_code == 0
    config = load_config("safe.yaml")
    assert (
        config.data.data_path == (Path(name),)
        and config.recipe == "safe"
        and "\x1b" not in Path("safe.yaml").read_text()
    )


@pytest.mark.parametrize(("option", "name"), TEMPLATES.items())
def test_the_configurations_are_those_that_init_writes(option: str, name: str) -> None:
    """To write one anew: kronos init --daily --model NeoQuasar/Kronos-mini --out configs/daily.yaml --force."""
    path = f"configs/{name}.yaml"
    done = invoke("init", f"--{option}", *MODEL, "--out", path)
    assert done.exit_code == 0, done.output
    assert Path(path).read_text() == (ROOT / path).read_text()
    launch = next(line for line in Path(path).read_text().splitlines() if line.startswith("# Launch:"))
    assert f"next: {launch.removeprefix('# Launch:').strip()}" in done.output
    load_config(path, [word for word in shlex.split(launch) if word.startswith("data.")])


def test_a_template_fits_into_the_context_of_its_model() -> None:
    assert invoke("init", "--minute", "--model", "nano").exit_code == 0
    config = load_config("minute.yaml")
    assert config.data.window <= config.data.max_context == 144
