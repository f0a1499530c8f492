"""Errors, findings and log lines in Chinese: every template of the code has a wording, with the same values."""

import ast
import errno
import os
import re

import pytest

from kronos.data.quality.findings import FINDINGS
from kronos.report.words.catalogue import read_texts
from kronos.report.words.messages import find_wording, read_messages
from tests.report.words.templates import Templates, collect, read_trees

IN_PYTHON = ("api",)  # what only Python functions raise stays English
# What computes its template from others, which are collected where they are written.
COMPUTED = ("cli/commands/tune.py", "cli/usage.py", "data/files/rows.py", "training/callbacks.py")
SYSTEM = {os.strerror(number) for number in errno.errorcode}
PLACE = re.compile(r"\{[^{}]*\}|%[-+ #0]*\d*(?:\.\d+)?[a-z]")


@pytest.fixture(scope="module")
def templates() -> Templates:
    return collect(read_trees())


def test_every_template_is_worded(templates: Templates) -> None:
    missing = {text: place for text, place in templates.texts.items() if find_wording(text) is None}
    assert not {text: place for text, place in missing.items() if not place.startswith(IN_PYTHON)}


def test_every_template_can_be_found(templates: Templates) -> None:
    assert not [place for place in templates.unknown if not place.startswith((*IN_PYTHON, *COMPUTED))]


def test_every_wording_is_used() -> None:
    nodes = (node for tree in read_trees().values() for node in ast.walk(tree))
    known = SYSTEM | {*read_texts("en").values()}  # those with a code are tested with it
    texts = "\0".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    assert not [each for each in read_messages("zh") if each not in texts and each not in known]


def test_pages_name_findings_as_messages_do() -> None:
    texts = read_texts("en")
    assert {code: texts[f"audit.codes.{code}"] for code in FINDINGS} == FINDINGS


def test_wordings_have_the_same_values() -> None:
    for english, chinese in read_messages("zh").items():
        places, worded = (
            PLACE.findall(text.replace("{{", "").replace("}}", "").replace("!r", "")) for text in (english, chinese)
        )
        in_order = any(place.startswith("%") for place in places)
        assert places == worded if in_order else sorted(places) == sorted(worded), english
