"""The catalogues: the same keys and the same values in both languages."""

import string

from kronos.report.words.catalogue import Words, read_texts


def values(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text)} - {None}


def test_both_languages_have_the_same_texts() -> None:
    en, zh = read_texts("en"), read_texts("zh")
    assert en.keys() == zh.keys()
    assert {key for key in en if values(str(en[key])) != values(str(zh[key]))} == set()


def test_a_text_by_its_key() -> None:
    words = Words("zh")
    assert words.section("units")["day"] == "{n} 天"
    assert words("language") == "中文" and words.has("language") and not words.has("languages")


def test_latin_values_stand_apart_in_chinese() -> None:
    words = Words("zh")
    assert words("verdict.against.helped", baseline="LSTM") == "优于 LSTM"
    assert words("verdict.against.no difference", baseline="茅台5min") == "与茅台5min 无实质差异"
    assert (
        words("answer.skill.worse", baseline="漂移法", detail="（MAE 低 4%）")
        == "没有预测能力：模型不如漂移法（MAE 低 4%）。"
    )


def test_no_text_breaks_lines() -> None:
    """A font has no sign for the end of a line, and pictures fall back to English without a font for each sign."""
    assert not [key for language in ("en", "zh") for key, text in read_texts(language).items() if "\n" in text]
