"""The answer, how far it can be believed and what to do next, in plain words of both languages."""

from math import inf, nan
from typing import Any

import pytest

from kronos.evaluation.next_steps import TrainingFacts, choose_next_steps
from kronos.evaluation.records import Note
from kronos.evaluation.results import Comparison, Evaluation, Evidence
from kronos.report.words.answers import (
    format_duration,
    write_answer,
    write_headline,
    write_luck,
    write_next_steps,
)
from kronos.report.words.catalogue import Words, read_texts
from kronos.report.words.sentences import write_sentence
from kronos.report.words.verdict_text import write_short_verdict, write_verdict
from tests.evaluation.made_evaluation import make_comparison, make_evaluation, make_outcome

EN, ZH = Words("en"), Words("zh")
UNDECIDED = "too little data to tell"
HELPED = make_outcome("pretrained", "helped", 0.04)
EVIDENCE = Evidence(baseline="pretrained", gain=0.05, n_origins=600, n_candles=28_800, days=912.0)


def compared(*comparisons: Comparison, **changes: Any) -> Evaluation:
    return make_evaluation(comparisons=list(comparisons), **{"margin": 0.02} | changes)


def by_crps_and_mae(mae: str) -> list[Comparison]:
    return [make_outcome("ewma", "helped", 0.06), make_outcome("ewma", mae, 0.06, metric="mae")]


@pytest.mark.parametrize(
    "comparison, en, zh",
    [
        (
            HELPED,
            "Fine-tuning helped: the forecast error is 4.0% smaller than the pretrained model's.",
            "微调有效：预测误差比预训练模型小 4.0%。",
        ),
        (
            make_outcome("pretrained", "helped", 0.004),
            "Fine-tuning helped, by less than 2%: the forecast error is 0.4% smaller than the pretrained model's.",
            "微调有效，但改善不到 2%：预测误差比预训练模型小 0.4%。",
        ),
        (
            make_outcome("pretrained", "hurt", -0.12),
            "Fine-tuning hurt: the forecast error is 12% larger than the pretrained model's.",
            "微调后变差：预测误差比预训练模型大 12%。",
        ),
        (
            make_outcome("pretrained", "no difference", 0.001),
            "Fine-tuning made no difference of 2% or more.",
            "微调前后没有达到 2% 的差异。",
        ),
        (
            make_outcome("pretrained", UNDECIDED, 0.1),
            "There is too little data to tell whether fine-tuning helped.",
            "数据太少，无法判断微调是否有效。",
        ),
        (
            make_comparison("pretrained", outcome="no difference", skill=0.0, low=0.0, high=0.0),
            "Fine-tuning changed nothing: the forecasts are the same as the pretrained model's.",
            "微调没有带来任何变化：预测与预训练模型完全相同。",
        ),
        (
            make_outcome("pretrained", "helped", 0.04, metric="direction"),
            "Fine-tuning helped: the direction is right more often than the pretrained model's, by 4.0 percentage points.",
            "微调有效：方向准确率比预训练模型高 4.0 个百分点。",
        ),
    ],
)
def test_the_answer_on_fine_tuning(comparison: Comparison, en: str, zh: str) -> None:
    evaluation = compared(comparison, metric=comparison.metric)
    assert write_answer(evaluation, EN)[0] == en and write_answer(evaluation, ZH)[0] == zh


