"""Texts from outside as parts of file names, and as something to show: a symbol, the name of a column, a path."""

from __future__ import annotations

import hashlib
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

Template = str  # English, with values as in str.format: what a catalogue words in another language

MAX_FILE_NAME = 120  # bytes; 255 are allowed, and endings, "report-" and the like are added
MAX_FOLDER_NAME = 200  # of a folder that the user names
HASH_DIGITS = 12
NOT_IN_FILES = frozenset('\\/:*?"<>|')  # on Windows or elsewhere
RESERVED = re.compile(r"(con|prn|aux|nul|clock\$|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
HASHED = re.compile(rf"-[0-9a-f]{{{HASH_DIGITS}}}$", re.IGNORECASE)
MAX_SYMBOL = 80  # characters
FORMULA = re.compile(r"\s*[=+@-].*[(|!']", re.DOTALL)  # a call, a program or another file
HUB = re.compile(
    r"https?://([^\s/@]+@)?([\w-]{1,63}(\.[\w-]{1,63})*|\[[\da-f:.]+\])(:\d+)?(/[\w.~/-]*)?", re.ASCII | re.I
)
MAX_SHOWN = 1000  # characters of a value in a message
ESCAPE = re.compile(r"\\(?=x[0-9a-f]{2}|u[0-9a-f]{4})")


def name_file(text: str) -> str:
    """Return a file name for any text: the text itself, or a similar name and a hash if it can be none.

    Two texts have two names, also where the form of accents does not count. For texts that differ in case, see `name_files`.
    """
    plain = unicodedata.normalize("NFC", "".join("-" if _is_unsafe(each) else each for each in text))
    plain = plain.lstrip("~.- ").rstrip(". ")  # hidden files, options of commands, endings that Windows removes
    plain = plain.encode()[:MAX_FILE_NAME].decode(errors="ignore")
    if plain == text and text and not HASHED.search(text) and not RESERVED.fullmatch(text):
        return text
    return f"{plain.rstrip('. -') or 'unnamed'}-{hash_text(text)}"


def name_files(texts: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """Return file names for texts, also for a file system to which upper and lower case are the same.

    Args:
        taken: names that earlier texts have. A text has the same name again, and another one if only the case differs.
    """
    names = [name_file(text) for text in texts]
    counts = Counter(map(_fold, set(names)))
    others = {_fold(name) for name in taken} - {_fold(name) for name in set(names).intersection(taken)}
    return [
        f"{name}-{hash_text(text)}" if counts[_fold(name)] > 1 or _fold(name) in others else name
        for name, text in zip(names, texts)
    ]


def _fold(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def find_problem(name: str) -> Template | Message:
    """Return why a name cannot be that of a folder within another one; empty if it can."""
    if not name.strip(". "):
        return "that names no folder of its own"
    if "/" in name or "\\" in name:
        return "it has a separator of folders"
    if not name.isprintable() or name != name.strip() or name.endswith("."):
        return "it has a character that cannot be seen, or ends in a space or a dot"
    too_long = len(name.encode()) > MAX_FOLDER_NAME
    return Message("it is longer than {n} bytes", n=MAX_FOLDER_NAME) if too_long else ""


def find_hub_host(address: str) -> str | None:
    """Return the host in the address of a hub or a mirror; None if it is no address, or has an invalid host or port."""
    try:
        parts = urlsplit(address)
        return parts.hostname if HUB.fullmatch(address) and parts.port != 0 else None  # a port above 65535 raises
    except ValueError:
        return None


def hash_text(text: str) -> str:
    """Return a short hash of any text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:HASH_DIGITS]


def shorten_name(text: str, n_bytes: int) -> str:
    """Return the beginning of a text that is no longer in UTF-8, of whole characters."""
    return text.encode(errors="replace")[:n_bytes].decode(errors="ignore")


def make_printable(text: str, keep: str = "") -> str:
    """Return a text with escapes such as \\x1b in place of what a terminal or a page would obey: ESC, line ends, bidi marks.

    Args:
        keep: such characters that may stay.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep or _is_space(each) else _escape(each) for each in text)


def make_all_printable(value: Any) -> Any:
    """Return plain values, such as those of JSON, with texts that are safe to show. Their line ends stay."""
    if isinstance(value, str):
        return make_printable(value, keep="\n")
    if isinstance(value, dict):
        return {make_all_printable(key): make_all_printable(each) for key, each in value.items()}
    return type(value)(map(make_all_printable, value)) if type(value) in (list, tuple) else value


def _is_unsafe(character: str) -> bool:
    return character in NOT_IN_FILES or not character.isprintable()


def _is_space(character: str) -> bool:
    """Whether a character only leaves a gap, as the wide space of Chinese does."""
    return unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    if ord(character) < 0x7F:  # JSON leaves those from DEL on as they are, and knows no \\x7f
        return f"\\x{ord(character):02x}"
    units = character.encode("utf-16-be", errors="surrogatepass").hex()  # as in JSON
    return "".join(f"\\u{units[n : n + 4]}" for n in range(0, len(units), 4))


def name_symbol(text: str) -> str:
    """Return a symbol as it is shown everywhere: printable and not too long. Two symbols stay two."""
    plain = make_printable(ESCAPE.sub(r"\\x5c", text))
    return plain if len(plain) <= MAX_SYMBOL else f"{plain[:MAX_SYMBOL]}…{hash_text(text)}"


def name_cell(text: str) -> str:
    """Return a text as a cell of a CSV file that no spreadsheet takes for a formula that acts.

    Signs alone are no danger: ^GSPC, @ES and -1 stay.
    """
    return f"'{text}" if FORMULA.match(text) else text


class Message(str):
    """A text that is safe to show, which keeps what it was made of: an English template and its values.

    A catalogue words it in another language (`kronos.report.words.messages`): `Message("{n:,} rows", n=3)`. A text without
    values is a template too.
    """

    template: Template
    values: Mapping[str, object]

    def __new__(cls, template: Template, /, **values: object) -> Self:
        message = super().__new__(cls, fill_template(template, values))
        message.template, message.values = template, values
        return message

    def as_sentence(self) -> Self:
        """Return the same message with a capital in front."""
        sentence = super().__new__(type(self), f"{self[:1].upper()}{self[1:]}")
        sentence.template, sentence.values = self.template, self.values
        return sentence

    @classmethod
    def join(cls, parts: Iterable[object], between: Template = "\n") -> Self:
        """Return several texts, messages or errors as one."""
        values = {f"part{n}": part for n, part in enumerate(parts)}
        return cls(between.join(f"{{{name}}}" for name in values), **values)


class SafeFormatter(string.Formatter):
    """Puts values into a template, each safe to show."""

    def format_field(self, value: object, format_spec: str) -> str:
        text = str(super().format_field(value, format_spec))
        if isinstance(value, Message | Exception):
            return make_printable(text, keep="\n")
        text = make_printable(text)
        return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]} …"


def fill_template(template: str, values: Mapping[str, object]) -> str:
    """Put values into a template as `str.format` does, each safe to show; without values it is the text itself."""
    return SafeFormatter().vformat(template, (), values) if values else make_printable(template, keep="\n")


def shorten_names(folders: Sequence[Path]) -> list[str]:
    """Return the shortest unique end of each folder's path."""
    names = []
    for folder in folders:
        others = [other.parts for other in folders if other != folder]
        n = next(
            (n for n in range(1, len(folder.parts)) if all(other[-n:] != folder.parts[-n:] for other in others)),
            len(folder.parts),
        )
        names.append(make_printable(str(Path(*folder.parts[-n:]))))
    return names
