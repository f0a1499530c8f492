"""Comparisons in exact words: size, interval, p-value and origins."""

import re
from dataclasses import dataclass
from math import floor, isfinite, log10

from kronos.evaluation.records import Label, Note
from kronos.evaluation.results import Comparison, Evaluation
from kronos.report.words.catalogue import Words

PRETRAINED = "pretrained"
IN_POINTS = ("direction",)  # metrics whose skill is a difference of shares, not a share
UNITS = re.compile(r"(?P<n>[\d.,]+) (?P<unit>(?:day|hour|minute|second)s?)\b|\b(?P<place>line|row) (?P<line>[\d,]+)")


def write_sentence(comparison: Comparison, evaluation: Evaluation, words: Words, judged: bool = True) -> str:
    """Return in one sentence the outcome of a comparison, its size and its certainty.

    Args:
        judged: name the outcome; only those by the verdict's metric are corrected for their number.
    """
    labels = {each.name: each.label for each in evaluation.forecasters}
    name = name_in_sentence(comparison.baseline, words, labels.get(comparison.baseline))
    if not judged:
        opening = words("verdict.against_baseline", baseline=name)
    elif comparison.baseline == PRETRAINED:
        opening = words(f"verdict.fine_tuning.{comparison.outcome}")
    else:
        opening = words(f"verdict.against.{comparison.outcome}", baseline=name)
    return words("verdict.sentence", opening=opening, body=_write_body(comparison, evaluation, words))


def _write_body(comparison: Comparison, evaluation: Evaluation, words: Words) -> str:
    metric, origins = words(f"metrics.{comparison.metric}.sentence"), _write_origins(comparison, words)
    if not comparison.n_origins:
        return words("verdict.undefined", metric=metric)
    if comparison.identical:
        return words("verdict.identical", metric=metric, origins=origins)
    change = _Change.of(comparison)
    interval = change.write_interval(evaluation.confidence, words)
    if interval and -evaluation.margin < comparison.low and comparison.high < evaluation.margin:
        margin = change.write_size(f"{100 * evaluation.margin:g}", words)
        interval = words("verdict.within_margin", interval=interval, margin=margin)
    certainty = _join(words("verdict.comma"), interval, _write_p(comparison, words))
    evidence = _join(words("verdict.semicolon"), certainty, origins)
    if not isfinite(comparison.skill):
        return words("verdict.zero_with", metric=metric, evidence=evidence)
    return words("verdict.change", metric=metric, change=change.write(words), evidence=evidence)


def write_detail(comparison: Comparison, confidence: float, words: Words) -> str:
    """Return the difference and its interval, to stand in brackets."""
    metric = words(f"metrics.{comparison.metric}.sentence")
    if comparison.identical:
        return words("verdict.same_forecasts")
    if not isfinite(comparison.skill):
        evidence = _write_p(comparison, words)
        key = "undefined" if not comparison.n_origins else "zero_with" if evidence else "zero"
        return words(f"verdict.{key}", metric=metric, evidence=evidence)
    change = _Change.of(comparison)
    short = words("verdict.short_change", metric=metric, change=change.write(words))
    return _join(words("verdict.comma"), short, change.write_interval(confidence, words))


@dataclass(frozen=True)
class _Change:
    """A skill as a change of the error in per cent or points, with its interval in the same direction."""

    in_points: bool
    lower: bool
    from_pretrained: bool
    size: float
    low: float
    high: float

    @classmethod
    def of(cls, comparison: Comparison) -> "_Change":
        low, high = comparison.low, comparison.high
        if comparison.skill < 0:
            low, high = -high, -low
        in_points = comparison.metric in IN_POINTS
        lower = (comparison.skill >= 0) != in_points  # a better error is lower, a better share of hits higher
        from_pretrained = comparison.baseline == PRETRAINED
        return cls(in_points, lower, from_pretrained, 100 * abs(comparison.skill), 100 * low, 100 * high)

    def write(self, words: Words) -> str:
        key = ("lower" if self.lower else "higher") + ("_than_pretrained" if self.from_pretrained else "")
        return words(f"verdict.{key}", size=self.write_size(self._format(self.size), words))

    def write_size(self, number: str, words: Words) -> str:
        return words("verdict.points", n=number) if self.in_points else f"{number}%"

    def write_interval(self, confidence: float, words: Words) -> str:
        """Return the interval, or nothing if there is none."""
        if not isfinite(self.low + self.high):
            return ""
        ends = {"low": self._format(self.low), "high": self._format(self.high)}
        key = "interval_in_points" if self.in_points else "interval"
        return words(f"verdict.{key}", level=f"{100 * confidence:g}", **ends)

    def _format(self, value: float) -> str:
        """Format with the decimals that the half width of the interval justifies."""
        half_width = (self.high - self.low) / 2
        decimals = min(max(1 - floor(log10(half_width)), 0), 4) if half_width > 1e-6 else 1
        return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")  # + 0.0: no minus before 0


