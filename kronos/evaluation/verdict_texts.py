"""The sentences of a verdict, in English and Chinese."""

from dataclasses import dataclass
from math import floor, isfinite, log10

from kronos.evaluation.results import LANGUAGES, Comparison, Language, Texts, Verdict
from kronos.evaluation.verdict_words import (
    AGAINST,
    BASELINE_NAMES,
    FINE_TUNING,
    IN_POINTS,
    METRIC_NAMES,
    NO_NAIVE,
    NO_WALK,
    NOT_COMPARED,
    PRETRAINED,
    SKILL,
    WORDS,
    fill,
)


@dataclass(frozen=True)
class Finding:
    """What a comparison found, as its sentence says it; see `Comparison`."""

    metric: str
    baseline: str
    label: Texts
    outcome: Verdict
    skill: float
    low: float
    high: float
    p_value: float
    n_origins: int
    n_independent: float
    confidence: float
    margin: float
    identical: bool

    @property
    def is_within_margin(self) -> bool:
        return -self.margin < self.low and self.high < self.margin


def write_sentence(finding: Finding, n_missing: int | None) -> Texts:
    """Say in one sentence what was found, how much and how surely, and about how many more origins are needed, if known."""
    return {language: _write(finding, n_missing, language) for language in LANGUAGES}


def _write(finding: Finding, n_missing: int | None, language: Language) -> str:
    words, metric = WORDS[language], METRIC_NAMES[finding.metric][language]
    openings = FINE_TUNING if finding.baseline == PRETRAINED else AGAINST
    name = BASELINE_NAMES.get(finding.baseline, finding.label)[language]
    opening = fill(openings[finding.outcome][language], name)
    change = _Change.of(finding.metric, finding.baseline, finding.skill, finding.low, finding.high)
    interval = change.write_interval(finding.confidence, language)
    if interval and finding.is_within_margin:
        interval = words["margin"].format(interval, 100 * finding.margin, change.unit(language))
    sureness = _join(words["comma"], interval, _write_p(finding.p_value))
    evidence = _join(words["semicolon"], sureness, _count_origins(finding, words))
    if not finding.n_origins:
        body = fill(words["nothing"], metric=metric)
    elif finding.identical:
        detail = _join(words["semicolon"], fill(words["throughout"], metric=metric), _count_origins(finding, words))
        body = words["opening"].format(words["identical"], detail)
    elif not isfinite(finding.skill):
        body = fill(words["zero"], metric=metric, evidence=evidence)
    else:
        more = _count(words, "more", n_missing) if n_missing else ""
        body = fill(words["change"], metric=metric, change=change.write(language), evidence=evidence, more=more)
    return words["sentence"].format(opening, body)


def write_headline(
    pretrained: Comparison | None,
    reason: Texts | None,
    hardest: Comparison | None,
    has_walk: bool,
    caveat: Texts | None,
    confidence: float,
) -> Texts:
    """Say in one sentence what came of fine-tuning, and of the comparison with the naive baseline hardest to beat.

    Args:
        pretrained: the comparison with the pretrained model. reason: why there is none.
        has_walk: whether a random walk was compared. caveat: what the sentence ends with.
    """
    texts: Texts = {}
    for language in LANGUAGES:
        words = WORDS[language]
        fine_tuning = NOT_COMPARED[language].format(reason[language].rstrip(".。")) if reason else ""
        if pretrained:
            found = _describe(pretrained, confidence, language)
            fine_tuning = words["opening"].format(FINE_TUNING[pretrained.outcome][language], found)
        skill = NO_NAIVE[language]
        if hardest:
            name = BASELINE_NAMES[hardest.baseline][language]
            said = NO_WALK if hardest.outcome == "helped" and not has_walk else SKILL[hardest.outcome]
            skill = fill(said[language], name, _describe(hardest, confidence, language))
        sentence = _join(words["semicolon"], fine_tuning, skill)
        end = caveat[language] if caveat else ""
        texts[language] = sentence[0].upper() + sentence[1:] + end + words["stop"]
    return texts


def _describe(found: Comparison, confidence: float, language: Language) -> str:
    """The difference and its interval, for brackets."""
    words, metric = WORDS[language], METRIC_NAMES[found.metric][language]
    if found.skill == found.low == found.high == 0:
        return words["identical"]
    if not isfinite(found.skill):
        return fill(
            words["nothing" if not found.n_origins else "zero"], metric=metric, evidence=_write_p(found.p_value)
        )
    change = _Change.of(found.metric, found.baseline, found.skill, found.low, found.high)
    short = fill(words["short"], metric=metric, change=change.write(language))
    return _join(words["comma"], short, change.write_interval(confidence, language))


@dataclass(frozen=True)
class _Change:
    """A skill in per cent or points, as so much lower or higher; the interval goes the same way."""

    in_points: bool
    lower: bool
    than_pretrained: bool
    size: float
    low: float
    high: float

    @classmethod
    def of(cls, metric: str, baseline: str, skill: float, low: float, high: float) -> "_Change":
        if skill < 0:
            low, high = -high, -low
        in_points = metric in IN_POINTS
        lower = (skill >= 0) != in_points  # a better error is lower, a better share of hits higher
        return cls(in_points, lower, baseline == PRETRAINED, 100 * abs(skill), 100 * low, 100 * high)

    def unit(self, language: Language) -> str:
        return WORDS[language]["points" if self.in_points else "per_cent"]

    def write(self, language: Language) -> str:
        words = WORDS[language]
        than = words["than"] if self.than_pretrained else ""
        return words["lower" if self.lower else "higher"].format(
            size=self._write(self.size), unit=self.unit(language), than=than
        )

    def write_interval(self, confidence: float, language: Language) -> str:
        """Empty where there is none."""
        if not isfinite(self.low + self.high):
            return ""
        unit = self.unit(language)
        return WORDS[language]["interval"].format(
            level=100 * confidence,
            low=self._write(self.low),
            low_unit="" if self.in_points else unit,
            high=self._write(self.high),
            unit=unit,
        )

    def _write(self, value: float) -> str:
        """With as many decimals as the interval's half width has anything to say about."""
        half_width = (self.high - self.low) / 2
        decimals = min(max(1 - floor(log10(half_width)), 0), 4) if half_width > 1e-6 else 1
        return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")  # + 0.0: no minus before 0


def _join(separator: str, *parts: str) -> str:
    return separator.join(filter(None, parts))


def _write_p(p_value: float) -> str:
    if not isfinite(p_value):
        return ""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.{2 if p_value >= 0.095 else 3}f}"


def _count_origins(finding: Finding, words: dict[str, str]) -> str:
    n, independent = finding.n_origins, round(finding.n_independent)
    if n <= 1:
        return _count(words, "origins", n)
    if independent == n:
        return words["independent"].format(n)
    return words.get(f"worth_{independent}", words["worth"]).format(n, independent)


def _count(words: dict[str, str], key: str, n: int) -> str:
    return words.get(f"{key}_{n}", words[key]).format(n)
