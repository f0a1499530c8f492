"""What is written in the pictures and pages of a forecast, in English and Chinese."""

from typing import Any

from kronos.evaluation.results import Language, Texts

SCENE_TEXTS: dict[str, Texts] = {
    "rising": {"en": "Rising candle", "zh": "阳线"},
    "falling": {"en": "Falling candle", "zh": "阴线"},
    "hollow_and_filled": {"en": "Candles: hollow rising, filled falling", "zh": "K 线：空心为阳线，实心为阴线"},
    "known": {"en": "Known candle", "zh": "已知 K 线"},
    "median": {"en": "Forecast: median of {n} paths", "zh": "预测：{n} 条路径的中位数"},
    "one_path": {"en": "Forecast: close of one path", "zh": "预测：单条路径的收盘价"},
    "origin": {"en": "Origin", "zh": "预测起点"},
    "origin_and_truth": {"en": "Origin; after it, what came", "zh": "预测起点（其后为实际走势）"},
    "mean_candle": {"en": "Forecast: mean candle", "zh": "预测：平均 K 线"},
    "one_candle": {"en": "Forecast: candle of one path", "zh": "预测：单条路径的 K 线"},
    "forecast_close": {"en": "Forecast close", "zh": "预测收盘价"},
    "forecast_volume": {"en": "Forecast volume", "zh": "预测成交量"},
    "median_of": {"en": "median ", "zh": "中位数 "},
    "Price": {"en": "Price", "zh": "价格"},
    "Volume": {"en": "Volume", "zh": "成交量"},
    "open": {"en": "open", "zh": "开"},
    "high": {"en": "high", "zh": "高"},
    "low": {"en": "low", "zh": "低"},
    "close": {"en": "close", "zh": "收"},
    "volume": {"en": "volume", "zh": "量"},
}


def say(key: str, language: Language, **values: Any) -> str:
    """Return a text in a language, with values in its places."""
    return SCENE_TEXTS[key][language].format(**values)
