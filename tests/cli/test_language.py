"""The language of what a command prints: of --language, of report.language, or of the locale of a terminal."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kronos.cli.language import find_terminal_language, settle_language, start_language, translate
from kronos.cli.logs import start_logging
from kronos.cli.main import app
from kronos.cli.start import run_app
from kronos.cli.usage import find_given_language
from kronos.config.load import build_reading_config
from kronos.errors import WriteError
from kronos.names import Message

CANDLES = "date,open,high,low,close,volume\n" + "".join(
    f"2024-01-{day:02},10,11,9,10.5,{100 * day}\n" for day in range(1, 29)
)


@pytest.fixture(autouse=True)
def english_afterwards() -> Iterator[None]:
    yield
    start_language(None)


def pretend_terminal(monkeypatch: pytest.MonkeyPatch, output: bool = True, errors: bool = True, **locale: str) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: output)
    monkeypatch.setattr("sys.stderr.isatty", lambda: errors)


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_TW"}, "zh"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "zh_CN", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "", "LC_ALL": ""}, "zh"),
        ({}, "en"),
    ],
)
def test_a_terminal_has_the_language_of_its_locale(
    monkeypatch: pytest.MonkeyPatch, locale: dict[str, str], language: str
) -> None:
    pretend_terminal(monkeypatch, **locale)
    assert find_terminal_language() == language


@pytest.mark.parametrize(("output", "errors"), [(False, True), (True, False)])
def test_what_is_piped_is_english(monkeypatch: pytest.MonkeyPatch, output: bool, errors: bool) -> None:
    pretend_terminal(monkeypatch, output, errors, LANG="zh_CN.UTF-8")
    start_language(None)
    assert settle_language(None) == "en"


def test_the_option_comes_before_the_configuration_and_this_before_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_terminal(monkeypatch, LANG="zh_CN.UTF-8")
    unset, english, chinese = (
        build_reading_config([], each) for each in ([], ["report.language=en"], ["report.language=zh"])
    )
    start_language(None)
    assert [settle_language(each) for each in (unset, english, chinese)] == ["zh", "en", "zh"]
    start_language("en")
    assert [settle_language(each) for each in (unset, english, chinese)] == ["en", "en", "en"]


def test_errors_are_in_the_language_of_the_option(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("data:\n  data_path: x.csv\n  lookbak_window: 5\n  predict_window: -1\n")
    lines = CliRunner().invoke(app, ["train", "--config", str(path), "--language", "zh"]).stderr.splitlines()
    assert f"{path}:4：data.predict_window 为 -1，不能小于 1。" in lines[0]
    assert lines[1] == f"{path}:3：未知的键 data.lookbak_window；是否想写 data.lookback_window？"
    lines = CliRunner().invoke(app, ["train", "--config", str(path)]).stderr.splitlines()
    assert lines[1] == f"{path}:3: unknown key data.lookbak_window; did you mean data.lookback_window?"


def test_json_stays_english(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CANDLES)
    plain, chinese = (
        CliRunner().invoke(app, ["check", str(path), "--json", *given]) for given in ([], ["--language", "zh"])
    )
    assert plain.stdout == chinese.stdout and plain.exit_code == chinese.exit_code == 0


def test_what_is_nested_in_a_message_is_worded_too() -> None:
    error = WriteError.about(Path("a.csv"), OSError(28, "No space left on device"), "--out")
    start_language("zh")
    assert translate(error) == "a.csv：无法写入：磁盘已满。请释放一些磁盘空间，或用 --out 选择其他位置。"
    two = Message.join([error, Message("{path}: {text}", path="b", text=Message("it must not be empty"))])
    assert translate(two) == f"{translate(error)}\nb：不能为空"
    assert translate("no phrase of ours") == "no phrase of ours"


def test_log_lines_are_worded_when_they_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    handlers = logging.getLogger("kronos").handlers[:]
    try:
        start_logging()
        for language in ("zh", "en"):
            start_language(language)
            logging.getLogger("kronos.files").warning("%s: damaged (%s). It is not used.", Path("100% a"), "50%\n")
            logging.getLogger("kronos").critical(Message("{stop}; {advice}", stop="100%", advice="b"))
    finally:
        logging.getLogger("kronos").handlers[:] = handlers
    assert capsys.readouterr().err.splitlines() == [
        "100% a：已损坏（50%\\x0a），不予使用。",
        "100%；b",
        "100% a: damaged (50%\\x0a). It is not used.",
        "100%; b",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["chek"], "没有 'chek' 这个命令。是否想写 'check'？"),
        (["check", "--nope"], "没有这个选项：--nope"),
        (["train"], "缺少选项 '--config'。"),
        (["predict", "--paths", "x"], "'--paths' 的值无效：须为整数"),
    ],
)
def test_errors_of_usage(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from typer import rich_utils

    for name in ("ERRORS_PANEL_TITLE", "RICH_HELP", "rich_format_error"):
        monkeypatch.setattr(rich_utils, name, getattr(rich_utils, name))
    monkeypatch.setattr("sys.argv", ["kronos", *arguments, "--language", "zh"])
    with pytest.raises(SystemExit) as ended:
        run_app(app)
    shown = capsys.readouterr().err
    assert ended.value.code == 2 and said in shown and "用法错误" in shown


def test_the_language_among_arguments() -> None:
    assert find_given_language(["kronos", "check", "--language", "zh"]) == "zh"
    assert find_given_language(["kronos", "--language=zh", "--language", "en"]) == "en"
    assert find_given_language(["kronos", "--language"]) is None is find_given_language(["kronos", "zh"])
    assert find_given_language(["kronos", "--language=fr"]) is None
