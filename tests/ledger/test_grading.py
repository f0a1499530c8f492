"""Grades of forecasts whose outcome is known by hand, or whose distribution is the true one."""

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from kronos.ledger.grading import compute_pit, compute_quantile_score, grade, match_candles, select_disjoint
from kronos.ledger.records import SHARES, Entry, Outcome
from tests.ledger.made import START, STEP, make_candles, make_forecast


def make_entries(*forecasts) -> list[Entry]:
    return [Entry(number=n, seal="", forecast=each) for n, each in enumerate(forecasts, 1)]


def test_outcomes_are_the_closes_at_the_times_forecast() -> None:
    entries = make_entries(
        make_forecast(0), make_forecast(1, last_close=101.0), make_forecast(0, "B"), make_forecast(9)
    )
    matched = match_candles(entries, {"A": make_candles([100.0, 101.0, 102.0])})
    assert matched.outcomes == [
        Outcome(number=1, step=0, actual=101.0),
        Outcome(number=1, step=1, actual=102.0),
        Outcome(number=2, step=0, actual=102.0),
    ]
    assert list(matched.unknown) == ["B"] and not matched.changed and not matched.unanchored


def test_other_prices_at_the_origin_are_not_compared() -> None:
    """After a split all prices are halved: the forecast was of the old ones."""
    matched = match_candles(make_entries(make_forecast(0)), {"A": make_candles([50.0, 50.5, 51.0])})
    assert matched.changed == [1] and not matched.outcomes


def test_candles_without_the_origin_are_not_compared() -> None:
    entries, candles = make_entries(make_forecast(0)), {"A": make_candles([100.0, 101.0, 102.0])[1:]}
    matched = match_candles(entries, candles)
    assert matched.unanchored == [1] and not matched.outcomes
    assert not match_candles(entries, candles, graded={1: {0: 101.0, 1: 102.0}}).unanchored  # nothing is new


def test_a_split_within_the_horizon_is_no_move() -> None:
    jumps = {"A": pd.DatetimeIndex([START, START + 2 * STEP])}
    matched = match_candles(make_entries(make_forecast(0)), {"A": make_candles([100.0, 101.0, 51.0])}, jumps)
    assert matched.jumped == [1] and [each.step for each in matched.outcomes] == [0]


def test_closes_that_were_revised_after_their_grade() -> None:
    entries, candles = make_entries(make_forecast(0)), {"A": make_candles([100.0, 101.0, 102.0])}
    assert match_candles(entries, candles, graded={1: {0: 101.5}}).revised == [1]
    same = match_candles(entries, candles, graded={1: {0: 101.0}})
    assert not same.revised and [each.step for each in same.outcomes] == [1]


def test_times_that_occur_twice_tell_nothing() -> None:
    """When clocks go back, an hour of local times comes twice."""
    candles = make_candles([100.0, 101.0, 102.0])
    matched = match_candles(make_entries(make_forecast(0)), {"A": pd.concat([candles, candles[1:2]]).sort_index()})
    assert [each.step for each in matched.outcomes] == [1]


def test_steps_that_had_come_when_the_forecast_was_written_do_not_count() -> None:
    late = make_forecast(0).model_copy(
        update={"written": (START + STEP).to_pydatetime() + timedelta(days=1, minutes=1)}
    )
    assert late.n_passed == 1 and not late.is_late
    assert grade(make_entries(late), {1: {0: 101.0, 1: 101.0}})["step"].tolist() == [1]


def test_a_missing_candle_leaves_its_step_open() -> None:
    candles = make_candles([100.0, 101.0, 102.0]).drop(START + STEP)
    matched = match_candles(make_entries(make_forecast(0)), {"A": candles})
    assert [each.step for each in matched.outcomes] == [1]


def test_grades_by_hand() -> None:
    (row, later) = grade(make_entries(make_forecast(0, width=2.0, up=0.4)), {1: {0: 101.0, 1: 96.0}}).to_dict("records")
    assert (row["covered_50"], row["covered_80"], row["covered_90"], row["hit"]) == (True, True, True, 0.0)
    assert (later["covered_50"], later["covered_80"], later["covered_90"], later["hit"]) == (False, False, False, 1.0)
    assert row["pit"] == pytest.approx(norm.cdf(0.5), abs=0.025) and later["pit"] == pytest.approx(0.025)
    assert (row["horizon"], row["step"], row["time"]) == (2, 0, START + STEP)
    assert later["crps_baseline"] > later["crps"]  # the wider distribution is nearer to it


def test_no_direction_without_a_move_or_an_opinion() -> None:
    assert np.isnan(grade(make_entries(make_forecast(up=0.5)), {1: {0: 101.0}})["hit"]).all()
    assert np.isnan(grade(make_entries(make_forecast()), {1: {0: 100.0}})["hit"]).all()


def test_a_baseline_that_sees_no_movement_gives_no_unit() -> None:
    still = make_forecast().model_copy(update={"baseline": ((100.0,) * 19,) * 2})
    assert np.isnan(grade(make_entries(still), {1: {0: 101.0}})[["crps", "crps_baseline"]].to_numpy()).all()


def test_the_score_is_nearly_the_crps() -> None:
    """Of a normal distribution, whose CRPS is known (Gneiting & Raftery 2007, eq. 5 of section 4.2)."""
    z = np.array([-1.5, -0.5, 0.0, 1.0])
    exact = z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)
    quantiles = np.repeat(norm.ppf(SHARES)[:, np.newaxis], len(z), axis=1)
    assert compute_quantile_score(quantiles, z) == pytest.approx(exact, abs=0.02)


def test_pit_is_uniform_for_the_true_distribution() -> None:
    actual = np.random.default_rng(0).normal(size=20_000)
    places = compute_pit(np.repeat(norm.ppf(SHARES)[:, np.newaxis], len(actual), axis=1), actual)
    counts = pd.Series(places).round(3).value_counts()
    assert len(counts) == 20 and counts.min() > 850 and counts.max() < 1150
    assert compute_pit(np.full((19, 1), 100.0), np.array([100.0])).tolist() == [0.5]


def test_horizons_that_overlap_or_are_not_over_are_left_out() -> None:
    entries = make_entries(*(make_forecast(n, symbol) for n in range(6) for symbol in "AB"))
    candles = {symbol: make_candles(np.full(7, 100.0)) for symbol in "AB"}
    outcomes: dict[int, dict[int, float]] = {}
    for each in match_candles(entries, candles).outcomes:
        outcomes.setdefault(each.number, {})[each.step] = each.actual
    used = select_disjoint(grade(entries, outcomes))
    assert sorted(set((used["origin"] - START) / STEP)) == [0, 2, 4] and set(used["symbol"]) == {"A", "B"}


def test_nothing_to_grade() -> None:
    empty = grade([], {})
    assert empty.empty and select_disjoint(empty).empty
