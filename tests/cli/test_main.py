"""The commands as a whole: their list, their names, and what messages call them."""

import re
import tomllib

import pytest
import typer
from typer.testing import CliRunner

from kronos.cli.main import app
from kronos.cli.start import COMMANDS as NAMED_COMMANDS
from kronos.cli.start import PROGRAMS, format_command_line, name_commands
from kronos.version import __version__
from tests.conftest import ROOT, invoke

COMMANDS = typer.main.get_command(app).commands


def test_without_arguments_the_commands_are_listed_one_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = CliRunner().invoke(app, []).output
    visible = [name for name, command in COMMANDS.items() if not command.hidden]
    lines = [re.sub(r"[│|]", "", line).split(maxsplit=1) for line in listed.partition("Commands")[2].splitlines()[1:-1]]
    assert [name for name, _ in lines] == visible  # none is broken, or it would begin with another word
    assert visible.index("demo") < visible.index("check") < visible.index("train") < visible.index("predict")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_both_options_of_help(command: str) -> None:
    if command != "lr-range":  # which is gone
        assert invoke(command, "-h").output == invoke(command, "--help").output != ""


def test_version_and_aliases() -> None:
    assert invoke("--version").output == f"kronos {__version__}\n"
    assert COMMANDS["finetune"].help == COMMANDS["train"].help and COMMANDS["finetune"].hidden
    assert {*COMMANDS} - {"lr-range"} == {*NAMED_COMMANDS}
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert tuple(scripts) == PROGRAMS and set(scripts.values()) == {"kronos.cli.start:main"}


@pytest.mark.parametrize(
    ("started", "program", "again"),
    [
        ("/usr/bin/kronos", "kronos", "kronos"),
        ("C:/Scripts/kline.exe", "kline", "kline"),
        ("/x/kronos/__main__.py", "python -m kronos", "python -m kronos"),
        ("train_sequential.py", "python -m kronos", "python train_sequential.py"),
        ("/x/pytest/__main__.py", "kronos", "kronos"),
    ],
)
def test_messages_name_a_command_that_works(
    monkeypatch: pytest.MonkeyPatch, started: str, program: str, again: str
) -> None:
    monkeypatch.setattr("sys.argv", [started, "--config", "my file.yaml"])
    assert format_command_line("--skip-existing") == f"{again} --config 'my file.yaml' --skip-existing"
    text = "finetuned/kronos check, kronos 0.1.0: {} check lists them. {} train"
    assert name_commands(text.format("kronos", "kronos")) == text.format(program, program)
    assert name_commands("my kronos data.csv") == "my kronos data.csv", "no command of ours"
    assert name_commands("next: python -m kronos train") == "next: python -m kronos train"
