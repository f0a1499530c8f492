"""The verdict and its words, on losses whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.results import Comparison, LeftOut, Texts
from kronos.evaluation.scores import uncertainty
from kronos.evaluation.scores.metrics import compute_crps
from kronos.evaluation.verdict import MIN_INDEPENDENT, build_headline, compare, decide, estimate_missing, note_width
from kronos.evaluation.verdict_texts import Finding, write_sentence
from kronos.evaluation.verdict_words import fill

Array = np.ndarray
SETTINGS = EvaluationConfig()
LABEL: Texts = {"en": "Other run", "zh": "另一次训练"}


def draw_losses(n: int, horizon: int, stride: int, seed: int, noise: float = 0.7) -> tuple[Array, Array, Array, Array]:
    """Absolute errors (n, horizon) of two forecasts as good as each other, with starts and ends.

    Of a walk with fat-tailed steps of changing size; either forecast is wrong by a walk of its own, so that the
    errors of overlapping horizons go together.
    """
    generator = np.random.default_rng(seed)
    length = n * stride + horizon
    volatility = np.exp(np.convolve(0.15 * generator.normal(size=length + 99), 0.97 ** np.arange(100), "valid"))
    steps = generator.standard_t(4, (3, length)) * volatility * [[1], [noise], [noise]]
    windows = np.lib.stride_tricks.sliding_window_view(steps, horizon, axis=1)[:, ::stride][:, :n]
    truth, one, other = windows.cumsum(axis=-1)
    starts = np.arange(n) * stride
    return np.abs(truth - one), np.abs(truth - other), starts, starts + horizon


def compare_errors(own: Array, baseline: Array, starts: Array, ends: Array, name: str = "pretrained") -> Comparison:
    return compare("mae", name, LABEL, own, baseline, starts, ends, SETTINGS)


@pytest.mark.parametrize(
    "skill, low, high, p_value, n_independent, outcome",
    [
        (0.10, 0.02, 0.18, 0.01, 50, "helped"),
        (-0.10, -0.18, -0.02, 0.01, 50, "hurt"),
        (0.10, 0.02, 0.18, 0.01, 9.9, "too little data to tell"),  # however significant
        (0.10, 0.02, 0.18, 0.06, 50, "too little data to tell"),  # the test does not agree
        (0.10, -0.01, 0.21, 0.04, 50, "too little data to tell"),  # the interval does not
        (0.01, -0.02, 0.04, 0.40, 50, "no difference"),
        (0.02, 0.01, 0.03, 0.06, 50, "no difference"),
        (0.04, -0.001, 0.08, 0.06, 50, "too little data to tell"),  # narrow, and yet 8 % may be hidden
        (0.00, -0.06, 0.06, 1.00, 50, "too little data to tell"),
        (0.01, 0.005, 0.015, 0.001, 50, "helped"),  # little and sure
        (np.nan, np.nan, np.nan, np.nan, 0, "too little data to tell"),
        (np.nan, np.nan, np.nan, 0.001, 50, "hurt"),  # than a baseline without errors
        (np.nan, np.nan, np.nan, 0.4, 50, "too little data to tell"),
    ],
)
def test_the_rule(skill: float, low: float, high: float, p_value: float, n_independent: float, outcome: str) -> None:
    assert decide(skill, low, high, p_value, n_independent, SETTINGS) == outcome


def test_figures_are_of_what_both_have() -> None:
    own, baseline, starts, ends = draw_losses(60, 4, 4, seed=0)
    own[3, 1], baseline[5], own[9] = np.nan, np.nan, np.nan
    found = compare_errors(own, baseline, starts, ends)
    used = np.isfinite(own) & np.isfinite(baseline)
    assert found.n_origins == 58 and found.n_independent == 58
    assert found.own_figure == pytest.approx(own[used].mean())
    assert found.baseline_figure == pytest.approx(baseline[used].mean())
    assert found.skill == pytest.approx(1 - own[used].mean() / baseline[used].mean())
    for h, skill in enumerate(found.skill_by_horizon):
        assert skill == pytest.approx(1 - own[used[:, h], h].mean() / baseline[used[:, h], h].mean())
        assert found.low_by_horizon[h] < skill < found.high_by_horizon[h]
    assert found.low < found.skill < found.high and len(found.low_by_horizon) == 4


def test_the_same_losses_have_the_same_verdict_in_any_order() -> None:
    drawn = draw_losses(80, 6, 2, seed=1)
    order = np.random.default_rng(0).permutation(80)
    assert compare_errors(*drawn) == compare_errors(*(each[order] for each in drawn))


def test_run_and_baseline_change_places() -> None:
    own, baseline, starts, ends = draw_losses(300, 6, 6, seed=1, noise=0.2)
    better = compare_errors(0.8 * own, baseline, starts, ends)
    worse = compare_errors(baseline, 0.8 * own, starts, ends)
    assert (better.outcome, worse.outcome) == ("helped", "hurt")
    assert better.p_value == pytest.approx(worse.p_value) and better.low > 0 > worse.high


def test_direction_is_better_higher_in_points() -> None:
    generator = np.random.default_rng(0)
    own, baseline = (generator.random((800, 3)) < 0.65) * 1.0, (generator.random((800, 3)) < 0.5) * 1.0
    baseline[generator.random((800, 3)) < 0.1] = np.nan
    starts = np.arange(800)
    found = compare("direction", "last_close", LABEL, own, baseline, starts, starts + 1, SETTINGS)
    used = np.isfinite(baseline)
    assert found.outcome == "helped" and found.skill == pytest.approx(own[used].mean() - baseline[used].mean())
    assert f"{100 * found.skill:.1f} percentage points higher" in found.sentence["en"]
    assert f"方向准确率高 {100 * found.skill:.1f} 个百分点" in found.sentence["zh"]


def test_symbols_that_move_as_one_tell_no_more_than_one() -> None:
    drawn = draw_losses(90, 8, 4, seed=0)
    one, ten = compare_errors(*drawn), compare_errors(*(np.concatenate([each] * 10) for each in drawn))
    assert ten.n_origins == 900 and ten.n_independent == pytest.approx(one.n_independent) and one.n_independent <= 45
    assert ten.high - ten.low == pytest.approx(one.high - one.low) and ten.p_value == pytest.approx(one.p_value)
    assert ten.outcome == one.outcome


@pytest.mark.parametrize("n", [1, 2, 400])
def test_identical_forecasts_do_not_differ_however_few(n: int) -> None:
    own, _, starts, ends = draw_losses(n, 4, 4, seed=0)
    found = compare_errors(own, own, starts, ends)
    assert found.outcome == "no difference" and (found.skill, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert set(found.skill_by_horizon) == {0.0} and "the forecasts are identical" in found.sentence["en"]
    assert "两者的预测完全相同" in found.sentence["zh"]


def test_degenerate_losses() -> None:
    own, baseline, starts, ends = draw_losses(40, 4, 4, seed=0)
    nothing = compare_errors(own * np.nan, baseline, starts, ends)
    assert nothing.outcome == "too little data to tell" and nothing.n_origins == 0 and np.isnan(nothing.skill)
    assert nothing.sentence["en"].endswith("the mean absolute error applies at no origin.")
    for n in (1, 2):
        few = compare_errors(own[:n], baseline[:n], starts[:n], ends[:n])
        assert few.outcome == "too little data to tell" and np.isfinite(few.skill)
    perfect = compare_errors(own, 0 * baseline, starts, ends)
    assert perfect.outcome == "hurt" and np.isnan(perfect.skill) and "is 0" in perfect.sentence["en"]
    constant = compare_errors(np.full((40, 4), 0.9), np.full((40, 4), 1.0), starts, ends)
    assert constant.outcome == "helped" and constant.p_value == 0
    assert (constant.low, constant.high) == (pytest.approx(0.1), pytest.approx(0.1))
    assert "10.0 % lower" in constant.sentence["en"]
    for each in (nothing, few, perfect, constant):
        assert "nan" not in "".join(each.sentence.values())


def test_ten_horizons_are_too_few_unless_they_are_independent() -> None:
    own, baseline, starts, ends = draw_losses(MIN_INDEPENDENT - 1, 4, 4, seed=0)
    assert compare_errors(0.01 * own, baseline, starts, ends).outcome == "too little data to tell"
    own, baseline, starts, ends = draw_losses(4 * (MIN_INDEPENDENT - 1), 4, 1, seed=0)
    assert compare_errors(0.01 * own, baseline, starts, ends).outcome == "too little data to tell"


def count_findings(n: int, horizon: int, stride: int, seeds: range) -> tuple[float, float]:
    """The shares of comparisons of equals in which a difference is found, and in which the test alone finds one."""
    found = [compare_errors(*draw_losses(n, horizon, stride, seed)) for seed in seeds]
    return (
        float(np.mean([each.outcome in ("helped", "hurt") for each in found])),
        float(np.mean([each.p_value < 0.05 for each in found])),
    )


def test_equals_are_rarely_found_to_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncertainty, "N_BOOTSTRAP", 200)
    found, rejected = count_findings(132, 12, 3, range(100))
    assert found <= rejected <= 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("n, horizon, stride", [(20, 8, 8), (132, 8, 8), (120, 12, 1), (300, 12, 3), (1000, 24, 1)])
def test_equals_are_found_to_differ_as_seldom_as_it_says(
    n: int, horizon: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.05 within three standard deviations of a share of 600; below it too, where few horizons leave the test cautious."""
    monkeypatch.setattr(uncertainty, "N_BOOTSTRAP", 500)
    found, rejected = count_findings(n, horizon, stride, range(600))
    deviation = (0.05 * 0.95 / 600) ** 0.5
    assert found <= rejected <= 0.05 + 3 * deviation
    assert rejected >= (0.05 - 3 * deviation if n * stride >= 20 * horizon else 0.01)


