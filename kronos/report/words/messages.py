"""Word errors, findings and log lines in another language. In the code they are English templates and values.

The English template is the key, as in gettext, in `zh/*.yaml`. What is put together from several templates is worded piece
by piece. A value that is a message itself is worded too.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from kronos.config.schema import Language
from kronos.names import Message, SafeFormatter, Template
from kronos.report.words.catalogue import EDGE, read_texts, read_yaml, separate_latin

# What stands between two pieces, and places of values, in str.format or as logging fills them.
BETWEEN = {
    ": ": "：",
    "; ": "；",
    ", ": "，",
    " (": "（",
    ")": "）",
    ". ": "。",
    ".": "。",
    " and ": "和",
    " or ": " 或 ",
    " ": "",
}
SAME = re.compile(r"\{[^{}]*\}|%[-+ #0]*\d*(\.\d+)?[a-z]|\n|  +")
PATH, PATH_WORDED = "{path}: ", "{path}："
BY_CODE = ("audit.codes.", "differences.")  # texts of the data layer that pages know by a code
UNITS = re.compile(r"([\d.,]+) (day|hour|minute|second)s?")


class _ChineseFormatter(SafeFormatter):
    def format_field(self, value: object, format_spec: str) -> str:
        return f"{EDGE}{super().format_field(value, format_spec)}{EDGE}"


def write_message(template: Template, values: Mapping[str, object], language: Language = "zh") -> str | None:
    """Return a template, with values put in, in another language; None if there is no wording for a piece of it."""
    wording = find_wording(template, language)
    if wording is None or not values:
        return wording
    worded = {name: word_value(value, language) for name, value in values.items()}
    return separate_latin(_ChineseFormatter().vformat(wording, (), worded))


def write_line(template: Template, values: tuple[object, ...]) -> str | None:
    """Return a log line, whose template has places like %s, in Chinese; None if there is no wording."""
    wording = find_wording(template, "zh")
    if wording is None or not values:
        return wording
    worded = (word_value(value) for value in values)
    return separate_latin(wording % tuple(f"{EDGE}{each}{EDGE}" if isinstance(each, str) else each for each in worded))


def word_value(value: object, language: Language = "zh") -> object:
    """Return a value of a message: in another language if it is a message, or a phrase of ours; else as it is."""
    if isinstance(template := getattr(value, "template", None), str):
        text = write_message(template, getattr(value, "values", {}), language)
        return value if text is None else Message(text)
    if type(value) is not str:
        return value
    if unit := UNITS.fullmatch(value):
        return read_texts(language)[f"units.{unit[2]}s"].format(n=unit[1])
    # A single word may be the name of a column or a symbol; where it is ours, it is a message.
    return value if value in BETWEEN or value.isalnum() else read_messages(language).get(value, value)


def translate_into(message: object, language: Language) -> str:
    """Return a message, an error or a phrase of ours in a language; anything else as a text."""
    return str(message if language == "en" else word_value(message, language))


def find_wording(template: Template, language: Language = "zh") -> Template | None:
    """Return the template in another language; None if a piece of it is not in the catalogue."""
    messages = read_messages(language) | BETWEEN
    pieces = list(split(template, language))
    return None if None in pieces else "".join(messages.get(piece, piece) for piece in pieces if piece is not None)


@cache
def split(template: Template, language: Language = "zh") -> tuple[Template | None, ...]:
    """Return the longest pieces of the catalogue that make up a template, and what stands between them; None: the rest."""
    messages = read_messages(language)
    return (template,) if template in messages else tuple(_split(template, messages))


def _split(rest: Template, messages: Mapping[Template, Template]) -> Iterator[Template | None]:
    while rest:
        same = SAME.match(rest)
        found = [each for each in (*messages, *BETWEEN) if rest.startswith(each) and _ends_word(each, rest)]
        piece = max([*found, *([same[0]] if same else [])], key=len, default=None)
        yield piece
        rest = rest[len(piece) :] if piece else ""


def _ends_word(piece: str, text: str) -> bool:
    return not (piece[-1].isalnum() and text[len(piece) : len(piece) + 1].isalnum())


@cache
def read_messages(language: Language) -> dict[Template, Template]:
    """Read the catalogue of a language: the wording of each English template. Pages know some templates by a code."""
    english, texts = read_texts("en"), read_texts(language)
    messages = {english[key]: text for key, text in texts.items() if key.startswith(BY_CODE)}
    for file in sorted(files(__package__).joinpath(language).iterdir(), key=lambda each: each.name):
        messages |= read_yaml(file.read_text(encoding="utf-8"))
    # Of a file that has its own column in a table of findings, the place in front is left out.
    without_place = {text.removeprefix(PATH): worded for text, worded in messages.items() if text.startswith(PATH)}
    return {text: worded.removeprefix(PATH_WORDED) for text, worded in without_place.items()} | messages
