"""What is written about invented drift."""

from math import nan

import pytest

from kronos.evaluation.results import InventedDrift
from kronos.report.words.catalogue import Words
from kronos.report.words.drift import write_drift, write_drift_line
from tests.evaluation.made_evaluation import make_outcome
from tests.report.made_evaluation import make_drift, make_evaluation

EN, ZH = Words("en"), Words("zh")


@pytest.mark.parametrize(
    ("drift", "lead"),
    [(0.05, "No. "), (0.42, "Yes. "), (0.21, "That is open. On random walks")],
)
def test_the_lead_answers_the_question(drift: float, lead: str) -> None:
    evaluation = make_evaluation(invented_drift=(make_drift("finetuned", drift),))
    text = write_drift(evaluation, EN)
    assert text and text.lead.startswith(lead) and text.change == ""
    assert len(text.explanations) == 3 and "128 random walks" in text.explanations[0][1]


@pytest.mark.parametrize(
    ("after", "before", "key"), [(0.42, 0.12, "raised"), (0.12, 0.42, "lowered"), (0.12, 0.13, "did not clearly")]
)
def test_before_and_after_are_compared_by_their_intervals(after: float, before: float, key: str) -> None:
    drifts = make_drift("finetuned", after), make_drift("pretrained", before)
    text = write_drift(make_evaluation(invented_drift=drifts), EN)
    assert text and key in text.change and f"{100 * before:.0f}%" in text.change


@pytest.mark.parametrize(
    ("drift", "outcome", "written"), [(0.42, "helped", True), (0.42, "hurt", False), (0.05, "helped", False)]
)
def test_a_drift_that_helped_may_be_a_pattern_of_the_market(drift: float, outcome: str, written: bool) -> None:
    drifts = make_drift("finetuned", drift), make_drift("pretrained", 0.12)
    comparisons = [make_outcome("pretrained", outcome, 0.1 if outcome == "helped" else -0.1)]
    text = write_drift(make_evaluation(invented_drift=drifts, comparisons=comparisons), EN)
    assert text and ("helped on your candles all the same" in text.change) == written


@pytest.mark.parametrize(("shared", "spread", "written"), [(0.26, 0.04, True), (0.05, 0.04, False), (0.2, 0.3, False)])
def test_what_mirror_images_share_may_be_a_season(shared: float, spread: float, written: bool) -> None:
    drifts = make_drift("finetuned", 0.1, spread=spread, shared=shared), make_drift("pretrained", 0.1, shared=0.03)
    text = write_drift(make_evaluation(invented_drift=drifts), EN)
    assert text and bool(text.shared) == written
    if written:
        assert "26%" in text.shared and "may be a season" in text.shared
        assert text.shared.endswith("Before fine-tuning it was 3%.")


def test_results_of_an_earlier_version_have_one_figure() -> None:
    earlier = make_drift("finetuned", 0.42).model_dump(mode="json", exclude={"shared_drift"})
    evaluation = make_evaluation(invented_drift=(InventedDrift(**earlier),))
    text = write_drift(evaluation, EN)
    assert text and text.shared == "" and "mirror" not in write_drift_line(evaluation, EN)


def test_one_line_for_the_screen() -> None:
    line = write_drift_line(make_evaluation(), EN)
    assert "42% [38, 46] after fine-tuning, 12% [8, 16] before" in line and "harmless: up to 20%" in line
    assert "mirror image: 26% [22, 30] after fine-tuning, 26% [22, 30] before" in line
    assert "微调后 42% [38, 46]，微调前 12% [8, 16]" in write_drift_line(make_evaluation(), ZH)
    assert write_drift_line(make_evaluation(invented_drift=()), EN) == ""
    alone = write_drift_line(make_evaluation(invented_drift=(make_drift("model", 0.05),)), EN)
    assert "5% [1, 9]. " in alone and "fine-tuning" not in alone


def test_too_few_walks_are_named_and_no_interval_is_written() -> None:
    evaluation = make_evaluation(invented_drift=(make_drift("finetuned", 0.3, spread=nan, n_walks=1),))
    for words in (EN, ZH):
        text = write_drift(evaluation, words)
        assert text and " 1 " in text.lead and "nan" not in text.lead
        assert "30%" in write_drift_line(evaluation, words) and "[" not in write_drift_line(evaluation, words)


def test_the_explanation_has_the_cost_of_a_drift_that_matters() -> None:
    evaluation = make_evaluation(invented_drift=(make_drift("finetuned", 0.5),))
    text = write_drift(evaluation, EN)
    assert text and "about 12% larger" in text.explanations[2][1]  # 0.5² / 2
    assert write_drift(make_evaluation(invented_drift=()), EN) is None