@pytest.mark.parametrize(
    "comparisons, en, zh",
    [
        (
            by_crps_and_mae("helped"),
            "The model has skill: it knows better than the simple forecasts where prices go and how far. It is better than "
            "a random walk with EWMA volatility (its forecast error is 6.0% smaller) and all the other simple forecasts.",
            "模型有预测能力：",
        ),
        (
            by_crps_and_mae("no difference"),
            "The model has skill only in how far prices move, not in where they go: it is better than a random walk with EWMA volatility (its "
            "forecast error is 6.0% smaller) and the other simple forecasts, but not by its median.",
            "模型只对波动幅度有预测能力",
        ),
        (
            [make_outcome("ewma", "helped", 0.01)],
            "No skill shown: the model is better than a random walk with EWMA volatility (its forecast error is 1.0% smaller), but by less than 2%.",
            "未见预测能力：",
        ),
        (
            [make_outcome("ewma", "no difference", 0.0)],
            "No skill: the model is no better than a random walk with EWMA volatility.",
            "没有预测能力：模型并不优于",
        ),
        (
            [make_outcome("ewma", "hurt", -0.1)],
            "No skill: the model is worse than a random walk with EWMA volatility (its forecast error is 10% larger).",
            "没有预测能力：模型不如",
        ),
        (
            [make_outcome("ewma", UNDECIDED, 0.1)],
            "No skill shown: there is too little data to tell whether the model is better than a random walk with EWMA volatility.",
            "未见预测能力：数据太少",
        ),
        (
            [make_outcome("drift", "helped", 0.1)],
            "Whether the model has skill is unknown: it is better than the drift (its forecast error is 10% smaller), but was not "
            "compared with a forecast that knows volatility (time_of_day, ewma, garch, volatility or last_close).",
            "有无预测能力尚不可知：模型优于",
        ),
        (
            [],
            "Whether the model has skill is unknown: it was compared with no simple forecast.",
            "有无预测能力尚不可知：没有",
        ),
    ],
)
def test_the_answer_on_skill(comparisons: list[Comparison], en: str, zh: str) -> None:
    evaluation = compared(*comparisons)
    assert write_answer(evaluation, EN)[0] == en and write_answer(evaluation, ZH)[0].startswith(zh)
    assert write_answer(compared(HELPED, *comparisons), EN)[1] == en  # what is asked first is answered first
    assert write_answer(evaluation.model_copy(update={"kind": "model"}), EN) == [en]  # fine-tuning is not mentioned


def test_skill_by_another_metric_is_named() -> None:
    majority = make_outcome("majority", "helped", 0.05, metric="direction")
    assert write_answer(compared(majority, metric="direction"), EN)[0].startswith(
        "The model has skill in the direction of prices: it is better than the majority direction"
    )
    mae = make_outcome("ewma", "helped", 0.05, metric="mae")
    assert write_answer(compared(mae, metric="mae"), ZH)[0].startswith("模型对价格去向有预测能力")


def test_the_headline_adds_figures_and_intervals() -> None:
    evaluation = compared(HELPED, make_outcome("ewma", "hurt", -0.1))
    assert write_headline(evaluation, EN) == (
        "Fine-tuning helped (CRPS 4.0% lower than the pretrained model's, 95% interval 2.0% to 6.0%). No skill: the model is "
        "worse than a random walk with EWMA volatility (CRPS 10.0% higher, 95% interval 5.0% to 15.0%)."
    )
    assert write_headline(evaluation, ZH) == (
        "微调有效（CRPS 比预训练模型低 4.0%，95% 置信区间 2.0% 至 6.0%）。没有预测能力：模型不如"
        f" {read_texts('zh')['forecasters_in_sentences.ewma']}（CRPS 高 10.0%，95% 置信区间 5.0% 至 15.0%）。"
    )


def test_a_baseline_without_errors_has_no_size() -> None:
    perfect = make_comparison("pretrained", outcome="hurt", skill=nan, low=nan, high=nan)
    for sentences in (write_answer(compared(perfect), EN), [write_headline(compared(perfect), EN)]):
        assert sentences[0].startswith("Fine-tuning hurt") and "nan" not in " ".join(sentences)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"split": "val"}, "from the validation split"),
        *(
            ({"notes": [Note(code=code)]}, "have seen candles of this time or later")
            for code in ("on_seen", "held_out_symbols", "seen_before")
        ),
    ],
)
def test_figures_that_look_too_good_have_a_caveat(changes: dict[str, Any], words: str) -> None:
    evaluation = compared(HELPED, **changes)
    assert words in write_answer(evaluation, EN)[-1] and write_answer(evaluation, EN)[-1] in write_headline(
        evaluation, EN
    )


