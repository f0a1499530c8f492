"""Invented drift in words: how far a model's mean forecast strays on random walks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from kronos.evaluation.records import HorizonFigures
from kronos.evaluation.results import Evaluation, InventedDrift
from kronos.evaluation.skill import PRETRAINED
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import format_count, format_level, format_percent


@dataclass(frozen=True)
class DriftText:
    """lead: whether the model invents a drift. change: what fine-tuning did to it. explanations: what it is and costs.

    shared: the drift that mirror images share; empty if it is harmless.
    """

    lead: str
    change: str
    shared: str
    explanations: tuple[tuple[str, str], ...]  # head and text


def write_drift(evaluation: Evaluation, words: Words) -> DriftText | None:
    """Return the answer for a reader who is no statistician; None if it was not measured."""
    if not evaluation.invented_drift:
        return None
    own = evaluation.invented_drift[0]
    values = {
        "drift": _percent(own.drift.overall),
        "low": _percent(own.drift.low),
        "high": _percent(own.drift.high),
        "largest": _percent(own.largest_drift),
        "cost": _percent(own.drift.overall**2 / 2),
        "margin": format_level(evaluation.margin),
        "n": format_count(own.n_walks),
        "horizon": format_count(evaluation.horizon),
    }
    texts = {"what": "what", "why": "why", "good": "cost" if own.outcome == "drift" else "good"}
    return DriftText(
        words(f"drift.lead.{own.outcome}", **values),
        _write_change(evaluation, words),
        _write_shared(evaluation, words),
        tuple((words(f"drift.heads.{head}"), words(f"drift.{key}", **values)) for head, key in texts.items()),
    )


def name_model(measured: InventedDrift, evaluation: Evaluation, words: Words) -> str:
    """Return what a forecaster is called beside its drift: before or after fine-tuning, if both were measured."""
    own = measured is evaluation.invented_drift[0]
    if len(evaluation.invented_drift) == 1:
        return words("drift.model")
    return words("drift.after" if own else "drift.before")


def write_drift_line(evaluation: Evaluation, words: Words) -> str:
    """Return the invented drift in one line, for the screen; empty if it was not measured."""
    if not evaluation.invented_drift:
        return ""
    own = evaluation.invented_drift[0]
    standing = words(f"drift.standing.{own.outcome}", largest=_percent(own.largest_drift), n=format_count(own.n_walks))
    line = _write_line("line", [each.drift for each in evaluation.invented_drift], words, standing=standing)
    shared = [each.shared_drift for each in evaluation.invented_drift if each.shared_drift]
    if len(shared) < len(evaluation.invented_drift):
        return line
    return line + words("verdict.space") + _write_line("shared_line", shared, words)


def _write_line(key: str, drifts: Sequence[HorizonFigures], words: Words, **values: str) -> str:
    """Return the figures of one model, or of the models after and before fine-tuning."""
    figures = dict(zip(("after", "before"), (write_drift_figure(each, words) for each in drifts)))
    return words(f"drift.{key}_of_both" if "before" in figures else f"drift.{key}", **figures, **values)


def write_drift_figure(drift: HorizonFigures, words: Words) -> str:
    """Return a drift with its interval."""
    if not isfinite(drift.low + drift.high):
        return _percent(drift.overall)
    ends = {"low": _number(drift.low), "high": _number(drift.high)}
    return words("drift.figure", drift=_percent(drift.overall), **ends)


def _write_change(evaluation: Evaluation, words: Words) -> str:
    if len(evaluation.invented_drift) == 1:
        return ""
    after, before = (each.drift for each in evaluation.invented_drift[:2])
    if not isfinite(after.low + before.low):
        return ""
    key = "raised" if after.low > before.high else "lowered" if after.high < before.low else "kept"
    change = words(f"drift.change.{key}", before=_percent(before.overall), after=_percent(after.overall))
    if evaluation.invented_drift[0].outcome != "drift" or not _has_helped(evaluation):
        return change
    return change + words("verdict.space") + words("drift.but_helped")


def _has_helped(evaluation: Evaluation) -> bool:
    found = [each for each in evaluation.comparisons if each.baseline == PRETRAINED]
    return any(each.outcome == "helped" for each in found if each.metric == evaluation.metric)


def _write_shared(evaluation: Evaluation, words: Words) -> str:
    own, *before = evaluation.invented_drift
    if own.shared_drift is None or not own.shared_drift.high > own.largest_drift or not own.shared_drift.low > 0:
        return ""
    text = words("drift.shared", shared=_percent(own.shared_drift.overall))
    was = [each.shared_drift.overall for each in before if each.shared_drift]
    return text + "".join(words("verdict.space") + words("drift.shared_before", shared=_percent(each)) for each in was)


def _percent(share: float) -> str:
    return format_percent(share, 0)


def _number(share: float) -> str:
    return format_percent(share, 0).removesuffix("%")
