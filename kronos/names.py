"""Texts from outside as parts of file names, and as something to show: a symbol, the name of a column, a path."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

MAX_FILE_NAME = 120  # bytes; 255 are allowed, and endings, "report-" and the like are added
HASH_DIGITS = 12
NOT_IN_FILES = frozenset('\\/:*?"<>|')  # on Windows or elsewhere
RESERVED = re.compile(r"(con|prn|aux|nul|clock\$|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
HASHED = re.compile(rf"-[0-9a-f]{{{HASH_DIGITS}}}$", re.IGNORECASE)
MAX_SHOWN = 200  # characters of a name


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


def name_files(texts: Sequence[str]) -> list[str]:
    """Return file names for texts, also for a file system to which upper and lower case are the same."""
    names = [name_file(text) for text in texts]
    counts = Counter(unicodedata.normalize("NFKC", name).casefold() for name in set(names))
    return [
        f"{name}-{hash_text(text)}" if counts[unicodedata.normalize("NFKC", name).casefold()] > 1 else name
        for name, text in zip(names, texts)
    ]


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


def _is_unsafe(character: str) -> bool:
    return character in NOT_IN_FILES or not character.isprintable()


def _is_space(character: str) -> bool:
    """Whether a character only leaves a gap, as the wide space of Chinese does."""
    return unicodedata.category(character) == "Zs"


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
