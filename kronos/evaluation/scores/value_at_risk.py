"""Backtest the value at risk of a run's forecasts: is it exceeded as often as it should be? It is no part of the verdict.

The value at risk is a quantile of the return over the whole horizon. An exception is a return below it. If the forecasts are
right, the exceptions of forecasts that follow one another are independent, each with the probability 1 − level. This holds for
one symbol and horizons that do not overlap. Several symbols move together, and their exceptions come together. The tests
therefore use one origin at a time: the next one after the horizon before, and if several symbols have one, that of the symbol
that was used least. The choice does not depend on outcomes. The share of exceptions is given over all origins too, with a
block-bootstrap interval, which allows for overlaps and for common moves.

Shapes: N origins, P paths, H steps of the horizon.
"""

import numpy as np

from kronos.candles import Array
from kronos.evaluation.records import RiskOutcome, RiskTest, ValueAtRisk
from kronos.evaluation.scores.calibration import Calibration
from kronos.evaluation.scores.quantiles import find_quantiles
from kronos.evaluation.scores.resampling import bootstrap_share
from kronos.risk.backtests import Backtest, backtest, find_coverage_p

LEVELS = (0.95, 0.99)


def measure_value_at_risk(
    returns: Array,
    actual: Array,
    symbols: Array,
    times: tuple[Array, Array, float],
    volatility: Array,
    calibration: Calibration | None = None,
) -> ValueAtRisk | None:
    """Return the backtests of each of LEVELS that so many paths can tell; None if they can tell none.

    Args:
        returns, actual: log returns since the last known close, of the paths (N, P, H) and actual ones (N, H).
        symbols: their numbers (N,).
        times: instants (N,), int64 µs, of the last known and the last forecast candle; the confidence of intervals.
        volatility: (N,), of the lookbacks. calibration: that of the bands; None: they are as sampled.
    """
    levels = [level for level in LEVELS if returns.shape[1] >= count_needed_paths(level)]
    if not levels:
        return None
    starts, ends, confidence = times
    tested = select_one_at_a_time(symbols, starts, ends)
    exceeded = [actual[:, -1] < _find_lower(returns, level, volatility, calibration) for level in levels]
    found = [backtest(each[tested], level) for each, level in zip(exceeded, levels)]
    n_tests = sum(np.isfinite([each.p_coverage, each.p_independence]).sum() for each in found)
    tests = [_conclude(each, all_, times, (1 - confidence) / n_tests) for each, all_ in zip(found, exceeded)]
    return ValueAtRisk(calibrated=calibration is not None, n_origins=len(tested), tests=tuple(tests))


def count_needed_paths(level: float) -> int:
    """Return the fewest paths with a value at risk of a level: the lowest of P is undercut with the probability 1 / (P + 1)."""
    return round(1 / (1 - level)) - 1


def select_one_at_a_time(symbols: Array, starts: Array, ends: Array) -> Array:
    """Return the indices of origins whose horizons do not overlap, over all symbols, in order of time (see above)."""
    chosen: list[int] = []
    n_used = dict.fromkeys(symbols.tolist(), 0)
    order = np.argsort(starts, kind="stable")
    instants, firsts = np.unique(starts[order], return_index=True)
    free_from = instants[0] if len(instants) else 0
    for instant, fits in zip(instants.tolist(), np.split(order, firsts[1:])):
        if instant >= free_from:
            used = min(fits.tolist(), key=lambda i: (n_used[int(symbols[i])], int(symbols[i])))
            n_used[int(symbols[used])] += 1
            chosen.append(used)
            free_from = int(ends[used])
    return np.array(chosen, np.int64)


def _find_lower(returns: Array, level: float, volatility: Array, calibration: Calibration | None) -> Array:
    """Return the log return (N,) that is undercut with the probability 1 − level, calibrated as bands are."""
    lower: Array
    if calibration is not None:
        lower = calibration.quantile(returns, volatility, 1 - level)[:, -1]
    else:
        lower = find_quantiles(np.sort(returns[..., -1:], axis=1), [1 - level], "weibull")[0, :, 0]
    return lower


def _conclude(found: Backtest, exceeded: Array, times: tuple[Array, Array, float], threshold: float) -> RiskTest:
    low, high = bootstrap_share(exceeded[:, np.newaxis].astype(float), *times)
    return RiskTest(
        level=found.confidence,
        n_exceeded=found.n_exceeded,
        n_expected=round(found.n_expected, 6),
        p_coverage=found.p_coverage,
        p_independence=found.p_independence,
        outcome=_decide_outcome(found, threshold),
        independent=not found.p_independence < threshold,
        share=float(exceeded.mean()),
        low=low,
        high=high,
    )


def _decide_outcome(found: Backtest, threshold: float) -> RiskOutcome:
    """Return the outcome; "too few" if even a value at risk that is never exceeded would not be noticed."""
    if found.p_coverage < threshold:
        return "too many" if found.n_exceeded > found.n_expected else "too rare"
    return "as expected" if find_coverage_p(0, found.n, 1 - found.confidence) < threshold else "too few to tell"