@pytest.mark.parametrize("n, horizon, stride", [(400, 8, 8), (1600, 8, 2)])
def test_a_tenth_is_found_with_enough_origins(n: int, horizon: int, stride: int) -> None:
    found = []
    for seed in range(12):
        own, baseline, starts, ends = draw_losses(n, horizon, stride, seed, noise=0.2)
        found.append(compare_errors(0.9 * own, baseline, starts, ends))
    assert sum(each.outcome == "helped" for each in found) >= 10 and "hurt" not in {each.outcome for each in found}
    assert np.mean([each.skill for each in found]) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("n, least", [(132, 7), (400, 9)])
def test_a_random_walk_has_no_skill(n: int, least: int) -> None:
    """Two forecasters who both know how far a walk goes, by their sampled paths."""
    outcomes = []
    for seed in range(10):
        generator = np.random.default_rng(seed)
        truth = (generator.standard_t(4, (n, 12)) / 2**0.5).cumsum(axis=1)
        own = generator.normal(size=(n, 50, 12)).cumsum(axis=2)
        baseline = (generator.standard_t(4, (n, 50, 12)) / 2**0.5).cumsum(axis=2)
        starts = np.arange(n) * 12
        losses = compute_crps(own, truth), compute_crps(baseline, truth)
        outcomes.append(compare("crps", "volatility", LABEL, *losses, starts, starts + 12, SETTINGS).outcome)
    assert outcomes.count("no difference") >= least and outcomes.count("helped") <= 1


