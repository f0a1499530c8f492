"""Chinese for what the records of a run name in English."""

import re

from kronos.evaluation.results import Texts

SPLITS: dict[str, Texts] = {
    "train": {"en": "train split", "zh": "训练集"},
    "val": {"en": "validation split", "zh": "验证集"},
    "test": {"en": "test split", "zh": "测试集"},
}
STAGES: dict[str, Texts] = {
    "tokenizer": {"en": "Tokenizer", "zh": "分词器（tokenizer）"},
    "basemodel": {"en": "Base model", "zh": "基座模型（base model）"},
}
KINDS: dict[str, Texts] = {
    "best": {"en": "Best", "zh": "最好的一次"},
    "median": {"en": "Median", "zh": "居中的一次"},
    "worst": {"en": "Worst", "zh": "最差的一次"},
}
SEVERITIES: dict[str, Texts] = {
    "error": {"en": "error", "zh": "错误"},
    "repair": {"en": "repair", "zh": "已修复"},
    "note": {"en": "note", "zh": "提示"},
}
FINDINGS_ZH = {
    "unreadable": "文件无法读取",
    "reading": "读取文件时所作的假定",
    "unsorted": "时间顺序错乱的行",
    "duplicates": "重复行",
    "conflicting": "同一时刻有不同的 K 线",
    "not_finite": "价格为空或非有限值",
    "blank_volume": "成交量或成交额为空",
    "non_positive": "价格小于或等于 0",
    "impossible": "不可能存在的 K 线（如最高价低于最低价）",
    "unfinished": "末尾尚未走完的 K 线",
    "clock_changes": "时间戳中存在时钟前拨或回拨",
    "time_zone": "交易时段移动，疑似时间戳的时区发生变化",
    "intervals": "存在不同周期的区段",
    "irregular": "时间间隔不固定",
    "gaps": "交易时段内缺失 K 线",
    "halts": "整个交易日没有 K 线",
    "jumps": "疑似拆股或除权的价格跳变",
    "flat": "长时间没有成交",
    "volume": "成交量或成交额缺失或恒定",
    "zones": "带时区与不带时区的时间混用",
    "copies": "与另一标的的 K 线完全相同",
    "short": "K 线太少，不足一个窗口",
}
UNITS_ZH = {
    "day": "天",
    "hour": "小时",
    "minute": "分钟",
    "second": "秒",
    "line": "第 {} 行",
    "row": "第 {} 行",
}


def translate_units(words: str) -> Texts:
    """Return "5 minutes" or "line 3 (2024-01-02)" in both languages."""

    def translate(match: re.Match[str]) -> str:
        unit = UNITS_ZH[match["unit"] or match["counted"]]
        return unit.format(match["n"]) if match["n"] else f"{match['count']} {unit}"

    pattern = r"(?P<count>[\d.,]+) (?P<unit>day|hour|minute|second)s?\b|\b(?P<counted>line|row) (?P<n>[\d,]+)"
    return {"en": words, "zh": re.sub(pattern, translate, words)}
