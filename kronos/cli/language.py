"""The language that a command speaks: of --language, else of report.language, else of the locale on a terminal.

Before the configuration is read it is that of the option or the locale. Output that is piped keeps to English unless the
option or the configuration asks for another language. JSON and CSV are always English.
"""

import os
import sys
from collections.abc import Callable

from kronos.config import Config
from kronos.config.schema import Language
from kronos.names import Message
from kronos.progress.bars import Progress

LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set counts


class _Speech:
    """option: of --language. language: that of this command. word: puts a text or a message into it."""

    option: Language | None = None
    language: Language = "en"
    word: Callable[[object], object] | None = None


_speech = _Speech()


def start_language(option: Language | None) -> None:
    """Choose the language for what is said before the configuration is read."""
    _speech.option = option
    _speak(option or find_terminal_language())


def settle_language(config: Config | None) -> Language:
    """Choose and return the language once the configuration is read; one that it sets comes before the locale."""
    is_set = config is not None and "language" in config.report.model_fields_set
    own = config.report.language if config and is_set else None
    _speak(_speech.option or own or find_terminal_language())
    return _speech.language


def find_terminal_language() -> Language:
    """Return the language of the locale if all output goes to a terminal; else English."""
    if not (sys.stdout.isatty() and sys.stderr.isatty()):
        return "en"
    name = next((os.environ[each] for each in LOCALE if os.environ.get(each)), "")
    return "zh" if name.lower().startswith("zh") else "en"


def translate(message: object) -> str:
    """Return a message, an error or a phrase in the language of the command."""
    return str(_speech.word(message) if _speech.word else message)


def translate_line(template: str, values: tuple[object, ...]) -> tuple[str, tuple[object, ...]]:
    """Return what logging fills a line from, in the language of the command."""
    if not _speech.word:
        return template, values
    if isinstance(template, Message):
        return translate(template), ()
    from kronos.report.words.messages import write_line

    text = write_line(template, values)
    return (template, values) if text is None else (text, ())


def _speak(language: Language) -> None:
    """Speak a language from now on. Its words are loaded here, because a signal may need them at any time."""
    _speech.language, _speech.word, Progress.word = language, None, str
    if language != "en":
        from kronos.report.words.messages import read_messages, word_value

        read_messages(language)
        _speech.word = Progress.word = word_value
