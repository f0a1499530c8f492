"""Score one forecaster against the actual closes: its figures, and the error at each origin and step."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from kronos.candles import Array
from kronos.evaluation.forecasters.base import Forecaster
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.records import HorizonFigures
from kronos.evaluation.results import ForecasterResult
from kronos.evaluation.scores.calibration import SMALLEST_VOLATILITY, measure_volatility
from kronos.evaluation.scores.direction import compute_direction_figures, compute_up_probability, describe_direction
from kronos.evaluation.scores.figures import average, compute_bands, compute_price_figures, compute_return_figures
from kronos.evaluation.scores.metrics import compute_crps, compute_direction_hits, compute_fair_absolute_error
from kronos.evaluation.scores.pit import count_pit, find_pit_band, spread_pit
from kronos.evaluation.scores.resampling import bootstrap_correlation, bootstrap_share

ROUNDING = float(np.finfo(np.float32).eps)  # candles have single precision: a smaller change is rounding
COMPARED_BY = ("crps", "mae", "direction")
SMALLEST_SHARE = 0.1  # of the usual volatility of a symbol: a lookback without moves would outweigh all others


@dataclass(frozen=True, eq=False)
class Scored:
    """The scores of a forecaster.

    figures: over all origins. losses: (N, H) by metric of COMPARED_BY, comparable between origins: crps and mae are
    divided by `measure_unit`. raw: the same without the division, of log returns since the last known close.
    """

    figures: ForecasterResult
    losses: dict[str, Array]
    raw: dict[str, Array]


def score(
    forecaster: Forecaster, paths: Array, origins: Origins, seconds: float = 0.0, confidence: float = 0.95
) -> Scored:
    """Score closes (N, P, H) sampled from N origins. All prices must be above 0; seconds: that sampling took."""
    returns, actual = to_returns(paths, origins), to_returns(origins.actual, origins)
    raw, unit = _compute_losses(returns, actual, forecaster.moves), measure_unit(origins)
    losses = raw | {name: raw[name] / unit for name in ("crps", "mae")}
    times = origins.starts, origins.ends, confidence
    log_return = compute_return_figures(returns, actual, forecaster.moves) | {"scaled_crps": average(losses["crps"])}
    probability = compute_up_probability(returns) if forecaster.moves else np.full_like(actual, 0.5)
    log_return |= compute_direction_figures(probability, raw["direction"], actual)
    spread = spread_pit(returns, actual)
    pit_low, pit_high = find_pit_band(spread, *times)
    figures = ForecasterResult(
        name=forecaster.name,
        label=forecaster.label,
        price=compute_price_figures(paths, origins.actual, origins.closes, forecaster.moves),
        log_return=_add_intervals(log_return, returns, actual, raw["direction"], origins, confidence),
        pit=count_pit(spread),
        pit_low=pit_low,
        pit_high=pit_high,
        moves=forecaster.moves,
        direction=describe_direction(probability, raw["direction"], actual, *times) if forecaster.moves else None,
        seconds=seconds,
    )
    return Scored(figures, losses, raw)


def to_returns(closes: Array, origins: Origins) -> Array:
    """Return closes (N, …, H) as log returns since the last known close. Returns within rounding become 0.

    Otherwise, while prices do not move, rounding alone would decide which forecaster is better.
    """
    last = origins.closes[:, -1].reshape(-1, *[1] * (closes.ndim - 1))
    returns: Array = np.log(closes / last)
    return np.where(np.abs(returns) <= ROUNDING, 0.0, returns)


def measure_unit(origins: Origins) -> Array:
    """Return the unit of losses (N, H): the standard deviation of a random walk as volatile as the lookback, at each step.

    It gives calm and volatile times, symbols and steps the same weight. The volatility counts as at least SMALLEST_SHARE of
    the median of its symbol, over the lookbacks in which the price moves (of all symbols if there is none).
    """
    volatility, numbers = measure_volatility(origins.closes), origins.candles.symbol_numbers(origins.rows)
    moving = volatility > SMALLEST_VOLATILITY
    least = np.zeros_like(volatility)
    for number in np.unique(numbers):
        own = numbers == number
        used = own & moving if (own & moving).any() else moving
        least[own] = SMALLEST_SHARE * np.median(volatility[used]) if used.any() else 0.0
    volatility = np.maximum(volatility, least)
    unit: Array = volatility[:, np.newaxis] * np.sqrt(1 + np.arange(origins.horizon))
    return unit


def _compute_losses(returns: Array, actual: Array, moves: bool) -> dict[str, Array]:
    """Return the losses (N, H) by metric. The median of a forecaster that does not move is exactly 0."""
    point = returns if moves else np.zeros((len(returns), 2, actual.shape[1]))
    return {
        "crps": compute_crps(returns, actual),
        "mae": compute_fair_absolute_error(point, actual),
        "direction": compute_direction_hits(point, actual),
    }


def _add_intervals(
    figures: dict[str, HorizonFigures],
    returns: Array,
    actual: Array,
    hits: Array,
    origins: Origins,
    confidence: float,
) -> dict[str, HorizonFigures]:
    """Add the interval of the overall figure to coverages, the direction and the correlations."""
    times = origins.starts, origins.ends, confidence
    shares = {
        f"coverage_{level}": ((low <= actual) & (actual <= high)).astype(float)
        for level, (low, high) in compute_bands(returns).items()
    }
    intervals = {name: bootstrap_share(share, *times) for name, share in (shares | {"direction": hits}).items()}
    mean = returns.mean(axis=1)
    ranked: list[tuple[str, Callable[[Array], Array]]] = [("ic", np.asarray), ("rank_ic", _rank)]
    for name, transform in ranked:
        if np.isfinite(figures[name].overall):
            intervals[name] = bootstrap_correlation(transform(mean), transform(actual), *times)
    changed = {
        name: figures[name].model_copy(update={"low": low, "high": high}) for name, (low, high) in intervals.items()
    }
    return figures | changed


def _rank(values: Array) -> Array:
    """Return the ranks of values (N, H) among the origins; equal values share their mean rank."""
    ranks: Array = rankdata(values, axis=0)
    return ranks
