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
    write_headline,
    write_note,
    write_outcome,
    write_sentence,
    write_units,
    write_verdict,
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
    "n_missing": 60,
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
            "Worse than the random walk: CRPS is 4.2% higher "
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
            "(95% interval −6.0% to 8.0%, p = 0.62; 60 independent origins); about 60 more origins are needed.",
            "数据太少，无法判断微调是否有效：CRPS 比预训练模型高 1.0%（95% 置信区间 −6.0% 至 8.0%，p = 0.62；60 个独立起点）；"
            "大约还需要 60 个起点。",
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
    assert "nan" not in write_headline(compared(perfect), EN)


def test_the_headline_of_skill_is_against_the_best_naive_baseline() -> None:
    naive = [make_outcome("last_close", "helped", 0.2), make_outcome("volatility", "helped", 0.03)]
    evaluation = compared(HELPED, *naive, make_outcome("lstm", "hurt", -0.2))
    assert write_headline(evaluation, EN) == (
        "Fine-tuning helped (CRPS 4.0% lower than the pretrained model's, 95% interval 2.0% to 6.0%); the model has "
        "skill: it is better than every naive baseline compared, the best of which is the random walk (CRPS 3.0% "
        "lower, 95% interval 1.5% to 4.5%)."
    )
    assert write_headline(evaluation, ZH) == (
        "微调有效（CRPS 比预训练模型低 4.0%，95% 置信区间 2.0% 至 6.0%）；模型有预测能力：优于参与比较的所有朴素基准，其中最强的是随机游走"
        "（CRPS 低 3.0%，95% 置信区间 1.5% 至 4.5%）。"
    )


def test_better_than_some_naive_baselines_is_no_skill() -> None:
    evaluation = compared(HELPED, make_outcome("last_close", "helped", 0.2), make_outcome("drift", "hurt", -0.1))
    assert "; no skill: the model is worse than the drift (CRPS 10.0% higher" in write_headline(evaluation, EN)
    assert "；没有预测能力：模型不如漂移法（CRPS 高 10.0%" in write_headline(evaluation, ZH)


@pytest.mark.parametrize("baselines", [["seasonal_naive"], ["drift"], ["drift", "seasonal_naive"]])
def test_better_than_no_random_walk_is_no_skill(baselines: list[str]) -> None:
    """The price at this time yesterday is a worse forecast than the last one: knowing nothing beats it."""
    naive = [make_outcome(baseline, "helped", 0.2) for baseline in baselines]
    headline = write_headline(compared(HELPED, *naive), EN)
    assert "the model is better than the " in headline and "whether it has skill is unknown, as no random" in headline
    assert "有无预测能力尚不可知" in write_headline(compared(HELPED, *naive), ZH)
    for walk in ("last_close", "volatility"):
        assert "the model has skill" in write_headline(compared(HELPED, *naive, make_outcome(walk, "helped", 0.2)), EN)


@pytest.mark.parametrize("code", ["on_seen", "held_out_symbols", "seen_before"])
def test_the_headline_on_candles_that_were_seen_has_a_caveat(code: str) -> None:
    evaluation = compared(HELPED, make_outcome("last_close", "helped", 0.1), notes=[Note(code=code)])
    assert write_headline(evaluation, EN).endswith(
        ", partly on candles from the time that the run was trained or validated on."
    )
    assert write_headline(evaluation, ZH).endswith("；其中部分 K 线处于训练或验证所用的时间段内。")


def test_undecided_skill_is_not_claimed() -> None:
    evaluation = compared(make_outcome("pretrained", UNDECIDED, 0.1), make_outcome("last_close", UNDECIDED, 0.1))
    headline = write_headline(evaluation, EN)
    assert headline.startswith("Too little data to tell whether fine-tuning helped (")
    assert (
        "; no skill shown: too little data to tell whether the model is better than the forecast of no change ("
        in headline
    )
    assert "尚看不出预测能力" in write_headline(evaluation, ZH)


def test_the_headline_without_a_pretrained_model_or_a_naive_baseline() -> None:
    left_out = [{"baseline": "pretrained", "reason": Note(code="from_scratch")}]
    drift = make_outcome("drift", "hurt", -0.1)
    evaluation = compared(drift, left_out=left_out, split="val", confidence=0.9, notes=[Note(code="on_validation")])
    assert write_headline(evaluation, EN) == (
        "Not compared with a pretrained model (trained from scratch); no skill: the model is worse than the drift "
        "(CRPS 10.0% higher, 90% interval 5.0% to 15.0%), all on the validation split, on which the model was selected."
    )
    assert write_headline(evaluation, ZH) == (
        "未与预训练模型比较（从零开始训练）；没有预测能力：模型不如漂移法（CRPS 高 10.0%，90% 置信区间 5.0% 至 15.0%）；"
        "以上均在验证集上得出，而模型正是依验证集选出的。"
    )
    assert write_headline(compared(), EN) == (
        "Not compared with a pretrained model; whether the model has skill is unknown, as no naive baseline was compared."
    )


def test_the_verdict_on_the_screen() -> None:
    left_out = [{"baseline": "lstm", "reason": Note(code="lstm_without_candles")}]
    mae = make_outcome("drift", "hurt", -0.1, metric="mae")
    evaluation = compared(HELPED, mae, left_out=left_out, notes=[Note(code="jumps_left_out", values={"n": 1234})])
    headline, empty, helped, lstm, end, note = write_verdict(evaluation, ZH).splitlines()
    assert headline == write_headline(evaluation, ZH) and helped == f"  {write_sentence(HELPED, evaluation, ZH)}"
    assert (empty, end) == ("", "") and lstm.startswith("  lstm: 它需要用本次运行自己的 K 线训练") and "1,234" in note


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
    assert "not shown to be better than the random walk. " in write_note(note, EN)
    assert "随机游走" in write_note(note, ZH)
    assert write_note(Note(code="needs a season"), ZH, "reasons") == "needs a season", (
        "of a baseline that somebody added"
    )
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
