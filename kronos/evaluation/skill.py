"""Decide whether a model has skill: it must beat all baselines that know volatility, not only the pretrained model."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kronos.evaluation.results import Comparison, Evaluation

# The first one that was compared is the headline's baseline: it is fixed before the results are known.
VOLATILITY_BASELINES = ("time_of_day", "ewma", "garch", "volatility", "last_close")  # none of them ever moves
HEADLINE_ORDER = {
    "crps": (*VOLATILITY_BASELINES, "drift"),
    "mae": (*VOLATILITY_BASELINES, "majority", "drift"),
    "direction": ("majority", *VOLATILITY_BASELINES),
}
PRETRAINED = "pretrained"
STRAW_MEN = ("seasonal_naive",)  # of prices: beaten by any forecast near the last close, so no outcome is shown

SkillKind = Literal["level", "width", "small", "none", "worse", "too_little_data", "unproven", "no_baseline"]


@dataclass(frozen=True)
class Skill:
    """Whether a model has skill, and the comparison that the headline quotes (None only for "no_baseline").

    kind: "level": it beats the baselines, and so does its median alone: it knows something about where prices go.
    "width": it beats them, but not by its median: it knows how far prices move, not where. "small": it beats them by less than
    the margin. "none", "worse", "too_little_data": it does not. "unproven": it beats the drift, and no baseline that
    knows volatility was compared. "no_baseline": there is nothing to compare with.
    """

    kind: SkillKind
    comparison: Comparison | None


def find_skill(evaluation: Evaluation) -> Skill:
    """Decide on skill by the verdict's metric.

    The model must be better than each of VOLATILITY_BASELINES compared (by mae or direction also than the majority). The quoted
    comparison is that with the headline's baseline or, if only another one is not beaten, with the first of these.
    """
    return decide_skill(evaluation.comparisons, evaluation.metric, evaluation.margin)


def decide_skill(comparisons: Sequence[Comparison], metric: str, margin: float) -> Skill:
    """Decide on skill; see `find_skill`. Outcomes by the verdict's metric must be adjusted (`verdict.adjust`)."""
    ordered = list_in_order(comparisons, metric)
    if not ordered:
        return Skill("no_baseline", None)
    deciding = [each for each in ordered if each.baseline != "drift"] or ordered
    if unbeaten := [each for each in deciding if each.outcome != "helped"]:
        kinds: dict[str, SkillKind] = {"hurt": "worse", "no difference": "none"}
        return Skill(kinds.get(unbeaten[0].outcome, "too_little_data"), unbeaten[0])
    first = ordered[0]
    if first.baseline == "drift":
        return Skill("unproven", first)
    if small := [each for each in deciding if each.high < margin]:
        return Skill("small", small[0])
    if metric != "crps":
        return Skill("level", first)
    return Skill("level" if moves_well(comparisons) else "width", first)


def list_in_order(comparisons: Iterable[Comparison], metric: str) -> list[Comparison]:
    """Return the comparisons that decide on skill, that of the headline first."""
    by_name = {each.baseline: each for each in comparisons if each.metric == metric}
    return [by_name[name] for name in HEADLINE_ORDER[metric] if name in by_name]


def moves_well(comparisons: Iterable[Comparison]) -> bool:
    """Whether the median has smaller errors than no move, and than the usual move of the past if it was compared."""
    by_error = {each.baseline: each.outcome for each in comparisons if each.metric == "mae"}
    rivals = [by_error[name] for name in VOLATILITY_BASELINES if name in by_error][:1]  # their medians are the same
    rivals += [by_error["majority"]] if "majority" in by_error else []
    return bool(rivals) and all(outcome == "helped" for outcome in rivals)


def has_badge(baseline: str) -> bool:
    """Whether the outcome against a baseline is shown in a word."""
    return baseline not in STRAW_MEN
