"""The catalogues: the same keys and the same values in both languages."""

import string
from typing import Any

from kronos.report.words.catalogue import Words, read_texts


def flatten(texts: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, text in texts.items():
        flat |= flatten(text, f"{prefix}{key}.") if isinstance(text, dict) else {f"{prefix}{key}": text}
    return flat


def values(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text)} - {None}


def test_both_languages_have_the_same_texts() -> None:
    en, zh = flatten(read_texts("en")), flatten(read_texts("zh"))
    assert en.keys() == zh.keys()
    assert {key for key in en if values(str(en[key])) != values(str(zh[key]))} == set()


def test_a_text_by_its_key() -> None:
    assert Words("zh")("language") == "中文"
