"""Marks that stand for texts until a language is known."""

from kronos.report.words.answers import write_headline
from kronos.report.words.catalogue import Words
from kronos.report.words.labels import Labels
from tests.evaluation.made_evaluation import make_evaluation


def test_a_mark_is_written_as_its_text_in_either_language() -> None:
    words = Labels()
    text = words("charts.against", baseline=words("forecasters.drift")) + " <b>"
    assert words.write(text, "en") == "Against: Drift <b>" and words.write(text, "zh") == "对比：漂移法 <b>"
    assert words.write(words.choose({"en": "Mean", "zh": "均值"}), "zh") == "均值"
    assert words("charts.loss") == words("charts.loss") != words("charts.step")


def test_the_texts_of_the_marks_in_use() -> None:
    words = Labels()
    drift = words("forecasters.drift")
    against, _ = words("charts.against", baseline=drift), words("charts.loss")
    texts = words.collect(f"{{x: {against}}}")
    assert list(texts["en"].values()) == ["Against: Drift"] and list(texts["zh"].values()) == ["对比：漂移法"]


def test_sentences_are_the_same_as_written_at_once() -> None:
    evaluation, words = make_evaluation(), Labels()
    headline = write_headline(evaluation, words)
    assert words.write(headline, "en") == write_headline(evaluation, Words("en"))
    assert words.write(headline, "zh") == write_headline(evaluation, Words("zh"))
