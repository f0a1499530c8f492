import re
from math import nan

import pytest

from kronos.evaluation.results import Evaluation
from kronos.report.verdict.tables import (
    format_interval,
    list_baselines,
    list_calibration,
    list_health,
    list_meanings,
    list_metrics,
    list_seconds,
)
from kronos.report.words.catalogue import Words
from tests.report.made_evaluation import make_evaluation

EVALUATION = make_evaluation()
EN, ZH = Words("en"), Words("zh")


def change(evaluation: Evaluation, n: int, **changes: object) -> Evaluation:
    comparisons = list(evaluation.comparisons)
    comparisons[n] = comparisons[n].model_copy(update=changes)
    return evaluation.model_copy(update={"comparisons": comparisons})


def test_baselines_in_words() -> None:
    rows, chinese = (list_baselines(EVALUATION, True, words) for words in (EN, ZH))
    assert [row.css for row in rows] == ["good", "good", "same", "", "bad", "unknown"]
    assert [row.verdict for row in rows[:3]] == ["helped", "better", "no difference"]
    assert [row.verdict for row in rows[3:]] == ["", "worse", "too little data"]
    assert [row.verdict for row in chinese[:2]] == ["微调有效", "优于基准"] and chinese[4].verdict == "不如基准"
    assert (rows[0].baseline, chinese[0].baseline) == ("Pretrained model", "预训练模型")
    assert (rows[0].skill, rows[0].interval, rows[0].p) == ("+8.3%", "[5.3%, 11.3%]", "<\N{NO-BREAK SPACE}0.001")
    assert rows[3].sentence.startswith("Against the seasonal naive") and rows[1].p == "0.002"  # corrected
    assert list_baselines(EVALUATION, False, EN) == []
    secondary = list_baselines(EVALUATION.model_copy(update={"metric": "mae"}), False, EN)
    assert len(secondary) == 6 and not any(row.verdict or row.css for row in secondary)


def test_baselines_with_the_same_figures_share_a_row_outside_the_main_table() -> None:
    first, other = EVALUATION.comparisons[1], EVALUATION.comparisons[2]
    twin = first.model_copy(update={"baseline": other.baseline})
    evaluation = EVALUATION.model_copy(update={"comparisons": [first, twin], "metric": "mae"})
    (row,) = list_baselines(evaluation, False, EN)
    labels = [each.baseline for each in list_baselines(EVALUATION, True, EN)[1:3]]
    assert row.baseline == " · ".join(labels)
    assert len(list_baselines(evaluation.model_copy(update={"metric": "crps"}), True, EN)) == 2


def test_an_interval_without_width_is_not_shown() -> None:
    assert format_interval(0.5, 0.5, True) == "" and format_interval(0.5, 0.6, True) == "50–60%"


def test_intervals_share_one_scale() -> None:
    bars = [row.bar for row in list_baselines(EVALUATION, True, EN)]
    assert len({bar.zero for bar in bars if bar}) == 1
    for bar, found in zip(bars, EVALUATION.comparisons):
        assert bar is not None and 0 <= bar.low < bar.middle < bar.high <= 100
        assert (bar.low > bar.zero) == (found.low > 0) and (bar.high > bar.zero) == (found.high > 0)


def test_direction_counts_in_points() -> None:
    evaluation = change(EVALUATION, 0, metric="direction", skill=-0.0123)
    (row,), (chinese,) = (list_baselines(evaluation, False, words) for words in (EN, ZH))
    assert row.skill == "−1.2 points" and chinese.skill == "−1.2 个百分点" and row.metric == "Directional accuracy"


def test_what_is_no_number_is_a_dash() -> None:
    unknown = change(EVALUATION, 0, skill=nan, low=nan, high=nan, p_value=nan, n_independent=nan)
    row = list_baselines(unknown, True, EN)[0]
    assert (row.skill, row.interval, row.p, row.bar) == ("–", "", "–", None)


def test_a_skill_beyond_all_bounds_leaves_the_scale_alone() -> None:
    rows = list_baselines(change(EVALUATION, 0, skill=-9.0, low=-80.0, high=-3.0), True, EN)
    assert rows[0].bar is not None and rows[0].bar.low == rows[0].bar.high == 4
    assert rows[4].bar is not None and rows[4].bar.high - rows[4].bar.low > 2


def test_metrics_of_all_forecasters() -> None:
    returns, prices = list_metrics(EVALUATION, EN)
    crps = next(row for row in returns.rows if row.head == "CRPS (bp)")
    figures = [1e4 * forecaster.log_return["crps"].overall for forecaster in EVALUATION.forecasters]
    assert [float(cell.text) for cell in crps.cells] == pytest.approx(figures, abs=0.005)
    direction = next(row for row in returns.rows if row.head == "Directional accuracy")
    assert direction.cells[0].text.endswith("%") and re.fullmatch(r"\d+–\d+%", direction.cells[0].interval)
    coverage = next(row for row in returns.rows if row.head == "Coverage of the 80% band")
    assert coverage.cells[2].text == "–" and coverage.cells[2].interval == ""
    assert prices.rows[0].head == "CRPS"  # in the units of the candles
    assert list_seconds(EVALUATION, EN).cells[0].text == "41.3"
    heads = {row.head for group in (returns, prices) for row in group.rows}
    assert len(list_meanings(EVALUATION, EN)) == len(heads) - 3


def test_calibration_and_tokenizer() -> None:
    rows = list_calibration(EVALUATION, ZH)
    assert [row.head for row in rows] == ["50% 区间", "80% 区间", "90% 区间"] and len(rows[0].cells) == 4
    health = list_health(EVALUATION, EN)
    assert [cell.text for cell in health[1].cells] == ["14.20", "9.70"] and len(health) == 7
    assert EVALUATION.tokenizer is not None
    untrained = EVALUATION.tokenizer.model_copy(update={"before": None})
    assert list_health(EVALUATION.model_copy(update={"tokenizer": untrained}), EN)[1].cells[0].text == "–"
    nothing = EVALUATION.model_copy(update={"tokenizer": None, "calibration": None})
    assert list_calibration(nothing, EN) == list_health(nothing, EN) == []
