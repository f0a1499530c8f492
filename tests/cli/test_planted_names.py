"""Names with ESC, BEL, line ends, bidi marks and formulas through every command: nothing reaches an output raw."""

import json
from pathlib import Path

import pytest
from matplotlib.image import imread
from typer.testing import CliRunner, Result

from kronos.cli.main import app
from kronos.names import name_cell
from tests.conftest import GOLDEN, ROOT

EVIL = "\x1b[31mX\x07\u202e\r\n$\\frac{=cmd|' /C calc'!A0"
FORMULA = "=cmd|' /C calc'!A0"
CSV = (ROOT / "data" / "synthetic_5min.csv").read_text().splitlines()[:153]
MODELS = ("--tokenizer", GOLDEN / "tokenizer", "--model", GOLDEN / "predictor")
SMALL = ("--horizon", 6, "--lookback", 30, "--paths", 4)


def invoke(*arguments: object, **environment: str) -> Result:
    result = CliRunner().invoke(app, [*map(str, arguments)], env=environment)
    assert not isinstance(result.exception, Exception), result.exception
    for text in (result.stdout, result.stderr):
        raw = {each for each in text if not each.isprintable() and each not in "\n\t"}
        assert not raw, (arguments, raw, text)
        assert "\nX" not in text, "a name began a line"
    return result


@pytest.fixture
def candles(tmp_path: Path) -> Path:
    """Three symbols in one file, with odd names of columns."""
    lines = [f"{CSV[0]},symbol,\x1b[2Jextra\u202e"]
    for symbol in (EVIL, FORMULA, "GOOD"):
        quoted = symbol.replace('"', '""')
        lines += [f'{line},"{quoted}",1' for line in CSV[1:]]
    path = tmp_path / "many" / "\x1b]0;name\x07\u202e.csv"
    path.parent.mkdir()
    path.write_bytes("\n".join(lines).encode())
    return path


@pytest.mark.parametrize("language", ["en", "zh"])
def test_check(candles: Path, language: str) -> None:
    assert r"\x1b[31mX\x07\u202e" in invoke("check", candles.parent, "--language", language).output
    shown = invoke("check", candles.parent, "--json").stdout
    assert r"\x1b[31mX" in json.loads(shown)["symbols"][0]["symbol"]


def test_predict_and_its_files(candles: Path, tmp_path: Path) -> None:
    out = tmp_path / "out\x1b[31m\u202e"
    result = invoke("predict", *MODELS, "--data", candles, *SMALL, "--out", out)
    assert result.exit_code == 0 and "GOOD" in result.output
    assert len(list(out.glob("*.csv"))) == len(list(out.glob("*.png"))) == 3
    for path in out.iterdir():
        assert path.name.isprintable() and path.parent == out
        if path.suffix == ".png":
            assert imread(path).shape[:2] == (700, 1200)
        elif path.suffix == ".html":
            assert not {"\x1b", "\x07", "\u202e", "\0"} & set(path.read_text())
    invoke("predict", *MODELS, "--data", candles, *SMALL, "--out", out, "--json", "--no-pictures")


def test_a_bad_symbol_costs_no_other_its_forecast(candles: Path, tmp_path: Path) -> None:
    lines = candles.read_text().splitlines()
    lines.append(f'{CSV[1]},"FEW\x1b",1')
    lines += [f'{line.split(",")[0]},-1,-1,-1,-1,1,1,"NEGATIVE",1' for line in CSV[1:]]
    candles.write_text("\n".join(lines))
    result = invoke("predict", *MODELS, "--data", candles, *SMALL, "--out", tmp_path / "out", "--no-pictures")
    assert result.exit_code == 1 and len(list((tmp_path / "out").iterdir())) == 3, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert sum(r"FEW\x1b" in line for line in lines) == sum("NEGATIVE" in line for line in lines) == 1, lines


def test_errors_of_every_command(tmp_path: Path) -> None:
    config = tmp_path / "c\x1b[1m.yaml"
    config.write_text(
        'data: {data_path: a.csv, "bad\\ekey\\u202e": 1, clip: "\\e[31m"}\nmodel_paths: {exp_name: "a\\eb"}\n"\\esec": {}\n'
    )
    for arguments in (
        ("train", "--config", config),
        ("train", "--config", config, "--dry-run", "data.\x1b[31m=1"),
        ("train", "--config", tmp_path / "no\x1b\r\nX.yaml"),
        ("train", "--config", "configs/demo.yaml", "experiment.trackers=[\x1b]"),
        ("tune", "--config", config, "--space", "a\x1b: 1"),
        ("tune", "--config", config, "--space", tmp_path / "no\x1b"),
        ("compare", tmp_path / "no\x1b\u202e"),
        ("evaluate", "--run", "no\x1b\u202e\r\nX"),
        ("evaluate", "--model", "no\x1b\u202e", "--data", "x\x07.csv"),
        ("predict", "--run", "no\x1b\u202e"),
        ("predict", *MODELS, "--data", "no\x1b\u202e.csv"),
        ("predict", *MODELS, "--data", "https://\x1b[31m/x"),
        ("predict", *MODELS, "--data", "\x1b://x"),
        ("predict", *MODELS, "--data", "x.csv", "--horizon", "\x1b[31m"),
        ("check", "no\x1b\u202e\r\nX.csv"),
    ):
        assert invoke(*arguments).exit_code in (1, 2), arguments
    assert r"\x1b" in invoke("train", "--config", config, WORLD_SIZE="\x1b[31m").stderr


def test_a_cell_is_no_formula_that_acts() -> None:
    for text in (FORMULA, "=HYPERLINK(1)", "@SUM(1+9)", "-2+3+cmd|x", "='file:///x'#$A.A1", " =cmd|x"):
        assert name_cell(text) == f"'{text}"
    for text in ("^GSPC", "@ES#", "EUR=X", "-1", "BTC/USDT", "ES1!", "=A1"):
        assert name_cell(text) == text
