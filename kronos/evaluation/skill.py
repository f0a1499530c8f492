"""Decide whether a model has skill: it must beat the naive baselines, not only the pretrained model."""

from collections.abc import Sequence
from math import isnan

from kronos.evaluation.records import Note
from kronos.evaluation.results import Comparison

NAIVE_BASELINES = ("last_close", "drift", "seasonal_naive", "volatility")
RANDOM_WALKS = ("last_close", "volatility")  # often better than drift, which is noisy, and seasonal_naive


def find_hardest(comparisons: Sequence[Comparison]) -> Comparison | None:
    """Return the comparison that decides on skill, or None if no naive baseline was compared.

    The model has skill if it beats every naive baseline. Otherwise the hardest of those that it does not beat is chosen.
    Baselines with too little data to tell are chosen only if there is no other.

    Args:
        comparisons: by one metric.
    """
    naive = [each for each in comparisons if each.baseline in NAIVE_BASELINES]
    naive.sort(key=lambda each: NAIVE_BASELINES.index(each.baseline))
    unbeaten = [each for each in naive if each.outcome != "helped"]
    certain = [each for each in unbeaten if each.outcome != "too little data to tell"]
    return min(certain or unbeaten or naive, key=_rank, default=None)


def note_width(comparisons: Sequence[Comparison], metric: str) -> list[Note]:
    """Return a note if the verdict's metric is CRPS and the model beats random walks by it, but not by the median's error.

    Args:
        comparisons: by all metrics.
    """
    by_crps, by_error = (
        {each.baseline: each for each in comparisons if each.metric == name and each.baseline in RANDOM_WALKS}
        for name in ("crps", "mae")
    )
    if metric != "crps" or any(each.outcome != "helped" for each in by_crps.values()):
        return []
    unbeaten = [each for name, each in by_error.items() if name in by_crps and each.outcome != "helped"]
    if not unbeaten:
        return []
    return [Note(code="skill_in_width", values={"baseline": min(unbeaten, key=_rank).baseline})]


def _rank(comparison: Comparison) -> float:
    """Return the skill; an undefined one, against a baseline without errors, is the lowest."""
    return float("-inf") if isnan(comparison.skill) else comparison.skill