FINDING = Finding(
    metric="crps",
    baseline="pretrained",
    label=LABEL,
    outcome="helped",
    skill=0.042,
    low=0.011,
    high=0.0701,
    p_value=0.0042,
    n_origins=132,
    n_independent=88.3,
    confidence=0.95,
    margin=0.05,
    identical=False,
)
UNSURE = replace(
    FINDING,
    outcome="too little data to tell",
    skill=-0.01,
    low=-0.08,
    high=0.06,
    p_value=0.62,
    n_origins=60,
    n_independent=60,
)


def test_sentences() -> None:
    assert write_sentence(FINDING, None) == {
        "en": "Fine-tuning helped: CRPS is 4.2 % lower than the pretrained model's "
        "(95 % interval 1.1 to 7.0 %, p = 0.004; 132 origins, worth about 88 independent ones).",
        "zh": "微调有效：CRPS 比预训练模型低 4.2%（95% 置信区间 1.1% 至 7.0%，p = 0.004；132 个起点，约相当于 88 个独立起点）。",
    }
    hurt = replace(FINDING, baseline="volatility", outcome="hurt", skill=-0.042, low=-0.0701, high=-0.011, p_value=1e-5)
    assert write_sentence(hurt, None) == {
        "en": "Worse than the last close with historical volatility: CRPS is 4.2 % higher "
        "(95 % interval 1.1 to 7.0 %, p < 0.001; 132 origins, worth about 88 independent ones).",
        "zh": "不如历史波动率法：CRPS 高 4.2%（95% 置信区间 1.1% 至 7.0%，p < 0.001；132 个起点，约相当于 88 个独立起点）。",
    }
    same = replace(
        FINDING, baseline="runs/b", metric="mae", outcome="no difference", skill=-0.004, low=-0.02, high=0.012
    )
    assert write_sentence(replace(same, p_value=0.61, n_independent=132), None) == {
        "en": "No different from Other run: the mean absolute error is 0.4 % higher "
        "(95 % interval −1.2 to 2.0 %, within the margin of ±5 %, p = 0.61; 132 independent origins).",
        "zh": "与另一次训练无实质差异：MAE 高 0.4%（95% 置信区间 −1.2% 至 2.0%，未超出 ±5% 的容差，p = 0.61；132 个独立起点）。",
    }
    assert write_sentence(UNSURE, 60) == {
        "en": "Too little data to tell whether fine-tuning helped: CRPS is 1.0 % higher than the pretrained model's "
        "(95 % interval −6.0 to 8.0 %, p = 0.62; 60 independent origins); about 60 more origins would be needed.",
        "zh": "数据太少，无法判断微调是否有效：CRPS 比预训练模型高 1.0%（95% 置信区间 −6.0% 至 8.0%，p = 0.62；60 个独立起点）；大约还需要 60 个起点。",
    }


