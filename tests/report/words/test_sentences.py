"""The verdict in words, in both languages."""

import math
from typing import Any

import pytest

from kronos.evaluation.records import Note
from kronos.evaluation.results import Comparison, Evaluation
from kronos.report.words.catalogue import Words
from kronos.report.words.sentences import (
    name_forecaster,
    name_metric,
    write_note,
    write_outcome,
    write_sentence,
    write_units,
)
from tests.evaluation.made_evaluation import make_comparison, make_evaluation, make_forecaster, make_outcome

EN, ZH = Words("en"), Words("zh")
UNDECIDED = "too little data to tell"
HELPED = make_outcome("pretrained", "helped", 0.04)
CHANGE = {"skill": 0.042, "low": 0.011, "high": 0.0701, "p_value": 0.0042, "n_origins": 132, "n_independent": 88.3}
WORSE = {"skill": -0.042, "low": -0.0701, "high": -0.011, "p_value": 1e-5}
SAME = {"skill": -0.004, "low": -0.02, "high": 0.012, "p_value": 0.61, "n_independent": 132}
UNSURE = {
    "skill": -0.01,
    "low": -0.08,
    "high": 0.06,
    "p_value": 0.62,
    "n_origins": 60,
    "n_independent": 60,
}


def compared(*comparisons: Comparison, **changes: Any) -> Evaluation:
    return make_evaluation(comparisons=list(comparisons), **changes)


@pytest.mark.parametrize(
    "comparison, en, zh",
    [
        (
            make_comparison("pretrained", **CHANGE),
            "Fine-tuning helped: CRPS is 4.2% lower than the pretrained model's "
            "(95% interval 1.1% to 7.0%, p = 0.004; 132 origins, equivalent to about 88 independent ones).",
            "微调有效：CRPS 比预训练模型低 4.2%（95% 置信区间 1.1% 至 7.0%，p = 0.004；132 个起点，约相当于 88 个独立起点）。",
        ),
        (
            make_comparison("volatility", outcome="hurt", **CHANGE | WORSE),
            "Worse than a plain random walk: CRPS is 4.2% higher "
            "(95% interval 1.1% to 7.0%, p < 0.001; 132 origins, equivalent to about 88 independent ones).",
            "不如随机游走：CRPS 高 4.2%（95% 置信区间 1.1% 至 7.0%，p < 0.001；132 个起点，约相当于 88 个独立起点）。",
        ),
        (
            make_comparison("runs/b", metric="mae", outcome="no difference", **CHANGE | SAME),
            "No different from runs/b: the mean absolute error is 0.4% higher "
            "(95% interval −1.2% to 2.0%, within the margin of ±5%, p = 0.61; 132 independent origins).",
            "与 runs/b 无实质差异：MAE 高 0.4%（95% 置信区间 −1.2% 至 2.0%，未超出 ±5% 的容差，p = 0.61；132 个独立起点）。",
        ),
        (
            make_comparison("pretrained", outcome=UNDECIDED, **UNSURE),
            "Too little data to tell whether fine-tuning helped: CRPS is 1.0% higher than the pretrained model's "
            "(95% interval −6.0% to 8.0%, p = 0.62; 60 independent origins).",
            "数据太少，无法判断微调是否有效：CRPS 比预训练模型高 1.0%（95% 置信区间 −6.0% 至 8.0%，p = 0.62；60 个独立起点）。",
        ),
        (
            make_comparison("drift", metric="direction", **CHANGE),
            "Better than the drift: directional accuracy is 4.2 percentage points higher (95% interval 1.1 to 7.0 percentage "
            "points, p = 0.004; 132 origins, equivalent to about 88 independent ones).",
            "优于漂移法：方向准确率高 4.2 个百分点（95% 置信区间 1.1 至 7.0 个百分点，p = 0.004；132 个起点，约相当于 88 个独立起点）。",
        ),
        (
            make_comparison(
                "lstm", outcome="no difference", **dict.fromkeys(["skill", "low", "high"], 0.0), n_origins=1
            ),
            "No different from the LSTM: the forecasts are identical (CRPS is the same at every origin; 1 origin).",
            "与 LSTM 无实质差异：两者的预测完全相同（CRPS 处处相等；1 个起点）。",
        ),
        (
            make_comparison("drift", outcome=UNDECIDED, n_origins=0, skill=math.nan, low=math.nan, high=math.nan),
            "Too little data to tell whether it is better than the drift: CRPS is not defined at any origin.",
            "数据太少，无法判断是否优于漂移法：没有一个起点能够计算 CRPS。",
        ),
    ],
)
def test_sentences(comparison: Comparison, en: str, zh: str) -> None:
    evaluation = compared(comparison)
    assert write_sentence(comparison, evaluation, EN) == en
    assert write_sentence(comparison, evaluation, ZH) == zh


