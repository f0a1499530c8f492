"""The words of a verdict, in English and Chinese."""

from dataclasses import dataclass
from math import floor, isfinite, log10

from kronos.evaluate.results import LANGUAGES, Comparison, Language, Outcome, Texts

PRETRAINED = "pretrained"
SHARE_METRICS = ("direction",)  # their skill is a difference, in percentage points
METRIC_NAMES: dict[str, Texts] = {
    "crps": {"en": "CRPS", "zh": "CRPS "},
    "mae": {"en": "mean absolute error", "zh": "平均绝对误差"},
    "direction": {"en": "hit rate of the direction", "zh": "方向命中率"},
}
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
        "en": "the model has skill: it is better than every naive rival, the best of which is {} ({})",
        "zh": "模型有预测能力：优于所有朴素基准，其中最强的是{}（{}）",
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
NO_NAIVE: Texts = {
    "en": "whether the model has skill is not known, as no naive rival was compared",
    "zh": "没有与任何朴素基准比较，模型有无预测能力尚不可知",
}
NOT_COMPARED: Texts = {"en": "Not compared with a pretrained model ({})", "zh": "未与预训练模型比较（{}）"}
ON_VALIDATION: Texts = {
    "en": ", all on the validation split, by which the model was chosen",
    "zh": "；以上均在验证集上得出，而模型正是依验证集选出的",
}
IDENTICAL: Texts = {"en": "the forecasts are identical", "zh": "两者的预测完全相同"}


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
    return {"en": _write_english(finding, n_missing), "zh": _write_chinese(finding, n_missing)}


def write_headline(
    pretrained: Comparison | None,
    reason: Texts | None,
    hardest: Comparison | None,
    on_validation: bool,
    confidence: float,
) -> Texts:
    """Say in one sentence what came of fine-tuning, and of the comparison with the naive rival hardest to beat.

    Args:
        pretrained: the comparison with the pretrained model. reason: why there is none.
    """
    return {
        language: _join_headline(language, pretrained, reason, hardest, confidence)
        + (ON_VALIDATION[language] if on_validation else "")
        + {"en": ".", "zh": "。"}[language]
        for language in LANGUAGES
    }


def _join_headline(
    language: Language,
    pretrained: Comparison | None,
    reason: Texts | None,
    hardest: Comparison | None,
    confidence: float,
) -> str:
    clauses = []
    if pretrained is not None:
        found = _describe(language, pretrained, confidence)
        opening = FINE_TUNING[pretrained.outcome][language]
        clauses.append(f"{opening} ({found})" if language == "en" else f"{opening}（{found}）")
    elif reason is not None:
        clauses.append(NOT_COMPARED[language].format(reason[language].rstrip(".。")))
    if hardest is not None:
        name = RIVAL_NAMES[hardest.rival][language]
        clauses.append(SKILL[hardest.outcome][language].format(name.strip(), _describe(language, hardest, confidence)))
    else:
        clauses.append(NO_NAIVE[language])
    sentence = {"en": "; ", "zh": "；"}[language].join(clauses)
    return sentence[0].upper() + sentence[1:]


def _describe(language: Language, found: Comparison, confidence: float) -> str:
    """The difference and its interval, for brackets."""
    if found.skill == found.low == found.high == 0:
        return IDENTICAL[language]
    if not isfinite(found.skill):
        return {"en": "by {} that cannot be compared", "zh": "{}无法比较"}[language].format(
            METRIC_NAMES[found.metric][language]
        )
    change = _Change.of(found.metric, found.skill, found.low, found.high)
    metric, than = METRIC_NAMES[found.metric][language], found.rival == PRETRAINED
    if language == "en":
        return ", ".join(
            filter(
                None,
                [
                    f"{metric} {change.english()}" + (" than the pretrained model's" if than else ""),
                    change.english_interval(confidence),
                ],
            )
        )
    versus = f"比{RIVAL_NAMES[PRETRAINED]['zh']}" if than else ""
    return "，".join(filter(None, [f"{metric}{versus}{change.chinese()}", change.chinese_interval(confidence)]))