def test_without_a_pretrained_model() -> None:
    left_out = [{"baseline": "pretrained", "reason": Note(code="from_scratch")}]
    assert write_answer(compared(left_out=left_out), EN)[1] == (
        "The model was not compared with a pretrained model (trained from scratch)."
    )
    assert write_answer(compared(), ZH)[1] == "未与预训练模型比较。"


def believe(**changes: Any) -> tuple[str, str]:
    luck = write_luck(compared(make_comparison("pretrained", **changes), evidence=EVIDENCE), EN)
    assert luck is not None
    return luck.lead, " ".join((*luck.evidence, *luck.limits))


@pytest.mark.parametrize(
    "n, independent, en",
    [
        (1, 1, "This rests on forecasts from one starting point (origin)."),
        (5, 1, "They resemble one another and count as one independent forecast."),
        (5, 5, "This rests on 5 independent forecasts, each from another starting point (origin)."),
    ],
)
def test_one_origin_is_no_plural(n: int, independent: float, en: str) -> None:
    assert en in believe(n_origins=n, n_independent=independent, outcome=UNDECIDED)[1]


def test_how_much_of_it_could_be_luck() -> None:
    lead, why = believe(p_value=0.004, smallest_gain=0.09)
    assert lead == "Yes, luck is an unlikely explanation."
    assert "luck alone would give a difference this large in about 4 of 1,000 such evaluations" in why
    assert "plausibly 2.1% to 15% better (95% confidence)" in why
    assert "40 forecasts from different starting points (origins)" in why and "count as 30 independent ones" in why
    assert "finds a true gain of 9.0% in 4 of 5 cases" in why
    assert (
        "gain of 5% it takes at least 600 independent origins: 28,800 test candles of each symbol (about 2.5 years)"
        in why
    )
    assert "Do not repeat the evaluation on growing data" in why
    assert "fewer than 1 of 1,000" in believe(p_value=1e-6)[1]
    several = believe(p_value=0.04, p_adjusted=0.13, outcome=UNDECIDED)[1]
    assert (
        "Several baselines were compared, and luck alone would give a difference this large from one of them in about 13 of 100"
        in several
    )
    assert "in about 24 of 100" in believe(p_value=0.24, p_adjusted=1.0, outcome=UNDECIDED)[1]


def test_what_chance_may_explain_is_not_to_be_believed() -> None:
    lead, why = believe(outcome=UNDECIDED, p_value=0.48, low=-0.05, high=0.15)
    assert lead == "Not yet. The difference may be luck." and "in about 48 of 100" in why
    assert "anything from 5.0% worse to 15% better" in why
    assert "plausibly 0.0% to 15% better" in believe(outcome=UNDECIDED, low=-0.0004, high=0.15)[1]
    lead, why = believe(outcome=UNDECIDED, n_independent=7.2)
    assert (
        lead == "No. There are too few independent forecasts: 7, and any answer needs at least 10."
        and "luck alone" not in why
    )
    lead, why = believe(outcome="no difference", low=-0.01, high=0.01, p_value=0.9)
    assert lead == "Yes, a difference that matters is ruled out." and "luck alone" not in why
    assert believe(outcome="no difference", skill=0.0, low=0.0, high=0.0)[0] == "Yes, both make the same forecasts."
    assert "3.0% to 9.0% worse" in believe(outcome="hurt", skill=-0.06, low=-0.09, high=-0.03)[1]


def test_an_answer_on_skill_that_is_surer_than_that_on_fine_tuning() -> None:
    open_ = make_outcome("pretrained", UNDECIDED, 0.05)
    luck = write_luck(compared(open_, make_outcome("ewma", "hurt", -0.36)), EN)
    assert luck is not None and luck.lead == "Not yet. The difference may be luck."
    assert luck.evidence[-1].endswith("worse than a random walk with EWMA volatility is unlikely to be luck.")
    for other in (UNDECIDED, "no difference"):
        both = write_luck(compared(open_, make_outcome("ewma", other, 0.01)), ZH)
        assert both is not None and "不太可能只是运气" not in "".join(both.evidence)


