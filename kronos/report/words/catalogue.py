"""The texts of reports and command output, one YAML file a language."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from kronos.config.schema import Language
from kronos.names import make_printable

CHINESE = "\u4e00-\u9fff"
EDGE = "\0"  # marks both ends of a value while it is put into a Chinese text
SPACED = re.compile(rf"(?<=[{CHINESE}]){EDGE}+(?=[0-9A-Za-z])|(?<=[0-9A-Za-z]){EDGE}+(?=[{CHINESE}])")


class Words:
    """The texts of one language, by dotted key: `words("forecast.median")`."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._texts = read_texts(language)

    def __call__(self, key: str, /, **values: object) -> str:
        """Return a text, with values put in as by `str.format`.

        In Chinese, a space separates the Latin letters and digits of a value from the characters around it.
        """
        text = self._texts[key]
        values = {
            name: make_printable(value, "\n") if isinstance(value, str) else value for name, value in values.items()
        }
        if self.language != "zh":
            return text.format(**values) if values else text
        marked = {name: f"{EDGE}{value}{EDGE}" if isinstance(value, str) else value for name, value in values.items()}
        return separate_latin(text.format(**marked)) if values else text

    def has(self, key: str) -> bool:
        """Whether there is a text of this key."""
        return key in self._texts

    def section(self, prefix: str) -> dict[str, str]:
        """Return the texts of a section by the rest of their keys: `words.section("check.audit")`."""
        return {
            key.removeprefix(f"{prefix}."): text for key, text in self._texts.items() if key.startswith(f"{prefix}.")
        }

    def choose(self, texts: Mapping[Language, str]) -> str:
        """Return the text of this language among texts that are not in the catalogue."""
        return texts[self.language]


def separate_latin(text: str) -> str:
    """Put a space between Latin letters or digits of a value and the Chinese around it; EDGE marks both ends of values."""
    return SPACED.sub(" ", text).replace(EDGE, "")


@cache
def read_texts(language: Language) -> dict[str, str]:
    """Read a language's catalogue, kronos/report/words/{language}.yaml, by dotted key."""
    text = files(__package__).joinpath(f"{language}.yaml").read_text(encoding="utf-8")
    return _flatten(read_yaml(text))


def read_yaml(text: str) -> Any:
    """Read a YAML file of this package, with the parser written in C if there is one."""
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _flatten(texts: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, text in texts.items():
        flat |= _flatten(text, f"{prefix}{key}.") if isinstance(text, dict) else {f"{prefix}{key}": str(text)}
    return flat


def make_safe(value: object) -> object:
    """Return a value of a page without characters that would change its order or its look; for Jinja's finalize."""
    return make_printable(value, "\n\t") if type(value) is str else value  # Markup is a page's own