@dataclass(frozen=True)
class _Change:
    """A skill in per cent or points, as so much lower or higher; the interval goes the same way."""

    points: bool
    lower: bool
    size: float
    low: float
    high: float

    @classmethod
    def of(cls, metric: str, skill: float, low: float, high: float) -> "_Change":
        if skill < 0:
            low, high = -high, -low
        points = metric in SHARE_METRICS
        return cls(points, (skill >= 0) != points, 100 * abs(skill), 100 * low, 100 * high)

    def english(self) -> str:
        unit = "percentage points" if self.points else "%"
        return f"{self._write(self.size)} {unit} {'lower' if self.lower else 'higher'}"

    def english_interval(self, confidence: float) -> str:
        if not isfinite(self.low + self.high):
            return ""
        unit = "points" if self.points else "%"
        return f"{100 * confidence:g} % interval {self._write(self.low)} to {self._write(self.high)} {unit}"

    def chinese(self) -> str:
        return f"{'低' if self.lower else '高'} {self._write(self.size)}{self._chinese_unit()}"

    def chinese_interval(self, confidence: float) -> str:
        if not isfinite(self.low + self.high):
            return ""
        unit = self._chinese_unit()
        low = self._write(self.low) + ("" if self.points else unit)
        return f"{100 * confidence:g}% 置信区间 {low} 至 {self._write(self.high)}{unit}"

    def _chinese_unit(self) -> str:
        return " 个百分点" if self.points else "%"

    def _write(self, value: float) -> str:
        """With as many decimals as the interval's half width has anything to say about."""
        half_width = (self.high - self.low) / 2
        decimals = min(max(1 - floor(log10(half_width)), 0), 4) if half_width > 1e-6 else 1
        return f"{value:.{decimals}f}".replace("-", "−") if round(value, decimals) else f"{0:.{decimals}f}"


def _write_p(p_value: float) -> str:
    if not isfinite(p_value):
        return ""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.{2 if p_value >= 0.095 else 3}f}"


def _is_all_independent(finding: Finding) -> bool:
    return round(finding.n_independent) == finding.n_origins


def _write_english(finding: Finding, n_missing: int | None) -> str:
    name = RIVAL_NAMES.get(finding.rival, finding.label)["en"].strip()
    openings = FINE_TUNING if finding.rival == PRETRAINED else AGAINST
    opening = openings[finding.outcome]["en"].format(name)
    metric = METRIC_NAMES[finding.metric]["en"]
    if not finding.n_origins:
        return f"{opening}: there is no origin at which both have a {metric}."
    origins = _count_english(finding)
    if finding.identical:
        return f"{opening}: {IDENTICAL['en']} ({metric} the same throughout; {origins})."
    subject = metric if finding.metric == "crps" else f"the {metric}"
    if not isfinite(finding.skill):
        evidence = "; ".join(filter(None, [_write_p(finding.p_value), origins]))
        return f"{opening}: {subject} of {name} is 0, of which nothing is a share ({evidence})."
    change = _Change.of(finding.metric, finding.skill, finding.low, finding.high)
    than = f" than {name}'s" if finding.rival == PRETRAINED else ""
    interval = change.english_interval(finding.confidence)
    if interval and finding.is_within_margin:
        interval += f" within the margin of ±{100 * finding.margin:g} {'points' if change.points else '%'}"
    sureness = ", ".join(filter(None, [interval, _write_p(finding.p_value)]))
    more = f"; about {n_missing} more origin{'s' * (n_missing > 1)} would be needed" if n_missing else ""
    return f"{opening}: {subject} is {change.english()}{than} ({'; '.join(filter(None, [sureness, origins]))}){more}."


def _count_english(finding: Finding) -> str:
    n, independent = finding.n_origins, round(finding.n_independent)
    if n == 1:
        return "1 origin"
    if _is_all_independent(finding):
        return f"{n} independent origins"
    return f"{n} origins, worth about {independent} independent one{'s' * (independent > 1)}"


def _write_chinese(finding: Finding, n_missing: int | None) -> str:
    name = RIVAL_NAMES.get(finding.rival, finding.label)["zh"]
    openings = FINE_TUNING if finding.rival == PRETRAINED else AGAINST
    opening = openings[finding.outcome]["zh"].format(name).strip()
    metric = METRIC_NAMES[finding.metric]["zh"]
    if not finding.n_origins:
        return f"{opening}：没有一个起点可以计算双方的{metric.strip()}。"
    origins = _count_chinese(finding)
    if finding.identical:
        return f"{opening}：{IDENTICAL['zh']}（{metric}处处相等；{origins}）。"
    if not isfinite(finding.skill):
        evidence = "；".join(filter(None, [_write_p(finding.p_value), origins]))
        return f"{opening}：对方的{' ' * metric.isascii()}{metric}为 0，无法计算相对差异（{evidence}）。"
    change = _Change.of(finding.metric, finding.skill, finding.low, finding.high)
    versus = f"比{name}" if finding.rival == PRETRAINED else ""
    interval = change.chinese_interval(finding.confidence)
    if interval and finding.is_within_margin:
        margin = f"±{100 * finding.margin:g}{'' if not change.points else ' 个百分点'}{'' if change.points else '%'}"
        interval += f"，未超出 {margin} 的容差"
    sureness = "，".join(filter(None, [interval, _write_p(finding.p_value)]))
    more = f"；大约还需要 {n_missing} 个起点" if n_missing else ""
    return f"{opening}：{metric}{versus}{change.chinese()}（{'；'.join(filter(None, [sureness, origins]))}）{more}。"


def _count_chinese(finding: Finding) -> str:
    n, independent = finding.n_origins, round(finding.n_independent)
    if n == 1:
        return "1 个起点"
    if _is_all_independent(finding):
        return f"{n} 个独立起点"
    return f"{n} 个起点，约相当于 {independent} 个独立起点"
