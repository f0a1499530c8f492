"""The words of a verdict, in English and Chinese."""

from dataclasses import dataclass
from math import floor, isfinite, log10

from kronos.evaluate.results import LANGUAGES, Comparison, Language, Outcome, Texts

PRETRAINED = "pretrained"
METRIC_NAMES: dict[str, Texts] = {
    "crps": {"en": "CRPS", "zh": "CRPS "},
    "mae": {"en": "the mean absolute error", "zh": "平均绝对误差"},
    "direction": {"en": "the hit rate of the direction", "zh": "方向命中率"},
}
IN_POINTS = ("direction",)  # whose skill is a difference of shares, not a share
# As a sentence has them; others go by their label.
RIVAL_NAMES: dict[str, Texts] = {
    "pretrained": {"en": "the pretrained model", "zh": "预训练模型"},
    "last_close": {"en": "the last close", "zh": "最新收盘价"},
    "drift": {"en": "the drift", "zh": "漂移预测"},
    "seasonal_naive": {"en": "the seasonal naive forecast", "zh": "季节性朴素预测"},
    "volatility": {"en": "the last close with historical volatility", "zh": "最新收盘价加历史波动率"},
    "lstm": {"en": "the LSTM", "zh": " LSTM "},
}
FINE_TUNING: dict[Outcome, Texts] = {
    "helped": {"en": "Fine-tuning helped", "zh": "微调有效"},
    "hurt": {"en": "Fine-tuning hurt", "zh": "微调后变差"},
    "no difference": {"en": "Fine-tuning made no difference", "zh": "微调前后无实质差异"},
    "too little data to tell": {
        "en": "Too little data to tell whether fine-tuning helped",
        "zh": "数据太少，无法判断微调是否有效",
    },
}
AGAINST: dict[Outcome, Texts] = {
    "helped": {"en": "Better than {}", "zh": "优于{}"},
    "hurt": {"en": "Worse than {}", "zh": "不如{}"},
    "no difference": {"en": "No different from {}", "zh": "与{}无实质差异"},
    "too little data to tell": {
        "en": "Too little data to tell whether it is better than {}",
        "zh": "数据太少，无法判断是否优于{}",
    },
}
SKILL: dict[Outcome, Texts] = {
    "helped": {
        "en": "the model has skill: it is better than every naive rival compared, the best of which is {} ({})",
        "zh": "模型有预测能力：优于参与比较的所有朴素基准，其中最强的是{}（{}）",
    },
    "hurt": {"en": "no skill: the model is worse than {} ({})", "zh": "没有预测能力：模型不如{}（{}）"},
    "no difference": {
        "en": "no skill: the model is no better than {} ({})",
        "zh": "没有预测能力：模型并不优于{}（{}）",
    },
    "too little data to tell": {
        "en": "no skill shown: too little data to tell whether the model is better than {} ({})",
        "zh": "尚看不出预测能力：数据太少，无法判断模型是否优于{}（{}）",
    },
}
NO_WALK: Texts = {  # a rival that is worse than a random walk is beaten by whoever knows nothing
    "en": "the model is better than {} ({}), but whether it has skill is not known, as no random walk was compared "
    "(last_close, volatility)",
    "zh": "模型优于{}（{}），但未与随机游走（last_close、volatility）比较，有无预测能力尚不可知",
}
NO_NAIVE: Texts = {
    "en": "whether the model has skill is not known, as no naive rival was compared",
    "zh": "没有与任何朴素基准比较，模型有无预测能力尚不可知",
}
NOT_COMPARED: Texts = {"en": "Not compared with a pretrained model ({})", "zh": "未与预训练模型比较（{}）"}
ON_VALIDATION: Texts = {
    "en": ", all on the validation split, by which the model was chosen",
    "zh": "；以上均在验证集上得出，而模型正是依验证集选出的",
}
ON_SEEN: Texts = {
    "en": ", partly on candles from the time that the run was trained or validated on",
    "zh": "；其中部分K线处于训练或验证所用的时间段内",
}
# Of one form in each language; a key with _1 is for one of them.
WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "sentence": "{}: {}.",
        "stop": ".",
        "opening": "{} ({})",
        "comma": ", ",
        "semicolon": "; ",
        "nothing": "{metric} applies at no origin",
        "identical": "the forecasts are identical",
        "throughout": "{metric} is the same throughout",
        "zero": "{metric} of its forecasts is 0, of which nothing is a share ({evidence})",
        "change": "{metric} is {change} ({evidence}){more}",
        "short": "{metric} {change}",
        "lower": "{size}{unit} lower{than}",
        "higher": "{size}{unit} higher{than}",
        "than": " than the pretrained model's",
        "per_cent": " %",
        "points": " percentage points",
        "interval": "{level:g} % interval {low} to {high}{unit}",
        "margin": "{}, within the margin of ±{:g}{}",
        "origins": "{} origins",
        "origins_1": "{} origin",
        "independent": "{} independent origins",
        "worth": "{} origins, worth about {} independent ones",
        "worth_1": "{} origins, worth no more than {} independent one",
        "more": "; about {} more origins would be needed",
        "more_1": "; about {} more origin would be needed",
    },
    "zh": {
        "sentence": "{}：{}。",
        "stop": "。",
        "opening": "{}（{}）",
        "comma": "，",
        "semicolon": "；",
        "nothing": "没有一个起点能够计算{metric}",
        "identical": "两者的预测完全相同",
        "throughout": "{metric}处处相等",
        "zero": "对方的误差（{metric}）为 0，无法计算相对差异（{evidence}）",
        "change": "{metric}{change}（{evidence}）{more}",
        "short": "{metric}{change}",
        "lower": "{than}低 {size}{unit}",
        "higher": "{than}高 {size}{unit}",
        "than": "比预训练模型",
        "per_cent": "%",
        "points": " 个百分点",
        "interval": "{level:g}% 置信区间 {low}{low_unit} 至 {high}{unit}",
        "margin": "{}，未超出 ±{:g}{} 的容差",
        "origins": "{} 个起点",
        "independent": "{} 个独立起点",
        "worth": "{} 个起点，约相当于 {} 个独立起点",
        "worth_1": "{} 个起点，至多相当于 {} 个独立起点",
        "more": "；大约还需要 {} 个起点",
    },
}


