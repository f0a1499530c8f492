"""The verdict: is the run better than a baseline, by how much, and how certain is that?"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite, isnan

import numpy as np
from statsmodels.stats.multitest import multipletests

from kronos.candles import Array
from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.results import Comparison, Evidence, SymbolSkill, Verdict
from kronos.evaluation.scores.metrics import METRICS
from kronos.evaluation.scores.resampling import bootstrap_skill, compute_skill
from kronos.evaluation.scores.uncertainty import (
    LossSeries,
    build_loss_series,
    choose_lags,
    compute_safe_p_value,
    compute_smallest_gain,
    count_independent,
    count_overlaps,
)

MIN_INDEPENDENT = 10  # origins; with fewer neither the test nor the interval is reliable
POWER = 0.8  # the probability with which `smallest_gain` is found
USUAL_GAIN = 0.05  # of CRPS, by fine-tuning that helps


@dataclass(frozen=True, eq=False)
class CaseTimes:
    """When and where the N origins of a comparison are.

    starts, ends: instants (N,), int64 µs, of the last known candle and of the last forecast one. volatility: (N,), of the
    lookbacks. symbols: (N,) names, or nothing if there is one symbol.
    """

    starts: Array
    ends: Array
    volatility: Array | None = None
    symbols: Sequence[str] = ()

    def __getitem__(self, kept: slice | Array) -> "CaseTimes":
        volatility = None if self.volatility is None else self.volatility[kept]
        symbols = np.asarray(self.symbols)[kept].tolist() if len(self.symbols) else ()
        return CaseTimes(self.starts[kept], self.ends[kept], volatility, symbols)


@dataclass(frozen=True, eq=False)
class _Skill:
    """The skill and its interval (1 + H,), over the whole horizon and then at each step, and its certainty."""

    skill: Array
    low: Array
    high: Array
    p_value: float
    n_independent: float
    smallest_gain: float
    identical: bool


def compare_losses(
    metric: str,
    baseline: str,
    own: Array,
    baseline_losses: Array,
    times: CaseTimes,
    settings: EvaluationConfig,
) -> Comparison:
    """Compare the run with a baseline on the same origins; `decide` has the rule for the outcome.

    Args:
        metric: a name in METRICS. baseline: the baseline's name.
        own, baseline_losses: the metric (N, H) of the run and of the baseline, NaN where undefined. Only values that
            both have are compared. Losses must be comparable between origins; see `scoring.measure_unit`.
    """
    valid = np.isfinite(own) & np.isfinite(baseline_losses)
    higher_is_better = METRICS[metric].higher_is_better
    gains = np.where(valid, own - baseline_losses if higher_is_better else baseline_losses - own, np.nan)
    scales = np.ones_like(gains) if higher_is_better else baseline_losses
    terms = build_loss_series(gains, scales, times.starts, times.ends, times.volatility)
    measured = _measure(terms, settings.confidence)
    least = -1.0 if higher_is_better else -np.inf  # of a difference of shares, of a share of an error
    overall = (float(measured.skill[0]), max(float(measured.low[0]), least), min(float(measured.high[0]), 1.0))
    return Comparison(
        baseline=baseline,
        metric=metric,
        own_figure=_mean(own[valid]),
        baseline_figure=_mean(baseline_losses[valid]),
        skill=overall[0],
        low=overall[1],
        high=overall[2],
        p_value=measured.p_value,
        n_origins=int(valid.any(axis=1).sum()),
        n_independent=measured.n_independent,
        smallest_gain=measured.smallest_gain,
        outcome=decide(*overall, measured.p_value, measured.n_independent, settings, measured.identical),
        skill_by_horizon=tuple(measured.skill[1:].tolist()),
        low_by_horizon=tuple(measured.low[1:].tolist()),
        high_by_horizon=tuple(measured.high[1:].tolist()),
        by_symbol=_compare_by_symbol(gains, scales, times.symbols),
    )


def _measure(terms: LossSeries, confidence: float) -> _Skill:
    """Compute the skill and its certainty from a series of losses."""
    if len(terms) and not terms.gains.any():
        zero = np.where(np.append(1, terms.counts.sum(axis=0)) > 0, 0.0, np.nan)
        return _Skill(zero, zero, zero, 1.0, count_independent(terms, 0), np.nan, identical=True)
    lags = choose_lags(terms.deviations, count_overlaps(terms.starts, terms.ends)) if len(terms) else 0
    gains, scales = terms.gains.sum(axis=0), terms.scales.sum(axis=0)
    skill = compute_skill(np.append(gains.sum(), gains), np.append(scales.sum(), scales))
    low, high = bootstrap_skill(terms, lags, confidence)
    p_value, n_independent = compute_safe_p_value(terms, lags), count_independent(terms, lags)
    smallest_gain = compute_smallest_gain(terms, lags, confidence, POWER)
    return _Skill(skill, low, high, p_value, n_independent, smallest_gain, identical=False)


def _compare_by_symbol(gains: Array, scales: Array, symbols: Sequence[str]) -> tuple[SymbolSkill, ...]:
    """Return the skill on each symbol, the best first; nothing if there is one symbol."""
    names, places = np.unique(np.asarray(symbols, dtype=str), return_inverse=True)
    if len(names) < 2:
        return ()
    valid = np.isfinite(gains) & np.isfinite(scales)
    sums = [np.bincount(places, np.where(valid, each, 0.0).sum(axis=1)) for each in (gains, scales)]
    skills = compute_skill(*sums)
    counts = np.bincount(places, valid.any(axis=1)).astype(int)
    order = np.argsort(-skills, kind="stable")  # NaN last
    return tuple(SymbolSkill(symbol=str(names[i]), skill=skills[i], n_origins=counts[i]) for i in order)


def _mean(losses: Array) -> float:
    return float(losses.mean()) if losses.size else float("nan")


def adjust(comparisons: Sequence[Comparison], settings: EvaluationConfig) -> list[Comparison]:
    """Return comparisons with outcomes that account for their number.

    Holm's correction (1979, Scandinavian Journal of Statistics 6, 65–70) raises the p-values. With a probability of at least
    `confidence`, none of the comparisons with equally good baselines then ends in "helped" or "hurt". Baselines with the same
    losses, as those that never move have by mae and direction, are one comparison.
    """
    tested = list(dict.fromkeys(_test_of(each) for each in comparisons if isfinite(each.p_value)))
    if not tested:
        return list(comparisons)
    raised = dict(zip(tested, multipletests([p_value for p_value, *_ in tested], method="holm")[1].tolist()))
    return [
        _readjust(each, raised[_test_of(each)], settings) if isfinite(each.p_value) else each for each in comparisons
    ]


def _test_of(comparison: Comparison) -> tuple[float, ...]:
    """Return the figures that only baselines with the same losses share."""
    return comparison.p_value, comparison.skill, comparison.low, comparison.high


def _readjust(comparison: Comparison, p_adjusted: float, settings: EvaluationConfig) -> Comparison:
    overall = comparison.skill, comparison.low, comparison.high
    outcome = decide(*overall, p_adjusted, comparison.n_independent, settings, comparison.identical)
    return comparison.model_copy(update={"p_adjusted": p_adjusted, "outcome": outcome})


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
       0 to +3% with a margin of 2% does not rule out a relevant difference.

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


def estimate_evidence(comparison: Comparison, n_candles: int, days: float) -> Evidence:
    """Estimate what it takes, at least, to show a gain of USUAL_GAIN over a baseline with a probability of POWER.

    The smallest gain that is shown falls with 1 / sqrt(origins). It is a lower bound, because the measured standard error is
    itself uncertain.

    Args:
        n_candles, days: what the evaluation covers, from the first forecast candle to the last.
    """
    n_needed = None
    if isfinite(comparison.smallest_gain) and comparison.n_independent > 0:
        factor = max((comparison.smallest_gain / USUAL_GAIN) ** 2, MIN_INDEPENDENT / comparison.n_independent)
        n_needed = ceil(factor * comparison.n_independent)
    per_origin = (n_needed or 0) / comparison.n_independent if comparison.n_independent > 0 else 0.0
    return Evidence(
        baseline=comparison.baseline,
        gain=USUAL_GAIN,
        n_origins=n_needed,
        n_candles=ceil(per_origin * n_candles) if n_needed else None,
        days=per_origin * days if n_needed else None,
    )
