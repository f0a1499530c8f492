"""Invented drift: what a model forecasts on random walks, where nobody can know the direction."""

from kronos.evaluation.invented_drift.measure import measure_all
from kronos.evaluation.invented_drift.score import score_walks
from kronos.evaluation.invented_drift.walks import build_walks

__all__ = ["build_walks", "measure_all", "score_walks"]
