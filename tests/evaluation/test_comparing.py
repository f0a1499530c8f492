"""All comparisons of a run: corrected for their number, by symbol, and what it takes to show a gain."""

import math

import numpy as np
import pytest

from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.comparing import compare_all
from kronos.evaluation.results import Comparison
from kronos.evaluation.verdict import USUAL_GAIN, CaseTimes, adjust, estimate_evidence
from tests.evaluation.made_evaluation import make_comparison

N, H = 80, 3
SETTINGS = EvaluationConfig()
STARTS = np.arange(N)
TIMES = CaseTimes(STARTS, STARTS + 1)


def draw_losses(seed: int, better: float = 0.0) -> dict[str, np.ndarray]:
    losses = np.random.default_rng(seed).random((N, H)) + 1 - better
    return {"crps": losses, "mae": losses, "direction": (losses < 1.5) * 1.0}


def find(comparisons: list[Comparison], metric: str = "crps") -> dict[str, Comparison]:
    return {each.baseline: each for each in comparisons if each.metric == metric}


def test_many_baselines_raise_the_bar() -> None:
    """p-values of 0.02 and 0.03 are a difference each, but not as two of four."""
    drawn = [make_comparison(name, p_value=p) for name, p in zip("abcd", (0.02, 0.001, 0.03, 0.9))]
    adjusted = {each.baseline: each for each in adjust(drawn, SETTINGS)}
    assert [adjusted[name].p_adjusted for name in "abcd"] == pytest.approx([0.06, 0.004, 0.06, 0.9])  # × 3, 4, 2 and 1
    assert [adjusted[name].outcome == "helped" for name in "abcd"] == [False, True, False, False]
    assert all(each.p_value == before.p_value for each, before in zip(adjust(drawn, SETTINGS), drawn))
    undefined = make_comparison("e", p_value=math.nan, outcome="too little data to tell")
    assert adjust([undefined], SETTINGS) == [undefined]


def test_baselines_with_the_same_losses_are_one_comparison() -> None:
    """By mae and direction, all baselines that never move are the same forecast."""
    still, own = draw_losses(1), draw_losses(0, better=0.05)
    alone = find(compare_all(own, {"garch": still, "majority": draw_losses(2)}, TIMES, SETTINGS))
    together = dict.fromkeys(("ewma", "garch", "volatility"), still) | {"majority": draw_losses(2)}
    found = find(compare_all(own, together, TIMES, SETTINGS))
    assert {found[name].p_adjusted for name in together if name != "majority"} == {alone["garch"].p_adjusted}
    assert found["majority"].p_adjusted == alone["majority"].p_adjusted


def test_what_was_asked_beforehand_and_straw_men_do_not_count() -> None:
    baselines = {name: draw_losses(i + 1) for i, name in enumerate(("pretrained", "seasonal_naive", "ewma", "lstm"))}
    found = find(compare_all(draw_losses(0, better=0.05), baselines, TIMES, SETTINGS))
    assert math.isnan(found["pretrained"].p_adjusted) and math.isnan(found["seasonal_naive"].p_adjusted)
    smaller, larger = sorted([found["ewma"], found["lstm"]], key=lambda each: each.p_value)
    assert smaller.p_adjusted == pytest.approx(2 * smaller.p_value)
    assert larger.p_adjusted == pytest.approx(max(larger.p_value, smaller.p_adjusted))
    by_error = find(compare_all(draw_losses(0), baselines, TIMES, SETTINGS), "mae")
    assert all(math.isnan(each.p_adjusted) for each in by_error.values())


def test_skill_by_symbol_of_the_quoted_comparisons() -> None:
    own, other = draw_losses(0), draw_losses(1)
    symbols = np.array(["calm", "wild"])[np.arange(N) % 2]
    own = {name: losses.copy() for name, losses in own.items()}
    own["crps"][symbols == "wild"] *= 0.5
    times = CaseTimes(STARTS, STARTS + 1, symbols=symbols.tolist())
    compared = compare_all(own, {"pretrained": other, "ewma": other, "garch": other}, times, SETTINGS)
    found = find(compared)
    first, second = found["pretrained"].by_symbol
    assert (first.symbol, second.symbol, first.n_origins, second.n_origins) == ("wild", "calm", N / 2, N / 2)
    for each in (first, second):
        used = symbols == each.symbol
        assert each.skill == pytest.approx(1 - own["crps"][used].sum() / other["crps"][used].sum())
    assert found["ewma"].by_symbol and not found["garch"].by_symbol  # ewma is the headline's baseline
    assert not any(each.by_symbol for each in compared if each.metric != "crps")
    assert not any(each.by_symbol for each in compare_all(own, {"pretrained": other}, TIMES, SETTINGS))


def test_skill_by_symbol_of_the_baseline_that_is_not_beaten() -> None:
    """The headline names it, so its symbols are of interest."""
    own, losses = draw_losses(0), draw_losses(0, better=-0.2)
    times = CaseTimes(STARTS, STARTS + 1, symbols=["A", "B"] * (N // 2))
    found = find(compare_all(own, {"ewma": losses, "garch": own}, times, SETTINGS))
    assert found["ewma"].outcome == "helped" and found["garch"].outcome == "no difference"
    assert found["garch"].by_symbol and not found["ewma"].by_symbol


def test_a_volatile_symbol_does_not_decide_for_all() -> None:
    """Scaled losses give each symbol the same weight: nine improve by 10%, one gets worse by 10%."""
    generator, n_symbols = np.random.default_rng(0), 10
    losses = generator.random((40 * n_symbols, 1)) + 1
    number = np.arange(len(losses)) % n_symbols
    own = losses * np.where(number == 0, 1.1, 0.9)[:, np.newaxis]
    starts = np.arange(len(losses)) // n_symbols
    times = CaseTimes(starts, starts + 1, symbols=[f"S{i}" for i in number])
    drawn = [{"crps": each, "mae": each, "direction": np.ones_like(each)} for each in (own, losses)]
    found = find(compare_all(drawn[0], {"pretrained": drawn[1]}, times, SETTINGS))["pretrained"]
    assert found.outcome == "helped" and found.skill == pytest.approx(0.08, abs=0.01)
    assert found.by_symbol[-1].symbol == "S0" and sum(each.skill > 0 for each in found.by_symbol) == 9


def test_evidence_grows_with_the_square_of_the_gain() -> None:
    comparison = make_comparison("pretrained", smallest_gain=4 * USUAL_GAIN, n_independent=30.0)
    found = estimate_evidence(comparison, n_candles=1440, days=30.0)
    assert (found.n_origins, found.n_candles, found.days) == (16 * 30, 16 * 1440, pytest.approx(16 * 30.0))
    plenty = estimate_evidence(make_comparison("ewma", smallest_gain=0.001, n_independent=1000.0), 48000, 1000.0)
    assert plenty.n_origins == 10  # fewer have no reliable test
    unknown = estimate_evidence(make_comparison("ewma", smallest_gain=math.nan), 1440, 30.0)
    assert (unknown.n_origins, unknown.n_candles, unknown.days) == (None, None, None)
