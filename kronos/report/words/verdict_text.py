"""The verdict as text on a screen."""

from kronos.evaluation.results import Comparison, Evaluation
from kronos.evaluation.skill import has_badge
from kronos.report.words.answers import name_baseline, write_brackets, write_headline, write_luck, write_next_steps
from kronos.report.words.catalogue import Words
from kronos.report.words.drift import write_drift_line
from kronos.report.words.sentences import PRETRAINED, write_note, write_sentence


def write_short_verdict(evaluation: Evaluation, words: Words) -> str:
    """Return the verdict in few lines: the answer, why to believe it, which baselines are better, what to do next."""
    luck, steps = write_luck(evaluation, words, short=True), write_next_steps(evaluation, words)
    lines = [write_headline(evaluation, words)]
    if luck:
        lead = words("verdict.space").join((words("page.believe"), luck.lead))
        lines += ["", lead, *(f"  {each}" for each in luck.evidence)]
    chosen = [each for each in evaluation.comparisons if each.metric == evaluation.metric]
    better = [each for each in chosen if each.outcome == "hurt" and has_badge(each.baseline)]
    lines += [f"  {_write_better(each, evaluation, words)}" for each in better if each.baseline != PRETRAINED]
    if drift := write_drift_line(evaluation, words):
        lines += ["", drift]
    if steps:
        lines += ["", words("page.next"), *(f"  {n}. {step.do}" for n, step in enumerate(steps, start=1))]
    return "\n".join(lines)


def _write_better(comparison: Comparison, evaluation: Evaluation, words: Words) -> str:
    """Return in few words that a baseline is better than the run."""
    baseline = name_baseline(comparison.baseline, evaluation, words)
    opening = words(f"verdict.against.{comparison.outcome}", baseline=baseline)
    return words("answer.full_stop", sentence=opening + write_brackets(comparison, evaluation, words))


def write_verdict(evaluation: Evaluation, words: Words) -> str:
    """Return the verdict for the screen: the answer, how far it can be believed, what to do next, then all comparisons."""
    luck, steps = write_luck(evaluation, words), write_next_steps(evaluation, words)
    lines = [write_headline(evaluation, words)]
    if luck:
        lines += ["", words("page.believe"), *(f"  {each}" for each in (luck.lead, *luck.evidence, *luck.limits))]
        lines += [f"    {evaluation.judge_new}"] if evaluation.judge_new else []
    if drift := write_drift_line(evaluation, words):
        lines += ["", drift]
    if steps:
        lines += ["", words("page.next")]
        for n, step in enumerate(steps, start=1):
            lines += [
                f"  {n}. {step.do}{words('verdict.space')}{step.why}",
                *([f"       {step.command}"] if step.command else []),
            ]
    chosen = [each for each in evaluation.comparisons if each.metric == evaluation.metric]
    lines += [
        "",
        words("page.baselines"),
        *(f"  {write_sentence(each, evaluation, words, has_badge(each.baseline))}" for each in chosen),
    ]
    lines += [f"  {each.baseline}: {write_note(each.reason, words, 'reasons')}" for each in evaluation.left_out]
    notes = ["", *(write_note(each, words) for each in evaluation.notes)] if evaluation.notes else []
    return "\n".join([*lines, *notes])
