"""Forecast random walks with a run's models and those it started from, within a time."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from accelerate import PartialState

from kronos.config.evaluation import EvaluationConfig
from kronos.evaluation.forecasters.base import KronosForecaster, NotApplicable
from kronos.evaluation.invented_drift.score import score_walks
from kronos.evaluation.invented_drift.walks import build_walks
from kronos.evaluation.origins.walk_forward import Origins, WalkForward
from kronos.evaluation.results import InventedDrift
from kronos.names import Message

logger = logging.getLogger(__name__)

N_PATHS = 32
SECONDS = 45.0  # for all models together
FIRST = (2, 2, 12)  # walks that are forecast to measure the time of one, which is less in larger groups
SEED = 0


def measure_all(
    folder: Path, forecasters: Sequence[KronosForecaster], origins: Origins, settings: EvaluationConfig
) -> list[InventedDrift]:
    """Measure the invented drift of forecasters on the same random walks. All ranks must call this and share the work.

    As many walks are forecast as the first forecaster can within its part of SECONDS; all if evaluation.budget_minutes is
    null. The forecasts are stored in a folder with the time that they took, so a repetition gives the same result.

    Args:
        origins: whose candles the walks are made of; their prices must be above 0.

    Returns:
        A result for each forecaster; empty on other ranks than the first, and if the prices never move.
    """
    walks = build_walks(origins, seed=SEED)
    if not len(walks):
        return []
    walk = WalkForward(folder, N_PATHS, SEED, Message("random walks"))
    seconds = None if settings.budget_minutes is None else SECONDS / len(forecasters)
    chosen, able = walks, []
    for each in forecasters:
        try:
            if each is forecasters[0]:
                chosen = walks.take(np.arange(_count_affordable(walk, each, walks, seconds)))
            walk.prepare(each, chosen, is_baseline=True)
            able.append(each)
        except NotApplicable as error:
            reason = error.reason.values.get("error", error)
            logger.warning("invented drift: not measured for %s (%s)", each.name, reason)
            if each is forecasters[0]:
                return []
    if not PartialState().is_main_process:
        return []
    logger.debug("invented drift: measured on %d random walks, %d paths each", len(chosen), N_PATHS)
    results = []
    for each in able:
        closes = walk.forecast(each, chosen)
        if not (np.isfinite(closes) & (closes > 0)).all():
            logger.warning("invented drift: not measured for %s, whose forecasts are no prices", each.name)
            continue
        results.append(score_walks(each.name, closes, chosen, settings.confidence, settings.margin, SEED))
    return results


def _count_affordable(walk: WalkForward, forecaster: KronosForecaster, walks: Origins, seconds: float | None) -> int:
    """Return how many walks a forecaster can forecast in a time, from the time of the first ones; at least one pair."""
    if seconds is None:
        return len(walks)
    n, used, a_walk = 0, 0.0, 0.0
    for size in FIRST:
        if n and used + size * a_walk > seconds:
            break
        walk.prepare(forecaster, walks.take(np.arange(n + size)), is_baseline=True)
        before, n = used, n + size
        used = walk.measure_seconds(forecaster, walks.take(np.arange(n))) / PartialState().num_processes
        a_walk = (used - before) / size
    more = int((seconds - used) / a_walk) if a_walk > 0 else len(walks)
    return min(n + max(more, 0) // 2 * 2, len(walks))
