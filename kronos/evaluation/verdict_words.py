"""The words of a verdict, in English and Chinese."""

import re

from kronos.evaluation.results import Comparison, Language, Texts, Verdict

PRETRAINED = "pretrained"
MARK = "\0"  # the ends of a value within a text
CHINESE = "\u4e00-\u9fff"
METRIC_NAMES: dict[str, Texts] = {
    "crps": {"en": "CRPS", "zh": "CRPS"},
    "mae": {"en": "the mean absolute error", "zh": "MAE"},
    "direction": {"en": "the hit rate of the direction", "zh": "方向准确率"},
}
IN_POINTS = ("direction",)  # whose skill is a difference of shares, not a share
# As a sentence has them; others go by their label.
BASELINE_NAMES: dict[str, Texts] = {
    "pretrained": {"en": "the pretrained model", "zh": "预训练模型"},
    "last_close": {"en": "the last close", "zh": "最新收盘价"},
    "drift": {"en": "the drift", "zh": "漂移法"},
    "seasonal_naive": {"en": "the seasonal naive forecast", "zh": "季节性朴素法"},
    "volatility": {"en": "the last close with historical volatility", "zh": "历史波动率法"},
    "lstm": {"en": "the LSTM", "zh": "LSTM"},
}
FINE_TUNING: dict[Verdict, Texts] = {
    "helped": {"en": "Fine-tuning helped", "zh": "微调有效"},
    "hurt": {"en": "Fine-tuning hurt", "zh": "微调后变差"},
    "no difference": {"en": "Fine-tuning made no difference", "zh": "微调前后无实质差异"},
    "too little data to tell": {
        "en": "Too little data to tell whether fine-tuning helped",
        "zh": "数据太少，无法判断微调是否有效",
    },
}
AGAINST: dict[Verdict, Texts] = {
    "helped": {"en": "Better than {}", "zh": "优于{}"},
    "hurt": {"en": "Worse than {}", "zh": "不如{}"},
    "no difference": {"en": "No different from {}", "zh": "与{}无实质差异"},
    "too little data to tell": {
        "en": "Too little data to tell whether it is better than {}",
        "zh": "数据太少，无法判断是否优于{}",
    },
}
# In a word, as tables have it.
EFFECTS: dict[Verdict, Texts] = {
    "helped": {"en": "helped", "zh": "微调有效"},
    "hurt": {"en": "hurt", "zh": "微调后变差"},
    "no difference": {"en": "no difference", "zh": "无实质差异"},
    "too little data to tell": {"en": "too little data", "zh": "数据太少"},
}
STANDINGS: dict[Verdict, Texts] = EFFECTS | {
    "helped": {"en": "better", "zh": "优于基准"},
    "hurt": {"en": "worse", "zh": "不如基准"},
}
SKILL: dict[Verdict, Texts] = {
    "helped": {
        "en": "the model has skill: it is better than every naive baseline compared, the best of which is {} ({})",
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
NO_WALK: Texts = {  # a baseline that is worse than a random walk is beaten by whoever knows nothing
    "en": "the model is better than {} ({}), but whether it has skill is not known, as no random walk was compared "
    "(last_close, volatility)",
    "zh": "模型优于{}（{}），但未与随机游走（last_close、volatility）比较，有无预测能力尚不可知",
}
NO_NAIVE: Texts = {
    "en": "whether the model has skill is not known, as no naive baseline was compared",
    "zh": "没有与任何朴素基准比较，模型有无预测能力尚不可知",
}
NOT_COMPARED: Texts = {"en": "Not compared with a pretrained model ({})", "zh": "未与预训练模型比较（{}）"}
ON_VALIDATION: Texts = {
    "en": ", all on the validation split, by which the model was chosen",
    "zh": "；以上均在验证集上得出，而模型正是依验证集选出的",
}
ON_SEEN: Texts = {
    "en": ", partly on candles from the time that the run was trained or validated on",
    "zh": "；其中部分 K 线处于训练或验证所用的时间段内",
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


def name_outcome(found: Comparison) -> Texts:
    """Say in a word how a comparison came out: what fine-tuning did, or how the run stands against another baseline."""
    return (EFFECTS if found.baseline == PRETRAINED else STANDINGS)[found.outcome]


def fill(words: str, *values: object, **named: object) -> str:
    """Put values in their places; in Chinese a space parts Latin letters and digits of a value from what is around it."""
    filled = words.format(*map(_mark, values), **{name: _mark(value) for name, value in named.items()})
    spaced = re.sub(rf"(?<=[{CHINESE}]){MARK}+(?=[0-9A-Za-z])|(?<=[0-9A-Za-z]){MARK}+(?=[{CHINESE}])", " ", filled)
    return spaced.replace(MARK, "")


def _mark(value: object) -> object:
    return f"{MARK}{value}{MARK}" if isinstance(value, str) else value
