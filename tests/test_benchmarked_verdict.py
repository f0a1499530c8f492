"""The verdict on markets in which nothing can be known, in small; benchmarks/verdict.py measures the rates exactly."""

from collections import Counter

import pytest
from scipy.stats import binom

from benchmarks.markets import MARKETS
from benchmarks.verdict import SIZES, find_equal_widths, run_null, run_power

N_SEEDS = 60
RARE = 1e-4  # how often chance alone fails a test


@pytest.mark.slow
@pytest.mark.parametrize("name", MARKETS)
def test_false_verdicts_are_as_rare_as_documented(name: str) -> None:
    widths, totals = find_equal_widths(name), Counter[str]()
    for seed in range(N_SEEDS):
        for (forecaster, n), (counts, p_values) in run_null(name, widths, seed).items():
            assert n in SIZES and len(p_values) == 2
            if forecaster != "constant":  # the documented exception
                totals += counts
    n_dependent = totals["n"] // 6  # the judgements of a seed share its candles: they count as a few
    assert n_dependent >= N_SEEDS
    for verdict, rate in (("helped", 0.03), ("hurt", 0.03), ("skill", 0.02)):
        share = totals[verdict] / totals["n"]
        assert share <= binom.ppf(1 - RARE, n_dependent, rate) / n_dependent, (verdict, share)


@pytest.mark.slow
def test_a_planted_gain_is_found() -> None:
    found = [run_power("random walk", seed) for seed in range(20)]
    large = [each["helped", 0.15, 400]["helped"] for each in found]
    skilled = [each["skill", 0.15, 400] for each in found]
    assert sum(large) >= 17 and sum(each["level"] for each in skilled) >= 17
    gains = [each["helped", 0.1, 400]["gain"] for each in found]
    assert sum(gains) / len(gains) == pytest.approx(0.1, abs=0.02)
