"""Backtests of the value at risk: which origins they use, what they find, and that right forecasts are rarely called wrong."""

import numpy as np
import pytest

from kronos.evaluation.records import ValueAtRisk
from kronos.evaluation.scores.calibration import fit_calibration
from kronos.evaluation.scores.value_at_risk import count_needed_paths, measure_value_at_risk, select_one_at_a_time

HORIZON = 3


def measure(
    n: int, n_paths: int = 50, width: float = 1.0, seed: int = 0, common: float = 0.0, n_symbols: int = 1
) -> ValueAtRisk | None:
    """Random walks from n origins without overlap, of each symbol; the actual one is `width` as wide. common: the share of shocks."""
    rng = np.random.default_rng(seed)
    shocks = np.repeat(rng.normal(size=(n, 1, HORIZON)), n_symbols, axis=0)
    own = rng.normal(size=(n * n_symbols, n_paths + 1, HORIZON))
    own[:, 0] = common * shocks[:, 0] + np.sqrt(1 - common**2) * own[:, 0]
    walks = own.cumsum(axis=-1)
    starts = np.repeat(np.arange(n) * HORIZON, n_symbols)
    symbols = np.tile(np.arange(n_symbols), n)
    return measure_value_at_risk(
        walks[:, 1:], width * walks[:, 0], symbols, (starts, starts + HORIZON, 0.95), np.ones(len(walks))
    )


def test_levels_that_the_paths_can_tell() -> None:
    assert [count_needed_paths(level) for level in (0.95, 0.99)] == [19, 99]
    assert measure(20, n_paths=18) is None
    few, many = measure(20, n_paths=98), measure(20, n_paths=99)
    assert few and [each.level for each in few.tests] == [0.95]
    assert many and [each.level for each in many.tests] == [0.95, 0.99]


@pytest.mark.parametrize(
    ("n", "width", "outcome"),
    [(200, 1.0, "as expected"), (200, 1.6, "too many"), (200, 0.4, "too rare"), (40, 1.0, "too few to tell")],
)
def test_outcomes(n: int, width: float, outcome: str) -> None:
    found = measure(n, width=width)
    assert found and found.n_origins == n and not found.calibrated
    assert found.tests[0].outcome == outcome and found.tests[0].independent
    assert found.tests[0].share == found.tests[0].n_exceeded / n


def test_a_calibration_counts() -> None:
    """Paths half as wide as the truth understate the risk; a calibration on earlier ones mends it."""
    rng = np.random.default_rng(0)
    paths, actual = rng.normal(size=(600, 50, HORIZON)).cumsum(-1), 2 * rng.normal(size=(600, HORIZON)).cumsum(-1)
    fitted = fit_calibration(paths[:300], actual[:300], np.ones(300))
    starts, symbols, ones = np.arange(300) * HORIZON, np.zeros(300, int), np.ones(300)
    times = starts, starts + HORIZON, 0.95
    raw, calibrated = (
        measure_value_at_risk(paths[300:], actual[300:], symbols, times, ones, each) for each in (None, fitted)
    )
    assert raw and calibrated and calibrated.calibrated
    assert (raw.tests[0].outcome, calibrated.tests[0].outcome) == ("too many", "as expected")


def test_one_origin_at_a_time() -> None:
    """Two symbols at 0, 1, … with horizons of 2: every second instant, and the symbols in turn."""
    starts = np.repeat(np.arange(8), 2)
    symbols = np.tile([0, 1], 8)
    chosen = select_one_at_a_time(symbols, starts, starts + 2)
    assert starts[chosen].tolist() == [0, 2, 4, 6] and symbols[chosen].tolist() == [0, 1, 0, 1]
    shuffled = np.random.default_rng(0).permutation(16)
    again = select_one_at_a_time(symbols[shuffled], starts[shuffled], starts[shuffled] + 2)
    assert shuffled[again].tolist() == chosen.tolist()
    assert not len(select_one_at_a_time(symbols[:0], starts[:0], starts[:0]))


@pytest.mark.slow
@pytest.mark.parametrize(("n_symbols", "common"), [(1, 0.0), (8, 0.9)])
def test_right_forecasts_are_rarely_called_wrong(n_symbols: int, common: float) -> None:
    """At a confidence of 95%, at most 5% of evaluations find anything, also of symbols that move together."""
    n_runs = 200
    found = [measure(120, 99, seed=seed, n_symbols=n_symbols, common=common) for seed in range(n_runs)]
    wrong = sum(any(t.outcome in ("too many", "too rare") or not t.independent for t in each.tests) for each in found)  # type: ignore[union-attr]
    assert wrong <= n_runs * 0.05 + 3 * np.sqrt(n_runs * 0.05 * 0.95), wrong