def test_how_many_are_missing_goes_with_the_square_of_the_width() -> None:
    assert estimate_missing(UNSURE) == 130  # 7 to 4 %: (7 / 4)² × 60 in all, 124 more, of two digits
    assert estimate_missing(FINDING) is None
    few = replace(UNSURE, low=-0.03, high=0.01, n_origins=20, n_independent=5.0)
    assert estimate_missing(few) == 20  # narrow, but of 5 independent origins
    nearly = replace(UNSURE, skill=0.06, low=-0.01, high=0.13, p_value=0.1)
    assert estimate_missing(nearly) == 26  # by the test: (1.96 / 1.645)² × 60 in all, more than by the interval
    assert estimate_missing(replace(UNSURE, low=np.nan, high=np.nan)) is None


def make(baseline: str, outcome: str, skill: float) -> Comparison:
    """A comparison with an interval as wide as befits its outcome."""
    width = 0.5 * abs(skill) if outcome in ("helped", "hurt") else 0.02 if outcome == "no difference" else 0.2
    numbers = {"own_figure": 1, "baseline_figure": 1, "p_value": 0.5, "n_origins": 99, "n_independent": 99}
    horizon = {"skill_by_horizon": (), "low_by_horizon": (), "high_by_horizon": ()}
    ends = {"skill": skill, "low": skill - width, "high": skill + width}
    texts = {"outcome": outcome, "sentence": {"en": "", "zh": ""}, "metric": "crps", "baseline": baseline}
    return Comparison.model_validate(numbers | horizon | ends | texts)


HELPED = make("pretrained", "helped", 0.04)


def test_the_headline_of_skill_is_against_the_best_naive_baseline() -> None:
    naive = [make("last_close", "helped", 0.2), make("volatility", "helped", 0.03), make("drift", "helped", 0.1)]
    assert build_headline([HELPED, *naive, make("lstm", "hurt", -0.2)], []) == {
        "en": "Fine-tuning helped (CRPS 4.0 % lower than the pretrained model's, 95 % interval 2.0 to 6.0 %); the model has "
        "skill: it is better than every naive baseline compared, the best of which is the last close with historical volatility (CRPS 3.0 % "
        "lower, 95 % interval 1.5 to 4.5 %).",
        "zh": "微调有效（CRPS 比预训练模型低 4.0%，95% 置信区间 2.0% 至 6.0%）；模型有预测能力：优于参与比较的所有朴素基准，其中最强的是历史波动率法"
        "（CRPS 低 3.0%，95% 置信区间 1.5% 至 4.5%）。",
    }


def test_better_than_some_naive_baselines_is_no_skill() -> None:
    naive = [make("last_close", "helped", 0.2), make("volatility", "no difference", 0.001)]
    found = build_headline([HELPED, *naive, make("drift", "too little data to tell", -0.1)], [])
    assert (
        "; no skill: the model is no better than the last close with historical volatility (CRPS 0.1 %" in found["en"]
    )
    assert "；没有预测能力：模型并不优于历史波动率法（CRPS 低 0.1%" in found["zh"]
    found = build_headline([HELPED, *naive, make("drift", "hurt", -0.1)], [])
    assert "; no skill: the model is worse than the drift (CRPS 10.0 % higher" in found["en"]


