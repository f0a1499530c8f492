"""The invented drift on the page."""

from math import nan

from kronos.report.verdict.drift_view import build_drift
from kronos.report.words.catalogue import Words
from tests.report.made_evaluation import make_drift, make_evaluation

WORDS = Words("en")


def test_both_models_stand_on_one_scale_that_begins_at_0() -> None:
    drift = build_drift(make_evaluation(), WORDS)
    assert drift
    before, after = drift.rows
    assert (before.label, after.label) == ("Before fine-tuning", "After fine-tuning")
    assert (before.outcome, after.outcome) == ("good", "bad")
    assert before.low < before.middle < before.high < after.low < after.middle < after.high < 100
    assert before.middle < drift.margin < after.low  # 12%, 20%, 42%
    assert drift.end == "51%"


def test_the_table_has_all_figures() -> None:
    drift = build_drift(make_evaluation(), WORDS)
    assert drift and drift.table.heads == ("Before fine-tuning", "After fine-tuning")
    cells = {row.head: [cell.text for cell in row.cells] for row in drift.table.rows}
    assert cells["Invented drift (right is 0%)"] == ["12.0%", "42.0%"]
    assert cells["The same for a walk and its mirror image (a season, or a constant)"] == ["26.0%", "26.0%"]
    assert cells["Coverage of the 90% band"] == ["87.1%", "87.1%"] and cells["Random walks"] == ["128", "128"]
    assert cells["CRPS above that of a random walk with the lookback's volatility"][1] == "+8.8%"


def test_results_of_an_earlier_version_have_no_part_that_mirror_images_share() -> None:
    earlier = make_drift("finetuned", 0.42).model_copy(update={"shared_drift": None})
    drift = build_drift(make_evaluation(invented_drift=(earlier,)), WORDS)
    assert drift and len(drift.table.rows) == 5 and drift.text.shared == ""


def test_nothing_measured_is_nothing_shown() -> None:
    assert build_drift(make_evaluation(invented_drift=()), WORDS) is None
    one = build_drift(make_evaluation(invented_drift=(make_drift("model", 0.3, spread=nan, n_walks=1),)), WORDS)
    assert one and one.rows[0].outcome == "unknown" and one.rows[0].low == one.rows[0].high == one.rows[0].middle