@dataclass(frozen=True)
class Finding:
    """What a comparison found, as its sentence says it; see `Comparison`."""

    metric: str
    rival: str
    label: Texts
    outcome: Outcome
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
    openings = FINE_TUNING if finding.rival == PRETRAINED else AGAINST
    name = RIVAL_NAMES.get(finding.rival, finding.label)[language]
    opening = openings[finding.outcome][language].format(name).strip()
    change = _Change.of(finding.metric, finding.rival, finding.skill, finding.low, finding.high)
    interval = change.write_interval(finding.confidence, language)
    if interval and finding.is_within_margin:
        interval = words["margin"].format(interval, 100 * finding.margin, change.unit(language))
    sureness = _join(words["comma"], interval, _write_p(finding.p_value))
    evidence = _join(words["semicolon"], sureness, _count_origins(finding, words))
    if not finding.n_origins:
        body = words["nothing"].format(metric=metric.strip())
    elif finding.identical:
        detail = _join(words["semicolon"], words["throughout"].format(metric=metric), _count_origins(finding, words))
        body = words["opening"].format(words["identical"], detail)
    elif not isfinite(finding.skill):
        body = words["zero"].format(metric=metric.strip(), evidence=evidence)
    else:
        more = _count(words, "more", n_missing) if n_missing else ""
        body = words["change"].format(metric=metric, change=change.write(language), evidence=evidence, more=more)
    return words["sentence"].format(opening, body)


def write_headline(
    pretrained: Comparison | None,
    reason: Texts | None,
    hardest: Comparison | None,
    has_walk: bool,
    caveat: Texts | None,
    confidence: float,
) -> Texts:
    """Say in one sentence what came of fine-tuning, and of the comparison with the naive rival hardest to beat.

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
            name = RIVAL_NAMES[hardest.rival][language]
            said = NO_WALK if hardest.outcome == "helped" and not has_walk else SKILL[hardest.outcome]
            skill = said[language].format(name, _describe(hardest, confidence, language))
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
        return words["nothing" if not found.n_origins else "zero"].format(
            metric=metric.strip(), evidence=_write_p(found.p_value)
        )
    change = _Change.of(found.metric, found.rival, found.skill, found.low, found.high)
    short = words["short"].format(metric=metric, change=change.write(language))
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
    def of(cls, metric: str, rival: str, skill: float, low: float, high: float) -> "_Change":
        if skill < 0:
            low, high = -high, -low
        in_points = metric in IN_POINTS
        lower = (skill >= 0) != in_points  # a better error is lower, a better share of hits higher
        return cls(in_points, lower, rival == PRETRAINED, 100 * abs(skill), 100 * low, 100 * high)

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
