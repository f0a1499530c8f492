"""The texts of reports and command output, one YAML file a language."""

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from kronos.config.schema import Language


class Words:
    """The texts of one language, by dotted key: `words("forecast.median")`."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._texts = read_texts(language)

    def __call__(self, key: str, /, **values: object) -> str:
        """Return a text, with values put in as by `str.format`."""
        text: Any = self._texts
        for part in key.split("."):
            text = text[part]
        return str(text).format(**values) if values else str(text)


@cache
def read_texts(language: Language) -> dict[str, Any]:
    """Read a language's catalogue, kronos/report/words/{language}.yaml."""
    return dict(yaml.safe_load(files(__package__).joinpath(f"{language}.yaml").read_text(encoding="utf-8")))
