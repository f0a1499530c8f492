"""The first screen of the verdict's page: the answer on a scale from worse to better, how sure it is, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from kronos.evaluation.results import Comparison, Evaluation
from kronos.evaluation.skill import find_skill
from kronos.report.words.answers import (
    Luck,
    NextStep,
    find_pretrained,
    name_baseline,
    write_answer,
    write_luck,
    write_next_steps,
    write_size,
)
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import format_level, format_percent
from kronos.report.words.sentences import name_metric

LEAST_SPAN = 2.5  # half of the scale, as a multiple of the margin
MOST_SPAN = 1.0  # half of the scale: an error twice as large


@dataclass(frozen=True)
class ScaleRow:
    """A comparison on the scale, in per cent of its width. outcome: as a class of the page's style."""

    label: str
    figure: str
    low: float
    high: float
    middle: float
    outcome: str


@dataclass(frozen=True)
class Scale:
    """A scale from worse to better.

    margin_low, margin_high: where no difference matters. ends: labels of both ends. margin, meaning, baseline: what the
    margin, the error and the baseline of skill are. caution: on a bar that seems to say more than the answer.
    """

    rows: tuple[ScaleRow, ...]
    margin_low: float
    margin_high: float
    ends: tuple[str, str]
    margin: str
    meaning: str
    baseline: str
    caution: str


@dataclass(frozen=True)
class FirstScreen:
    """What a reader sees first.

    answer: sentences, the first of which is the title. scale, luck: None without any comparison. on_fine_tuning: whether
    the first sentence is about fine-tuning.
    """

    answer: tuple[str, ...]
    scale: Scale | None
    luck: Luck | None
    steps: tuple[NextStep, ...]
    on_fine_tuning: bool


def build_first_screen(evaluation: Evaluation, words: Words) -> FirstScreen:
    """Return the first screen of an evaluation."""
    return FirstScreen(
        tuple(write_answer(evaluation, words)),
        build_scale(evaluation, words),
        write_luck(evaluation, words),
        tuple(write_next_steps(evaluation, words)),
        on_fine_tuning=find_pretrained(evaluation) is not None,
    )


def build_scale(evaluation: Evaluation, words: Words) -> Scale | None:
    """Return the scale with a row for fine-tuning and one for skill, as far as they were compared."""
    pretrained, skill = find_pretrained(evaluation), find_skill(evaluation).comparison
    found = {"page.scale_fine_tuning": pretrained, "page.scale_skill": skill}
    drawn = {key: each for key, each in found.items() if each and isfinite(each.low + each.skill + each.high)}
    if not drawn:
        return None
    ends = [abs(end) for each in drawn.values() for end in (each.low, each.high)]
    span = min(max([1.15 * max(ends), LEAST_SPAN * evaluation.margin]), MOST_SPAN)

    def place(value: float) -> float:
        return round(50 + 50 * min(max(value / span, -1.0), 1.0), 1)

    metric = evaluation.metric
    end = write_size(span, metric, words)
    return Scale(
        tuple(
            _build_row(key, each, place(each.low), place(each.high), place(each.skill), evaluation, words)
            for key, each in drawn.items()
        ),
        place(-evaluation.margin),
        place(evaluation.margin),
        (words("page.scale_worse", size=end), words("page.scale_better", size=end)),
        words("page.scale_margin", margin=write_size(evaluation.margin, metric, words, level=True)),
        words(
            f"page.scale_meaning.{metric}", level=format_level(evaluation.confidence), metric=name_metric(metric, words)
        ),
        _describe_baseline(skill, evaluation, words),
        _explain_bars(list(drawn.values()), evaluation, words),
    )


def _describe_baseline(skill: Comparison | None, evaluation: Evaluation, words: Words) -> str:
    """Say what the baseline of skill does, if it is one of ours."""
    key = f"forecaster_meanings.{skill.baseline}" if skill else ""
    if skill is None or not words.has(key):
        return ""
    baseline = name_baseline(skill.baseline, evaluation, words)
    return words("page.scale_baseline", baseline=baseline, meaning=words(key))


def _explain_bars(drawn: Sequence[Comparison], evaluation: Evaluation, words: Words) -> str:
    """Say why a bar that misses 0 may still leave the answer open, if there is one."""
    for each in drawn:
        p = each.p_adjusted if isfinite(each.p_adjusted) else each.p_value
        if each.outcome == "too little data to tell" and each.low * each.high > 0 and isfinite(p):
            baseline = name_baseline(each.baseline, evaluation, words)
            return words("page.scale_not_enough", p=f"{p:.{2 if p >= 0.095 else 3}f}", baseline=baseline)
    return ""


def _build_row(
    key: str, found: Comparison, low: float, high: float, middle: float, evaluation: Evaluation, words: Words
) -> ScaleRow:
    figure = words("page.scale_figure", skill=_sign(found.skill), low=_sign(found.low), high=_sign(found.high))
    outcome = {"helped": "good", "hurt": "bad", "no difference": "same"}.get(found.outcome, "unknown")
    return ScaleRow(
        words(key, baseline=name_baseline(found.baseline, evaluation, words)), figure, low, high, middle, outcome
    )


def _sign(share: float) -> str:
    return format_percent(round(share, 3) + 0.0, 1, sign=True).removesuffix("%")  # + 0.0: no minus before 0