def test_nothing_is_said_of_luck_without_a_comparison() -> None:
    assert write_luck(compared(), EN) is None
    luck = write_luck(compared(make_comparison("pretrained", smallest_gain=inf, n_independent=nan), evidence=None), ZH)
    assert luck is not None and len(luck.limits) == 1 and "nan" not in " ".join((luck.lead, *luck.evidence))


@pytest.mark.parametrize(
    "days, en, zh",
    [
        (912, "2.5 years", "2.5 年"),
        (7305, "20 years", "20 年"),
        (183, "6 months", "6 个月"),
        (12.4, "12 days", "12 天"),
        (0.2, "1 day", "1 天"),
    ],
)
def test_durations(days: float, en: str, zh: str) -> None:
    assert format_duration(days, EN) == en and format_duration(days, ZH) == zh


def test_every_next_step_has_words_and_its_command_apart() -> None:
    values = {"command": "kronos x", "baseline": "ewma", "level": 90, "share": 0.7349, "rate": 4e-5, "lower": 1e-5}
    values |= {"n": 600, "n_candles": 28800, "days": 912.0, "gain": 0.05}
    codes = sorted({key.split(".")[1] for key in read_texts("en") if key.startswith("next.")})
    evaluation = compared(next_steps=[Note(code=code, values=values) for code in codes])
    for words in (EN, ZH):
        steps = write_next_steps(evaluation, words)
        assert len(steps) == len(codes) and all(step.command == "kronos x" for step in steps)
        texts = " ".join(step.why for step in steps)
        assert "kronos x" not in texts and "1e-05" in texts and "73%" in texts and "28,800" in texts
    assert (
        "a random walk with EWMA volatility does not know"
        in write_next_steps(evaluation, EN)[codes.index("stop_here")].why
    )


def test_the_verdict_on_the_screen() -> None:
    comparisons = [HELPED, make_outcome("ewma", "hurt", -0.1), make_outcome("seasonal_naive", "helped", 0.2)]
    left_out = [{"baseline": "lstm", "reason": Note(code="lstm_without_candles")}]
    notes = [Note(code="jumps_left_out", values={"n": 1234})]
    evaluation = compared(*comparisons, left_out=left_out, notes=notes, judge_new="kronos new")
    steps = choose_next_steps(evaluation, TrainingFacts(4e-5, True, 0.9, False), "kronos new")
    evaluation = evaluation.model_copy(update={"next_steps": steps})
    shown = write_verdict(evaluation, EN)
    parts = [
        *write_answer(evaluation, EN, exact=True),
        "Should I believe it?",
        "kronos new",
        "What now?",
        "1. Use a simple forecast.",
    ]
    parts += [
        write_sentence(HELPED, evaluation, EN),
        "Against the seasonal naive forecast: CRPS is 20",
        "lstm: it needs",
        "1,234",
    ]
    places = [shown.index(part) for part in parts]
    assert places == sorted(places), "the answer, then luck, then what next, then the rows"
    assert "下一步做什么？" in write_verdict(evaluation, ZH)


def test_the_verdict_in_short() -> None:
    """The baselines that are better are named; the others are on the page."""
    comparisons = [make_outcome("pretrained", "hurt", -0.1), make_outcome("ewma", "helped", 0.2)]
    comparisons += [make_outcome("lstm", "hurt", -0.3), make_outcome("lstm", "hurt", -0.4, metric="mae")]
    evaluation = compared(*comparisons, judge_new="kronos new")
    steps = choose_next_steps(evaluation, TrainingFacts(4e-5, True, 0.9, False), "kronos new")
    evaluation = evaluation.model_copy(update={"next_steps": steps})
    shown = write_short_verdict(evaluation, EN)
    assert shown.startswith(write_headline(evaluation, EN)) and "Should I believe it?" in shown
    assert [line for line in shown.splitlines() if line.startswith("  ") and "(CRPS " in line] == [
        "  Worse than the LSTM (CRPS 30% higher, 95% interval 15% to 45%)."
    ]
    first = write_next_steps(evaluation, EN)[0]
    assert shown.splitlines()[-len(steps)] == f"  1. {first.do}" and first.why not in shown
    assert "kronos new" not in shown, "the next commands come last"
