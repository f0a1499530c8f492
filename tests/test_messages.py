"""Every template of an error, a finding or a text gets the values that it names: str.format would fail only in use."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path

from kronos.config.schema import LANGUAGES
from kronos.report.words.catalogue import read_texts
from tests.conftest import ROOT

FILES = sorted((ROOT / "kronos").rglob("*.py"))
TEMPLATES = ("KronosError", "ConfigError", "DataError", "CheckpointError", "make", "within", "cross_field_error")


def fields(template: str) -> set[str]:
    return {name.partition(".")[0].partition("[")[0] for _, name, _, _ in string.Formatter().parse(template) if name}


def find_calls(path: Path) -> Iterator[tuple[str, str, set[str]]]:
    """Yield the name, the text and the keywords of each call whose first text is a constant, or a variable set to one."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef):
            continue
        texts: dict[str, str] = {}
        for node in sorted(ast.walk(function), key=lambda each: getattr(each, "lineno", 0)):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                texts[node.targets[0].id] = node.value.value if isinstance(node.value, ast.Constant) else ""
            if not isinstance(node, ast.Call) or any(keyword.arg is None for keyword in node.keywords):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            given = {str(keyword.arg) for keyword in node.keywords}
            for argument in node.args[: 2 if name == "cross_field_error" else 1][-1:]:
                text = argument.value if isinstance(argument, ast.Constant) else texts.get(getattr(argument, "id", ""))
                if isinstance(text, str) and text:
                    yield name, text, given


def test_templates_get_their_values() -> None:
    for path in FILES:
        for name, text, given in find_calls(path):
            if name in TEMPLATES and given:
                assert fields(text) == given, (path, text)
            if name == "Message" and given:
                assert fields(text) <= given, (path, text)  # one of several templates for the same values
            if name == "words":
                for language in LANGUAGES:
                    assert fields(read_texts(language)[text]) == given, (path, text)


def test_the_check_finds_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text('def f():\n    template = "{a}: {b:g}."\n    raise DataError(template, a=1)\n')
    assert list(find_calls(path)) == [("DataError", "{a}: {b:g}.", {"a"})] and fields("{a}: {b:g}.") == {"a", "b"}
