"""The verdict for readers who are no statisticians: did it help, could it be luck, what to do next."""

from dataclasses import dataclass
from math import isfinite, isnan

from kronos.evaluation.results import FLATTERING, Comparison, Evaluation
from kronos.evaluation.skill import find_skill
from kronos.evaluation.verdict import MIN_INDEPENDENT
from kronos.report.words.catalogue import Words
from kronos.report.words.numbers import format_count, format_level, format_percent
from kronos.report.words.sentences import (
    IN_POINTS,
    PRETRAINED,
    name_in_sentence,
    write_detail,
    write_note,
)

SHARES = ("share",)  # values of next steps that are written in per cent
DAYS_OF_MONTH, DAYS_OF_YEAR = 30.44, 365.25


@dataclass(frozen=True)
class Luck:
    """How far the verdict can be believed. lead: the answer. evidence: the reasons. limits: what stays hidden."""

    lead: str
    evidence: tuple[str, ...]
    limits: tuple[str, ...]


def find_pretrained(evaluation: Evaluation) -> Comparison | None:
    """Return the comparison with the pretrained model by the verdict's metric."""
    found = (each for each in evaluation.comparisons if each.metric == evaluation.metric)
    return next((each for each in found if each.baseline == PRETRAINED), None)


def write_headline(evaluation: Evaluation, words: Words) -> str:
    """Return whether fine-tuning helped and whether the model has skill, with figures and their intervals."""
    return words("verdict.space").join(write_answer(evaluation, words, exact=True))


def write_answer(evaluation: Evaluation, words: Words, exact: bool = False) -> list[str]:
    """Return the answer in sentences: on fine-tuning, on skill, and a caveat if the figures look too good.

    Skill comes first if there is nothing to say on fine-tuning.

    Args:
        exact: give the metric and the interval too.
    """
    sentences = [_write_skill(evaluation, words, exact)]
    if evaluation.kind == "run":
        sentences.insert(0 if find_pretrained(evaluation) else 1, _write_fine_tuning(evaluation, words, exact))
    if evaluation.split == "val":
        sentences.append(words("verdict.on_validation"))
    elif any(note.code in FLATTERING for note in evaluation.notes):
        sentences.append(words("verdict.on_seen"))
    return sentences


def _write_fine_tuning(evaluation: Evaluation, words: Words, exact: bool) -> str:
    found = find_pretrained(evaluation)
    if found is None:
        for each in evaluation.left_out:
            if each.baseline == PRETRAINED:
                return words("verdict.not_compared", reason=write_note(each.reason, words, "reasons"))
        return words("verdict.not_asked")
    if found.identical:
        return words("answer.fine_tuning.identical")
    little = found.outcome in ("helped", "hurt") and max(abs(found.low), abs(found.high)) < evaluation.margin
    key = f"{found.outcome} little" if little else found.outcome
    margin = write_size(evaluation.margin, found.metric, words, level=True)
    detail = write_brackets(found, evaluation, words) if exact else ""
    if not exact and found.outcome in ("helped", "hurt") and isfinite(found.skill):
        detail = words("answer.after_colon", change=_write_change(found, words))
    return words(f"answer.fine_tuning.{key}", margin=margin, detail=detail)


def _write_skill(evaluation: Evaluation, words: Words, exact: bool) -> str:
    skill = find_skill(evaluation)
    found = skill.comparison
    if found is None:
        return words("answer.skill.no_baseline")
    margin = write_size(evaluation.margin, found.metric, words, level=True)
    detail = write_brackets(found, evaluation, words) if exact else ""
    if not exact and isfinite(found.skill) and found.outcome in ("helped", "hurt"):
        detail = words("answer.in_brackets", detail=_write_change(found, words))
    baseline = name_baseline(found.baseline, evaluation, words)
    key = f"level_{found.metric}" if skill.kind == "level" and found.metric != "crps" else skill.kind
    return words(f"answer.skill.{key}", baseline=baseline, margin=margin, detail=detail)


def name_baseline(name: str, evaluation: Evaluation, words: Words) -> str:
    """Return the name of a baseline within a sentence."""
    labels = {each.name: each.label for each in evaluation.forecasters}
    return name_in_sentence(name, words, labels.get(name))


def write_brackets(comparison: Comparison, evaluation: Evaluation, words: Words) -> str:
    return words("answer.in_brackets", detail=write_detail(comparison, evaluation.confidence, words))


def _write_change(comparison: Comparison, words: Words) -> str:
    """Return a skill as a change of the forecast error in round figures."""
    direction = "better" if comparison.skill >= 0 else "worse"
    unit = "hits" if comparison.metric in IN_POINTS else "error"
    whose = "_than_pretrained" if comparison.baseline == PRETRAINED else ""
    size = write_size(abs(comparison.skill), comparison.metric, words)
    return words(f"answer.change.{unit}_{direction}{whose}", size=size)


def write_size(share: float, metric: str, words: Words, level: bool = False) -> str:
    """Return a skill or a margin in per cent, or in points for direction. level: a round number as configured."""
    number = format_level(share) if level else format_percent(share, 0 if abs(share) >= 0.0995 else 1)
    return words("verdict.points", n=number.removesuffix("%")) if metric in IN_POINTS else number


def find_decisive(evaluation: Evaluation) -> Comparison | None:
    """Return the comparison that the first sentence of the answer rests on."""
    return find_pretrained(evaluation) or find_skill(evaluation).comparison


