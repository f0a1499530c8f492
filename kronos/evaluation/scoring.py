"""One forecaster's forecasts against what came: its figures, and its error at each origin and time of the horizon."""

from dataclasses import dataclass

import numpy as np

from kronos.candles import Array
from kronos.evaluation.forecasters.base import Forecaster
from kronos.evaluation.origins.walk_forward import Origins
from kronos.evaluation.results import ForecasterResult
from kronos.evaluation.scores.figures import compute_price_figures, compute_return_figures
from kronos.evaluation.scores.metrics import compute_crps, compute_direction_hits, compute_fair_absolute_error
from kronos.evaluation.scores.pit import count_pit

ROUNDING = float(np.finfo(np.float32).eps)  # what candles cannot tell from no change, being stored in single precision
COMPARED_BY = {"crps": compute_crps, "mae": compute_fair_absolute_error, "direction": compute_direction_hits}


@dataclass(frozen=True, eq=False)
class Scored:
    """figures: of all origins. losses: (N, H) each, by the names of COMPARED_BY, on log returns since the last known close."""

    figures: ForecasterResult
    losses: dict[str, Array]


def score(forecaster: Forecaster, paths: Array, origins: Origins, seconds: float = 0.0) -> Scored:
    """Score closes (N, P, H) sampled from N origins in some time, all prices above 0."""
    returns, came = to_returns(paths, origins), to_returns(origins.truth, origins)
    figures = ForecasterResult(
        name=forecaster.name,
        label=forecaster.label,
        price=compute_price_figures(paths, origins.truth, origins.closes),
        log_return=compute_return_figures(returns, came),
        pit=count_pit(returns, came),
        seconds=seconds,
    )
    return Scored(figures, {name: compute(returns, came) for name, compute in COMPARED_BY.items()})


def to_returns(closes: Array, origins: Origins) -> Array:
    """Return closes (N, …, H) as log returns since the last known close; those within rounding are 0.

    Where prices stand still, the rounding of a forecast would otherwise be all of its error, and decide who is better.
    """
    last = origins.closes[:, -1].reshape(-1, *[1] * (closes.ndim - 1))
    returns: Array = np.log(closes / last)
    return np.where(np.abs(returns) <= ROUNDING, 0.0, returns)
