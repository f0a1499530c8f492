"""The verdict: whether the run is better than a baseline, and the sentence that says so, how much and how surely."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
from scipy import stats

from kronos.candles import Array
from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.results import Comparison, LeftOut, Texts, Verdict
from kronos.evaluation.scores.metrics import METRICS
from kronos.evaluation.scores.uncertainty import (
    LossSeries,
    bootstrap_skill,
    build_loss_series,
    choose_lags,
    compute_p_value,
    compute_skill,
    count_independent,
    count_overlaps,
)
from kronos.evaluation.verdict_texts import Finding, write_headline, write_sentence
from kronos.evaluation.verdict_words import BASELINE_NAMES, ON_SEEN, ON_VALIDATION

IN_THE_WIDTH: Texts = {
    "en": "By the CRPS the model is better than a random walk, but by the mean absolute error it is not shown to be better than {}: "
    "what it knows may be how far prices move, not where. Of a random walk too, who knows the volatility better than the "
    "lookback shows it gets a lower CRPS.",
    "zh": "按 CRPS 模型优于随机游走，但按平均绝对误差尚看不出优于{}：模型掌握的可能只是波动幅度，而不是涨跌去向。即使价格是随机游走，"
    "只要对波动率的了解胜过回看窗口所能提供的，也会得到更低的 CRPS。",
}
MIN_INDEPENDENT = 10  # origins; with fewer neither the test nor the interval can be relied on
NAIVE_BASELINES = ("last_close", "drift", "seasonal_naive", "volatility")
RANDOM_WALKS = ("last_close", "volatility")  # which drift, by its noise, and seasonal_naive are often worse than


@dataclass(frozen=True, eq=False)
class _Skill:
    """The skill with its interval, over the whole horizon and then at each time of it (1 + H,), and how sure it is."""

    skill: Array
    low: Array
    high: Array
    p_value: float
    n_independent: float
    identical: bool


def compare(
    metric: str,
    baseline: str,
    label: Texts,
    own: Array,
    baseline_losses: Array,
    starts: Array,
    ends: Array,
    settings: EvaluationConfig,
) -> Comparison:
    """Compare the run with a baseline on the same origins; `decide` has the rule of the outcome.

    Args:
        metric: of METRICS. baseline, label: its name, and what people call it.
        own, baseline_losses: the metric (N, H) of either, NaN where it does not apply; only what both have counts.
        starts, ends: instants (N,), int64 µs, of the last known candle and of the last one forecast.
    """
    valid = np.isfinite(own) & np.isfinite(baseline_losses)
    higher_is_better = METRICS[metric].higher_is_better
    gains = np.where(valid, own - baseline_losses if higher_is_better else baseline_losses - own, np.nan)
    scales = np.ones_like(gains) if higher_is_better else baseline_losses
    found = _measure(build_loss_series(gains, scales, starts, ends), settings.confidence)
    overall = (float(found.skill[0]), float(found.low[0]), float(found.high[0]))
    finding = Finding(
        metric=metric,
        baseline=baseline,
        label=label,
        outcome=decide(*overall, found.p_value, found.n_independent, settings, found.identical),
        skill=overall[0],
        low=overall[1],
        high=overall[2],
        p_value=found.p_value,
        n_origins=int(valid.any(axis=1).sum()),
        n_independent=found.n_independent,
        confidence=settings.confidence,
        margin=settings.margin,
        identical=found.identical,
    )
    return Comparison(
        baseline=baseline,
        metric=metric,
        own_figure=_mean(own[valid]),
        baseline_figure=_mean(baseline_losses[valid]),
        skill=finding.skill,
        low=finding.low,
        high=finding.high,
        p_value=finding.p_value,
        n_origins=finding.n_origins,
        n_independent=finding.n_independent,
        outcome=finding.outcome,
        sentence=write_sentence(finding, estimate_missing(finding)),
        skill_by_horizon=tuple(found.skill[1:].tolist()),
        low_by_horizon=tuple(found.low[1:].tolist()),
        high_by_horizon=tuple(found.high[1:].tolist()),
    )


def _measure(terms: LossSeries, confidence: float) -> _Skill:
    if len(terms) and not terms.gains.any():
        zero = np.where(np.append(1, terms.counts.sum(axis=0)) > 0, 0.0, np.nan)
        return _Skill(zero, zero, zero, 1.0, count_independent(terms, 0), identical=True)
    lags = choose_lags(terms.deviations, count_overlaps(terms.starts, terms.ends)) if len(terms) else 0
    gains, scales = terms.gains.sum(axis=0), terms.scales.sum(axis=0)
    skill = compute_skill(np.append(gains.sum(), gains), np.append(scales.sum(), scales))
    low, high = bootstrap_skill(terms, lags, confidence)
    return _Skill(skill, low, high, compute_p_value(terms, lags), count_independent(terms, lags), identical=False)


def _mean(losses: Array) -> float:
    return float(losses.mean()) if losses.size else float("nan")


def decide(
    skill: float,
    low: float,
    high: float,
    p_value: float,
    n_independent: float,
    settings: EvaluationConfig,
    identical: bool = False,
) -> Verdict:
    """Decide what a comparison says. In this order:

    1. Not a loss differs: "no difference", however few origins.
    2. Fewer than MIN_INDEPENDENT independent origins: "too little data to tell".
    3. The interval excludes 0 and p < 1 − confidence: "helped" or "hurt". Both have to agree, so that a difference between
       equals is found at most as often as the stricter one of them errs.
    4. The interval lies within ±margin: "no difference", for a difference that would matter is ruled out, as in a test of
       equivalence (Schuirmann 1987, doi 10.1007/BF01068419). With forecasts as good as each other, this is where more
       and more origins lead, in all but 1 − confidence of cases.
    5. Otherwise a difference that matters may be hidden: "too little data to tell". The half width alone would not do: 0 to
       +8 % with a margin of 5 % is narrow enough and yet says nothing of the kind.

    Where the baseline makes no errors at all, its share is not defined; then p alone decides 3, and 4 does not apply.
    """
    if identical:
        return "no difference"
    if isnan(p_value) or n_independent < MIN_INDEPENDENT:
        return "too little data to tell"
    significant = p_value < 1 - settings.confidence
    if isnan(skill):
        return "hurt" if significant else "too little data to tell"
    if significant and (low > 0 or high < 0):
        return "helped" if skill > 0 else "hurt"
    return "no difference" if -settings.margin < low and high < settings.margin else "too little data to tell"


def estimate_missing(finding: Finding) -> int | None:
    """Estimate how many more origins like these a verdict needs; None where none is missing, or nothing can be said.

    The interval narrows with 1 / sqrt(origins). If the skill stays what it is, there is a verdict as soon as the interval excludes 0
    (and the test agrees) or is within ±margin, whichever comes first.
    """
    half_width, size = (finding.high - finding.low) / 2, abs(finding.skill)
    if finding.outcome != "too little data to tell" or not half_width > 0 or not finding.n_independent > 1:
        return None
    target = max(size, finding.margin - size)
    factor = max((half_width / target) ** 2, MIN_INDEPENDENT / finding.n_independent)
    if size >= finding.margin - size and 0 < finding.p_value < 1:
        needed, reached = stats.norm.isf([(1 - finding.confidence) / 2, finding.p_value / 2])
        factor = max(factor, (needed / reached) ** 2)
    more = finding.n_origins * (factor - 1)
    if more <= 0:
        return None
    digit = 10.0 ** max(int(np.log10(more)) - 1, 0)  # two digits: it is an estimate
    return int(np.ceil(more / digit) * digit)


def build_headline(
    comparisons: Sequence[Comparison],
    left_out: Sequence[LeftOut] = (),
    on_validation: bool = False,
    confidence: float = 0.95,
    on_seen: bool = False,
) -> Texts:
    """Say in one sentence whether fine-tuning helped, and whether the model has skill.

    It has skill if it is better than every naive baseline compared, a random walk among them; otherwise the sentence names the
    best of those that it is not better than. If there is no comparison with the pretrained model, the sentence says why, as left_out does.

    Args:
        comparisons: all by one metric, the verdict's.
        on_validation: the origins are of the validation split, which the sentence then says.
        confidence: of the comparisons' intervals.
        on_seen: some origins are of candles that the run was trained or validated on, which the sentence then says.
    """
    by_baseline = {each.baseline: each for each in comparisons}
    naive = [by_baseline[name] for name in NAIVE_BASELINES if name in by_baseline]
    short = [each for each in naive if each.outcome != "helped"]
    # Not better than one is no skill; only if nothing worse is known does it stay open.
    settled = [each for each in short if each.outcome != "too little data to tell"]
    hardest = min(
        settled or short or naive, key=lambda each: each.skill if each.skill == each.skill else -np.inf, default=None
    )
    reason = next((each.reason for each in left_out if each.baseline == "pretrained"), None)
    has_walk = any(name in by_baseline for name in RANDOM_WALKS)
    caveat = ON_VALIDATION if on_validation else ON_SEEN if on_seen else None
    return write_headline(by_baseline.get("pretrained"), reason, hardest, has_walk, caveat, confidence)


def note_width(comparisons: Sequence[Comparison], metric: str) -> list[Texts]:
    """Say so where a skill by the CRPS, the verdict's metric, is not shown by the error of the median too.

    Args:
        comparisons: by all metrics.
    """
    by_crps, by_error = (
        {each.baseline: each for each in comparisons if each.metric == name and each.baseline in RANDOM_WALKS}
        for name in ("crps", "mae")
    )
    if metric != "crps" or any(each.outcome != "helped" for each in by_crps.values()):
        return []
    short = [each for name, each in by_error.items() if name in by_crps and each.outcome != "helped"]
    if not short:
        return []
    baseline = min(short, key=lambda each: each.skill if each.skill == each.skill else -np.inf).baseline
    return [{language: text.format(BASELINE_NAMES[baseline][language]) for language, text in IN_THE_WIDTH.items()}]