def test_a_baseline_without_errors() -> None:
    perfect = make_comparison("drift", outcome="hurt", skill=math.nan, low=math.nan, high=math.nan)
    sentence = write_sentence(perfect, compared(perfect), EN)
    assert sentence.startswith("Worse than the drift: CRPS of the baseline is 0") and "nan" not in sentence


def test_only_what_is_judged_names_its_outcome_and_corrected_p_values_are_named() -> None:
    comparison = make_comparison("drift", **CHANGE, p_adjusted=0.0137)
    sentence = write_sentence(comparison, compared(comparison), EN, judged=False)
    assert (
        sentence.startswith("Against the drift: CRPS is 4.2% lower (")
        and "p = 0.014 after Holm's correction" in sentence
    )
    assert write_sentence(comparison, compared(comparison), ZH, judged=False).startswith("与漂移法相比：")
    tiny = make_comparison("drift", **CHANGE, p_adjusted=0.0001)
    assert "p < 0.001 after Holm's correction" in write_sentence(tiny, compared(tiny), EN)


def test_words_for_outcomes_forecasters_and_metrics() -> None:
    drift = make_outcome("drift", "helped", 0.1)
    assert (write_outcome(HELPED, EN), write_outcome(drift, EN)) == ("helped", "better")
    assert (write_outcome(HELPED, ZH), write_outcome(drift, ZH)) == ("微调有效", "优于基准")
    assert name_forecaster("last_close", ZH) == "价格不变" and name_forecaster("runs/b", ZH) == "runs/b"
    assert name_forecaster({"en": "Mean of 20", "zh": "20 期均值"}, ZH) == "20 期均值"
    assert name_metric("coverage_80", EN) == "Coverage of the 80% band" and "80%" in name_metric(
        "width_80", ZH, "meaning"
    )


def test_a_registered_baseline_goes_by_its_own_label() -> None:
    labelled = make_forecaster("mean_20", {}).model_copy(update={"label": {"en": "Mean of 20", "zh": "20 期均值"}})
    comparison = make_comparison("mean_20", outcome="hurt")
    evaluation = compared(comparison, forecasters=[make_forecaster("finetuned", {}), labelled])
    assert write_sentence(comparison, evaluation, EN).startswith("Worse than Mean of 20: ")
    assert write_sentence(comparison, evaluation, ZH).startswith("不如 20 期均值：")


def test_notes() -> None:
    note = Note(code="skill_in_width", values={"baseline": "volatility"})
    assert "not shown to be better than a plain random walk. " in write_note(note, EN)
    assert "随机游走" in write_note(note, ZH)
    assert write_note(Note(code="needs a season"), ZH, "reasons") == "needs a season", (
        "of a baseline that somebody added"
    )
    note = Note(code="blend", values={"share": 0.75, "rest": 0.25})
    assert "75% fine-tuned and 25% pretrained weights" in write_note(note, EN)
    earlier = Note.model_validate({"en": "No test split.", "zh": "没有测试集。"})
    assert (write_note(earlier, EN), write_note(earlier, ZH)) == ("No test split.", "没有测试集。")


@pytest.mark.parametrize(
    "text, chinese",
    [
        ("5 minutes", "5 分钟"),
        ("1 day", "1 天"),
        ("line 812 (2021-03-02 10:05)", "第 812 行 (2021-03-02 10:05)"),
        ("a.csv, row 1,402", "a.csv, 第 1,402 行"),
        ("2021-03-02", "2021-03-02"),
    ],
)
def test_units(text: str, chinese: str) -> None:
    assert write_units(text, EN) == text and write_units(text, ZH) == chinese