def write_luck(evaluation: Evaluation, words: Words, short: bool = False) -> Luck | None:
    """Return how far the verdict can be believed; None if nothing was compared.

    Args:
        short: leave out the interval, which the exact answer gives, and the origins.
    """
    found = find_decisive(evaluation)
    if found is None:
        return None
    evidence = (
        _write_chance(found, evaluation.confidence, words),
        "" if short else _write_range(found, evaluation, words),
        "" if short else _write_origins(found, words),
        _write_skill_is_sure(evaluation, words) if found.outcome == "too little data to tell" else "",
    )
    limits = (_write_smallest(found, words), _write_evidence(evaluation, words), words("luck.peeking"))
    lead = words(f"luck.lead.{_choose_lead(found)}", n=format_count(found.n_independent), least=MIN_INDEPENDENT)
    return Luck(lead, tuple(filter(None, evidence)), tuple(filter(None, limits)))


def _write_skill_is_sure(evaluation: Evaluation, words: Words) -> str:
    """Say that the answer on skill is certain although that on fine-tuning is not."""
    skill = find_skill(evaluation).comparison
    if skill is None or skill.outcome not in ("helped", "hurt") or find_pretrained(evaluation) is None:
        return ""
    baseline = name_baseline(skill.baseline, evaluation, words)
    return words("luck.skill_is_sure", standing=words(f"luck.standing.{skill.outcome}"), baseline=baseline)


def _choose_lead(comparison: Comparison) -> str:
    if comparison.identical:
        return "identical"
    if comparison.outcome != "too little data to tell":
        return "ruled_out" if comparison.outcome == "no difference" else "unlikely"
    return "few" if comparison.n_independent < MIN_INDEPENDENT or isnan(comparison.p_value) else "possible"


def _write_chance(comparison: Comparison, confidence: float, words: Words) -> str:
    """Return the p-value as a frequency; the corrected one, if only the correction makes it insignificant."""
    p, adjusted = comparison.p_value, comparison.p_adjusted
    if p < 1 - confidence <= adjusted:
        return words("luck.chance_of_many", n=f"{100 * adjusted:.0f}", of="100")
    if (
        comparison.identical
        or comparison.outcome == "no difference"
        or isnan(p)
        or comparison.n_independent < MIN_INDEPENDENT
    ):
        return ""
    if p < 0.001:
        return words("luck.chance_below", n=1, of="1,000")
    if p < 0.0095:
        return words("luck.chance", n=f"{1000 * p:.0f}", of="1,000")
    return words("luck.chance", n=f"{100 * p:.0f}", of="100")


def _write_range(comparison: Comparison, evaluation: Evaluation, words: Words) -> str:
    """Return the interval of the skill as a range from worse to better."""
    low, high = comparison.low, comparison.high
    if comparison.identical or not isfinite(low + high):
        return ""
    key = "better" if round(low, 3) >= 0 else "worse" if round(high, 3) <= 0 else "both"  # as they are written
    ends = sorted((abs(low), abs(high))) if key != "both" else [abs(low), abs(high)]
    near, far = (write_size(each, comparison.metric, words) for each in ends)
    level = format_level(evaluation.confidence)
    return words(f"luck.range_{key}", level=level, low=near, high=far)


def _write_origins(comparison: Comparison, words: Words) -> str:
    n, independent = format_count(comparison.n_origins), format_count(comparison.n_independent)
    if n == independent or isnan(comparison.n_independent):
        return words("luck.origins_alone" if comparison.n_origins > 1 else "luck.one_origin", n=n)
    return words("luck.origins_worth_one" if independent == "1" else "luck.origins", n=n, independent=independent)


def _write_smallest(comparison: Comparison, words: Words) -> str:
    gain = comparison.smallest_gain
    return words("luck.smallest", gain=write_size(gain, comparison.metric, words)) if isfinite(gain) else ""


def _write_evidence(evaluation: Evaluation, words: Words) -> str:
    evidence = evaluation.evidence
    if evidence is None or evidence.n_origins is None or evidence.n_candles is None or evidence.days is None:
        return ""
    return words(
        "luck.evidence",
        gain=write_size(evidence.gain, evaluation.metric, words, level=True),
        n=format_count(evidence.n_origins),
        n_candles=format_count(evidence.n_candles),
        time=format_duration(evidence.days, words),
    )


def format_duration(days: float, words: Words) -> str:
    """Return a calendar time in days, months or years."""
    for unit, size, least in (("years", DAYS_OF_YEAR, 1.5), ("months", DAYS_OF_MONTH, 2.0)):
        if days >= least * size:
            return words(
                f"units.{unit}", n=f"{days / size:,.1f}".removesuffix(".0") if unit == "years" else f"{days / size:.0f}"
            )
    n = max(round(days), 1)
    return words("units.days" if n > 1 else "units.day", n=f"{n}")


@dataclass(frozen=True)
class NextStep:
    """What to do, in a few words, and why or how. command: the command that does it, if there is one."""

    do: str
    why: str
    command: str


def write_next_steps(evaluation: Evaluation, words: Words) -> list[NextStep]:
    """Return what to do next, the most useful first."""
    steps = []
    for note in evaluation.next_steps:
        values: dict[str, object] = dict(note.values)
        if "baseline" in values:
            values["baseline"] = name_baseline(str(values["baseline"]), evaluation, words)
        if "days" in values:
            values["time"] = format_duration(float(str(values["days"])), words)
        if "gain" in values:
            values["gain"] = write_size(float(str(values["gain"])), evaluation.metric, words, level=True)
        values |= {key: format_percent(float(str(values[key])), 0) for key in SHARES if key in values}
        command = str(values.pop("command", ""))
        steps.append(NextStep(words(f"next.{note.code}.do"), words(f"next.{note.code}.why", **values), command))
    return steps
