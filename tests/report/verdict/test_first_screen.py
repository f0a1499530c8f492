"""The scale from worse to better."""

from math import nan

import pytest

from kronos.evaluation.results import Comparison
from kronos.report.verdict.first_screen import Scale, build_scale
from kronos.report.words.catalogue import Words
from tests.evaluation.made_evaluation import make_evaluation, make_outcome

EN, ZH = Words("en"), Words("zh")


def scale(*comparisons: Comparison, metric: str = "crps", words: Words = EN) -> Scale | None:
    return build_scale(make_evaluation(comparisons=list(comparisons), metric=metric, margin=0.02), words)


def test_a_row_for_fine_tuning_and_one_for_skill_on_one_scale() -> None:
    found = scale(make_outcome("pretrained", "helped", 0.06), make_outcome("ewma", "hurt", -0.04))
    assert found is not None
    own, skill = found.rows
    assert (own.label, own.figure, own.outcome) == ("Fine-tuned against pretrained", "+6.0% [+3.0, +9.0]", "good")
    assert (skill.label, skill.outcome) == ("Model against a random walk with EWMA volatility", "bad")
    assert 50 < found.margin_high < own.low < own.middle < own.high < 100 and skill.high <= found.margin_low < 50
    assert found.margin_low + found.margin_high == pytest.approx(100)
    assert (50 - skill.middle) / (own.middle - 50) == pytest.approx(4 / 6, abs=0.02)
    assert found.ends == ("← worse, by 10%", "better, by 10% →") and "under 2%" in found.margin
    assert found.baseline.startswith(
        "The simple forecast to beat is a random walk with EWMA volatility: The price stays where it is"
    )
    assert "CRPS" in found.meaning and "95%" in found.meaning


def test_a_bar_that_misses_same_without_an_answer_is_explained() -> None:
    open_ = make_outcome("ewma", "too little data to tell", -0.2)
    wide = open_.model_copy(update={"low": -0.6, "high": 0.1, "p_adjusted": 1.0})
    surer = open_.model_copy(update={"low": -0.6, "high": -0.01, "p_adjusted": 1.0})
    found, unclear = scale(surer), scale(wide)
    assert found is not None and "(p = 1.00)" in found.caution and "EWMA" in found.caution
    assert unclear is not None and unclear.caution == ""
    decided = scale(make_outcome("ewma", "hurt", -0.2))
    assert decided is not None and decided.caution == ""


def test_small_differences_leave_the_margin_visible_and_huge_ones_are_cut_off() -> None:
    small = scale(make_outcome("pretrained", "no difference", 0.0001))
    assert small is not None and small.margin_high - small.margin_low == pytest.approx(40, abs=0.2)
    huge = scale(make_outcome("pretrained", "hurt", -9.0))
    assert huge is not None and huge.rows[0].low == huge.rows[0].middle == 0 and huge.ends[0] == "← worse, by 100%"


def test_no_minus_before_zero() -> None:
    nearly = make_outcome("pretrained", "too little data to tell", 0.076).model_copy(
        update={"low": -0.0003, "high": 0.162}
    )
    found = scale(nearly)
    assert found is not None and found.rows[0].figure == "+7.6% [+0.0, +16.2]"


def test_direction_counts_in_points() -> None:
    found = scale(make_outcome("majority", "helped", 0.05, metric="direction"), metric="direction", words=ZH)
    assert found is not None and "个百分点" in found.margin and "方向" in found.meaning and len(found.rows) == 1


def test_nothing_to_draw() -> None:
    assert scale() is None
    unknown = make_outcome("pretrained", "hurt", -0.1).model_copy(update={"skill": nan, "low": nan, "high": nan})
    assert scale(unknown) is None