@pytest.mark.parametrize("baselines", [["seasonal_naive"], ["drift"], ["drift", "seasonal_naive"]])
def test_better_than_no_random_walk_is_no_skill(baselines: list[str]) -> None:
    """Yesterday's price at this time of day is worse than the last one: who knows nothing beats it."""
    found = build_headline([HELPED, *(make(baseline, "helped", 0.2) for baseline in baselines)], [])
    assert (
        "the model is better than the " in found["en"]
        and "whether it has skill is not known, as no random" in found["en"]
    )
    assert "有无预测能力尚不可知" in found["zh"] and "has skill" not in found["en"].replace("it has skill", "")
    for walk in ("last_close", "volatility"):
        baselines_too = [make(baseline, "helped", 0.2) for baseline in [*baselines, walk]]
        assert "the model has skill" in build_headline([HELPED, *baselines_too], [])["en"]


def test_the_headline_on_candles_that_were_seen_says_so() -> None:
    found = build_headline([HELPED, make("last_close", "helped", 0.1)], [], on_seen=True)
    assert found["en"].endswith(", partly on candles from the time that the run was trained or validated on.")
    assert found["zh"].endswith("；其中部分 K 线处于训练或验证所用的时间段内。")


def test_skill_that_cannot_be_told_is_not_claimed() -> None:
    unsure = make("last_close", "too little data to tell", 0.1)
    found = build_headline(
        [make("pretrained", "too little data to tell", 0.1), unsure, make("drift", "helped", 0.1)], []
    )
    assert found["en"].startswith("Too little data to tell whether fine-tuning helped (")
    assert "; no skill shown: too little data to tell whether the model is better than the last close (" in found["en"]
    assert "尚看不出预测能力" in found["zh"]


def test_the_headline_without_a_pretrained_model_or_a_naive_baseline() -> None:
    left_out = LeftOut(baseline="pretrained", reason={"en": "trained from scratch.", "zh": "从零训练。"})
    found = build_headline([make("drift", "hurt", -0.1)], [left_out], on_validation=True, confidence=0.9)
    assert found["en"] == (
        "Not compared with a pretrained model (trained from scratch); no skill: the model is worse than the drift "
        "(CRPS 10.0 % higher, 90 % interval 5.0 to 15.0 %), all on the validation split, by which the model was chosen."
    )
    assert found["zh"] == (
        "未与预训练模型比较（从零训练）；没有预测能力：模型不如漂移法（CRPS 高 10.0%，90% 置信区间 5.0% 至 15.0%）；"
        "以上均在验证集上得出，而模型正是依验证集选出的。"
    )
    assert (
        build_headline([], [])["en"] == "Whether the model has skill is not known, as no naive baseline was compared."
    )
    assert build_headline([HELPED], [])["en"].startswith("Fine-tuning helped (")


def test_skill_in_the_width_alone_is_said_to_be_that() -> None:
    """Of a random walk of fat tails, who knows the volatility beats by the CRPS whoever must measure it in the lookback."""

    def note(metric: str, crps: str, **by_mae: str) -> list[Texts]:
        found = [make(baseline, crps, 0.1) for baseline in by_mae] + [HELPED]
        errors = [
            make(baseline, outcome, 0.01).model_copy(update={"metric": "mae"}) for baseline, outcome in by_mae.items()
        ]
        return note_width([*found, *errors], metric)

    (said,) = note("crps", "helped", last_close="helped", volatility="too little data to tell")
    assert "not shown to be better than the last close with historical volatility" in said["en"]
    assert "历史波动率法" in said["zh"]
    assert not note("crps", "helped", last_close="helped", volatility="helped", drift="no difference")
    assert not note("crps", "no difference", last_close="no difference")
    assert not note("mae", "helped", last_close="no difference")
    assert not note("crps", "helped")


def test_latin_names_stand_apart_in_chinese() -> None:
    words = {"en": "demo", "zh": "demo"}
    finding = replace(UNSURE, baseline="finetuned/demo", label=words, outcome="no difference")
    assert write_sentence(finding, None)["zh"].startswith("与 demo 无实质差异：CRPS 高")
    assert fill("优于{}（{}）", "LSTM", "MAE 低 4%") == "优于 LSTM（MAE 低 4%）"
    assert fill("与{name}无差异", name="茅台5min") == "与茅台5min 无差异"
