"""Texts of a page in two languages, which is built once: marks stand for texts until they are written."""

import re
from collections.abc import Callable, Iterable, Mapping

from kronos.config.schema import LANGUAGES, Language
from kronos.report.words.catalogue import Words

OPEN, CLOSE = "\ue000", "\ue001"  # private characters, which no text holds
MARK = re.compile(f"{OPEN}(\\d+){CLOSE}")


class Labels(Words):
    """Words that return a mark for each text. `write` replaces marks by their texts in a language."""

    def __init__(self) -> None:
        super().__init__("en")
        self._words = {language: Words(language) for language in LANGUAGES}
        self._writers: list[Callable[[Language], str]] = []
        self._numbers: dict[object, int] = {}

    def __call__(self, key: str, /, **values: object) -> str:
        def write(language: Language) -> str:
            written = {name: self.write(v, language) if isinstance(v, str) else v for name, v in values.items()}
            return self._words[language](key, **written)

        return self._mark((key, *values.items()), write)

    def choose(self, texts: Mapping[Language, str]) -> str:
        return self._mark(tuple(texts.items()), lambda language: texts[language])

    def write(self, text: str, language: Language) -> str:
        """Return a text with its marks replaced by their texts in a language."""
        return MARK.sub(lambda mark: self._writers[int(mark[1])](language), text)

    def collect(self, texts: str) -> dict[Language, dict[int, str]]:
        """Return the texts of all marks in a string, by language and number of the mark."""
        numbers: Iterable[int] = sorted({int(number) for number in MARK.findall(texts)})
        return {each: {n: self._writers[n](each) for n in numbers} for each in LANGUAGES}

    def _mark(self, identity: object, write: Callable[[Language], str]) -> str:
        number = self._numbers.setdefault(identity, len(self._writers))
        if number == len(self._writers):
            self._writers.append(write)
        return f"{OPEN}{number}{CLOSE}"
