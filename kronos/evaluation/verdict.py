"""The verdict: is the run better than a baseline, by how much, and how certain is that?"""

from dataclasses import dataclass
from math import isnan

import numpy as np

from kronos.candles import Array
from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.results import Comparison, Verdict
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

MIN_INDEPENDENT = 10  # origins; with fewer neither the test nor the interval is reliable


@dataclass(frozen=True, eq=False)
class _Skill:
    """The skill and its interval (1 + H,), over the whole horizon and then at each step, and its certainty."""

    skill: Array
    low: Array
    high: Array
    p_value: float
    n_independent: float
    identical: bool


def compare_losses(
    metric: str,
    baseline: str,
    own: Array,
    baseline_losses: Array,
    starts: Array,
    ends: Array,
    settings: EvaluationConfig,
) -> Comparison:
    """Compare the run with a baseline on the same origins; `decide` has the rule for the outcome.

    Args:
        metric: a name in METRICS. baseline: the baseline's name.
        own, baseline_losses: the metric (N, H) of the run and of the baseline, NaN where undefined. Only values that
            both have are compared.
        starts, ends: instants (N,), int64 µs, of the last known candle and of the last forecast one.
    """
    valid = np.isfinite(own) & np.isfinite(baseline_losses)
    higher_is_better = METRICS[metric].higher_is_better
    gains = np.where(valid, own - baseline_losses if higher_is_better else baseline_losses - own, np.nan)
    scales = np.ones_like(gains) if higher_is_better else baseline_losses
    measured = _measure(build_loss_series(gains, scales, starts, ends), settings.confidence)
    overall = (float(measured.skill[0]), float(measured.low[0]), float(measured.high[0]))
    certainty = (measured.p_value, measured.n_independent)
    outcome = decide(*overall, *certainty, settings, measured.identical)
    n_origins = int(valid.any(axis=1).sum())
    return Comparison(
        baseline=baseline,
        metric=metric,
        own_figure=_mean(own[valid]),
        baseline_figure=_mean(baseline_losses[valid]),
        skill=overall[0],
        low=overall[1],
        high=overall[2],
        p_value=measured.p_value,
        n_origins=n_origins,
        n_independent=measured.n_independent,
        outcome=outcome,
        skill_by_horizon=tuple(measured.skill[1:].tolist()),
        low_by_horizon=tuple(measured.low[1:].tolist()),
        high_by_horizon=tuple(measured.high[1:].tolist()),
    )


def _measure(terms: LossSeries, confidence: float) -> _Skill:
    """Compute the skill and its certainty from a series of losses."""
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
    """Decide the outcome of a comparison. The first rule that applies counts:

    1. No loss differs: "no difference", however few origins there are.
    2. Fewer than MIN_INDEPENDENT independent origins: "too little data to tell".
    3. The interval excludes 0 and p < 1 − confidence: "helped" or "hurt". Because both must agree, the rate of false
       verdicts on equally good forecasts is at most that of the stricter criterion.
    4. The interval lies within ±margin: "no difference". This rules out a relevant difference, as in a test of
       equivalence (Schuirmann 1987, doi 10.1007/BF01068419). For equally good forecasts, more origins lead to this
       outcome with a probability of about the confidence.
    5. Otherwise: "too little data to tell". A relevant difference is possible. A narrow interval alone is not enough:
       0 to +8% with a margin of 5% does not rule out a relevant difference.

    If the baseline makes no errors at all, the skill is undefined: rule 3 uses p alone, and rule 4 does not apply.
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
