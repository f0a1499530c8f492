"""Word the details of findings, which the data layer writes in English, in the language of a report."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kronos.data.against_run import WEEKDAYS as WEEKDAY_NAMES
from kronos.names import fill_template
from kronos.report.words.catalogue import Words
from kronos.report.words.messages import read_messages, word_value, write_message
from kronos.report.words.sentences import write_units

_DAY = f"({'|'.join(WEEKDAY_NAMES)})"
WEEKDAYS = re.compile(rf"{_DAY}( to {_DAY})?")
LISTED = re.compile(r"(?<=\w) (and|or) (?=\w+$)")  # the last of a list of columns or values


def write_finding(kind: str, template: str, values: Mapping[str, object], words: Words) -> str:
    """Return what a finding says. A detail that has no other wording follows its kind in English."""
    english = fill_template(template, values)
    if words.language == "en":
        return english
    if (text := write_detail(template, values, words)) is not None:
        return text
    name = words(f"audit.codes.{kind}") if words.has(f"audit.codes.{kind}") else kind
    return f"{name}：{english}"


def write_detail(template: str, values: Mapping[str, object], words: Words) -> str | None:
    """Return an English template, with values put in, in another language; None if a piece of it has no wording there."""
    return write_message(template, {name: _write_value(value, words) for name, value in values.items()}, words.language)


def _write_value(value: object, words: Words) -> object:
    """Return a value, which may come from a file and then is no message, with its English words worded."""
    if type(value) is not str or word_value(value, words.language) != value:
        return value
    if worded := read_messages(words.language).get(value):
        return worded
    text = write_units(value, words)
    text = WEEKDAYS.sub(lambda days: "至".join(words(f"weekdays.{day}") for day in days[0].split(" to ")), text)
    return LISTED.sub(lambda word: {"and": "、", "or": " 或 "}[word[1]], text)
