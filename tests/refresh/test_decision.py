"""When a new run replaces the old one."""

import numpy as np
import pytest

from kronos.config.evaluation import EvaluationConfig
from kronos.errors import DataError
from kronos.evaluation.verdict import CaseTimes, compare_losses
from kronos.refresh.decision import decide_replacement
from tests.evaluation.made_evaluation import make_comparison, make_evaluation


@pytest.mark.parametrize(
    ("low", "high", "n_independent", "reason"),
    [
        (0.01, 0.1, 50, "not_worse"),
        (-0.019, 0.1, 50, "not_worse"),
        (-0.03, -0.01, 50, "unclear"),  # worse, but perhaps by less than the margin
        (-0.2, 0.3, 50, "unclear"),
        (-0.02, 0.1, 50, "unclear"),
        (-0.3, -0.021, 50, "worse"),
        (0.01, 0.1, 9, "too_few"),
        (float("nan"), float("nan"), 50, "too_few"),
        (0.0, 0.0, 50, "unchanged"),
    ],
)
def test_the_interval_decides(low: float, high: float, n_independent: float, reason: str) -> None:
    own = make_comparison("pretrained", skill=(low + high) / 2, low=low, high=high, n_independent=n_independent)
    others = make_comparison("last_close", low=-0.5, high=-0.4), make_comparison("pretrained", metric="mae", low=-0.5)
    decision = decide_replacement(make_evaluation(comparisons=[others[0], own, others[1]]), 0.02)
    assert decision.reason == reason and decision.replaces == (reason == "not_worse")
    assert decision.to_json()["low"] == (None if low != low else low)


@pytest.mark.parametrize("code", ["seen_before", "on_seen", "held_out_symbols"])
def test_candles_that_a_run_has_seen_decide_nothing(code: str) -> None:
    notes = [{"code": code, "values": {"until": "2024"}}]
    with pytest.raises(DataError, match="neither has seen"):
        decide_replacement(make_evaluation(comparisons=[make_comparison("pretrained")], notes=notes), 0.02)


def test_validation_has_chosen_the_new_model_and_decides_nothing() -> None:
    with pytest.raises(DataError, match="neither has seen"):
        decide_replacement(make_evaluation(comparisons=[make_comparison("pretrained")], split="val"), 0.02)


def test_without_the_old_run_nothing_is_decided() -> None:
    with pytest.raises(DataError, match="neither has seen"):
        decide_replacement(make_evaluation(), 0.02)


def count_replaced(worse: float, n_runs: int) -> float:
    """The share of new runs, truly worse by a share of the CRPS, that replace the old one after 100 disjoint horizons."""
    n, horizon, replaced = 100, 4, 0
    starts = np.arange(n) * horizon * 300_000_000
    times = CaseTimes(starts, starts + horizon * 300_000_000, np.ones(n))
    for seed in range(n_runs):
        rng = np.random.default_rng(seed)
        old = rng.gamma(2, 0.5, (n, 1)) * rng.gamma(20, 1 / 20, (n, horizon))
        new = old * (1 + worse + rng.normal(0, 0.05, (n, 1)))
        comparison = compare_losses("crps", "pretrained", new, old, times, EvaluationConfig())
        replaced += decide_replacement(make_evaluation(comparisons=[comparison]), 0.02).replaces
    return replaced / n_runs


@pytest.mark.slow
def test_how_often_a_new_run_is_taken() -> None:
    """One that is worse by the margin in at most 5% of the cases (1% more by chance here), an equal one mostly."""
    assert count_replaced(0.02, 150) <= 0.06
    assert count_replaced(0.0, 50) >= 0.7