def _join(separator: str, *parts: str) -> str:
    return separator.join(filter(None, parts))


def _write_p(comparison: Comparison, words: Words) -> str:
    """Return the p-value that decided the outcome."""
    adjusted = isfinite(comparison.p_adjusted)
    p = comparison.p_adjusted if adjusted else comparison.p_value
    if not isfinite(p):
        return ""
    text = f"{p:.{2 if p >= 0.095 else 3}f}"
    if adjusted:
        return words("verdict.adjusted_below") if p < 0.001 else words("verdict.adjusted", p=text)
    return "p < 0.001" if p < 0.001 else f"p = {text}"


def _write_origins(comparison: Comparison, words: Words) -> str:
    n = comparison.n_origins
    if n <= 1:
        return words("verdict.one_origin") if n else words("verdict.origins", n=n)
    independent = round(comparison.n_independent) if isfinite(comparison.n_independent) else n
    if independent == n:
        return words("verdict.independent_origins", n=n)
    return words(
        "verdict.origins_worth_one" if independent == 1 else "verdict.origins_worth", n=n, independent=independent
    )


def write_outcome(comparison: Comparison, words: Words) -> str:
    """Return an outcome in a word: the effect of fine-tuning, or how the run stands against another baseline."""
    kind = "effect" if comparison.baseline == PRETRAINED else "standing"
    return words(f"verdict.{kind}.{comparison.outcome}")


def write_note(note: Note, words: Words, section: str = "notes") -> str:
    """Return a note, or with the section "reasons" why a baseline was left out."""
    if note.texts:
        return words.choose(note.texts)
    if not words.has(f"{section}.{note.code}"):  # of a baseline that somebody added
        return note.code
    values = dict(note.values)
    if "baseline" in values:
        values["baseline"] = name_in_sentence(str(values["baseline"]), words)
    if "difference" in values:
        values["text"] = _write_difference(values, words)
    return words(f"{section}.{note.code}", **values)


def _write_difference(values: dict[str, int | float | str], words: Words) -> str:
    """Return in what candles differ from those of a run."""
    shown = {name: write_units(value, words) if isinstance(value, str) else value for name, value in values.items()}
    if "weekday" in shown:
        shown["weekday"] = words(f"weekdays.{shown['weekday']}")
    text = words(f"differences.{values['difference']}", **shown)
    return words("difference_of_baseline", run=values["run"], text=text) if values["run"] else text


def name_forecaster(label: Label, words: Words) -> str:
    """Return what tables and charts call a forecaster, by the label in its result."""
    if not isinstance(label, str):
        return words.choose(label)
    return words(f"forecasters.{label}") if words.has(f"forecasters.{label}") else label


def name_in_sentence(name: str, words: Words, label: Label | None = None) -> str:
    """Return the name of a forecaster within a sentence."""
    key = f"forecasters_in_sentences.{name}"
    return words(key) if words.has(key) else name_forecaster(label or name, words)


def name_metric(metric: str, words: Words, part: str = "label") -> str:
    """Return what tables and charts call a metric; with the part "meaning", how to read it."""
    band = re.fullmatch(r"(coverage|width)_(\d+)", metric)
    return words(f"metrics.{band[1]}.{part}", level=band[2]) if band else words(f"metrics.{metric}.{part}")


def write_units(text: str, words: Words) -> str:
    """Return a text with its durations and places ("5 minutes", "line 3") in the language."""

    def write(match: re.Match[str]) -> str:
        return words(f"units.{match['unit'] or match['place']}", n=match["n"] or match["line"])

    return UNITS.sub(write, text)
