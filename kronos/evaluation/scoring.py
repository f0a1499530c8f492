"""Score one forecaster against the actual closes: its figures, and the error at each origin and step."""

from dataclasses import dataclass

import numpy as np

from kronos.candles import Array
from kronos.evaluation.forecasters.base import Forecaster
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.results import ForecasterResult
from kronos.evaluation.scores.figures import compute_price_figures, compute_return_figures
from kronos.evaluation.scores.metrics import compute_crps, compute_direction_hits, compute_fair_absolute_error
from kronos.evaluation.scores.pit import count_pit

ROUNDING = float(np.finfo(np.float32).eps)  # candles have single precision: a smaller change is rounding
COMPARED_BY = {"crps": compute_crps, "mae": compute_fair_absolute_error, "direction": compute_direction_hits}


@dataclass(frozen=True, eq=False)
class Scored:
    """figures: over all origins. losses: (N, H) by metric of COMPARED_BY, of log returns since the last known close."""

    figures: ForecasterResult
    losses: dict[str, Array]


def score(forecaster: Forecaster, paths: Array, origins: Origins, seconds: float = 0.0) -> Scored:
    """Score closes (N, P, H) sampled from N origins. All prices must be above 0; seconds: that sampling took."""
    returns, actual = to_returns(paths, origins), to_returns(origins.actual, origins)
    figures = ForecasterResult(
        name=forecaster.name,
        label=forecaster.label,
        price=compute_price_figures(paths, origins.actual, origins.closes),
        log_return=compute_return_figures(returns, actual),
        pit=count_pit(returns, actual),
        seconds=seconds,
    )
    return Scored(figures, {name: compute(returns, actual) for name, compute in COMPARED_BY.items()})


def to_returns(closes: Array, origins: Origins) -> Array:
    """Return closes (N, …, H) as log returns since the last known close. Returns within rounding become 0.

    Otherwise, while prices do not move, rounding alone would decide which forecaster is better.
    """
    last = origins.closes[:, -1].reshape(-1, *[1] * (closes.ndim - 1))
    returns: Array = np.log(closes / last)
    return np.where(np.abs(returns) <= ROUNDING, 0.0, returns)
