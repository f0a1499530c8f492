"""Word the details of findings, which the data layer writes in English, in the language of a report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from kronos.data.against_run import WEEKDAYS as WEEKDAY_NAMES
from kronos.data.quality.findings import FINDINGS
from kronos.names import fill_template
from kronos.report.words.catalogue import Words, read_texts
from kronos.report.words.sentences import write_units

BETWEEN = {": ": "：", "; ": "；", ", ": "，", " (": "（", ")": "）", ". ": "。", ".": "。"}
NAMED_AS = re.compile(r" as (?=\w+(, |$))")  # "Vol. as volume"
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
    pieces, written, rest = _read_pieces(), "", template
    shown = {name: _write_value(value, words) for name, value in values.items()}
    while rest:
        piece = next((each for each in pieces if rest.startswith(each)), None)
        if piece is None:
            return None
        written += BETWEEN[piece] if piece in BETWEEN else words(pieces[piece], **shown)
        rest = rest[len(piece) :]
    return written


def _write_value(value: object, words: Words) -> object:
    if not isinstance(value, str):
        return value
    if value in _read_pieces() and value not in BETWEEN:
        return words(_read_pieces()[value])
    text = NAMED_AS.sub(" → ", write_units(value, words))
    text = WEEKDAYS.sub(lambda days: "至".join(words(f"weekdays.{day}") for day in days[0].split(" to ")), text)
    return LISTED.sub(lambda word: {"and": "、", "or": " 或 "}[word[1]], text)


@cache
def _read_pieces() -> dict[str, str]:
    """Return the key of each piece of an English text, the longest piece first."""
    details = {text: key for key, text in read_texts("en").items() if key.startswith("details.")}
    kinds = {text: f"audit.codes.{kind}" for kind, text in FINDINGS.items()}
    pieces = kinds | details | dict.fromkeys(BETWEEN, "")
    return dict(sorted(pieces.items(), key=lambda piece: -len(piece[0])))
