"""What the metrics are called and what they say, for readers of the page and the tables."""

from dataclasses import dataclass

from kronos.evaluation.results import LEVELS, Texts


@dataclass(frozen=True)
class MetricLabel:
    """How to show a metric and how to read it.

    higher_is_better: None where neither is: a band should hold as much as it says, and be no wider than that takes.
    percent: a share, to be shown times 100 with %. in_units: in those of what is forecast: of prices the candles' own, of
    log returns 1, to be shown times 10,000 in basis points. Neither: a plain number.
    """

    label: Texts
    explanation: Texts
    higher_is_better: bool | None
    percent: bool = False
    in_units: bool = False


def _label_coverage(level: int) -> MetricLabel:
    return MetricLabel(
        {"en": f"Coverage of the {level} % band", "zh": f"{level}% 区间覆盖率"},
        {
            "en": f"How often the truth lies in the central band that holds {level} % of the sampled paths. Above {level} % the "
            "forecast is too cautious, below it too sure.",
            "zh": f"真实值落入预测路径中央 {level}% 区间的比例。高于 {level}% 说明区间偏宽、过于保守，低于 {level}% 说明过于自信。",
        },
        None,
        percent=True,
    )


def _label_width(level: int) -> MetricLabel:
    return MetricLabel(
        {"en": f"Width of the {level} % band", "zh": f"{level}% 区间宽度"},
        {
            "en": f"Mean width of the central band that holds {level} % of the sampled paths. Of two forecasts with the right "
            "coverage the narrower one says more.",
            "zh": f"预测路径中央 {level}% 区间的平均宽度。覆盖率同样达标时，区间越窄，信息量越大。",
        },
        None,
        in_units=True,
    )


METRIC_LABELS = {
    "mae": MetricLabel(
        {"en": "MAE", "zh": "MAE"},
        {
            "en": "Mean distance between the truth and the median of the sampled paths.",
            "zh": "平均绝对误差：真实值与预测路径中位数之差的绝对值的平均。",
        },
        False,
        in_units=True,
    ),
    "rmse": MetricLabel(
        {"en": "RMSE", "zh": "RMSE"},
        {
            "en": "Root of the mean squared error of the mean of the sampled paths; large errors weigh more than in the MAE.",
            "zh": "均方根误差：预测路径均值的均方误差再开方；与 MAE 相比，大误差的权重更高。",
        },
        False,
        in_units=True,
    ),
    "mape": MetricLabel(
        {"en": "MAPE", "zh": "MAPE"},
        {
            "en": "Mean absolute error of the median path as a share of the true price.",
            "zh": "平均绝对百分比误差：预测路径中位数的绝对误差占真实价格的比例，取平均。",
        },
        False,
        percent=True,
    ),
    "smape": MetricLabel(
        {"en": "sMAPE", "zh": "sMAPE"},
        {
            "en": "As the MAPE, but as a share of the mean of the true and the forecast price.",
            "zh": "对称平均绝对百分比误差：与 MAPE 类似，但分母取真实价格与预测价格的平均值。",
        },
        False,
        percent=True,
    ),
    "mase": MetricLabel(
        {"en": "MASE", "zh": "MASE"},
        {
            "en": "Mean absolute error of the median path in units of the mean move from one candle to the next in the lookback, so "
            "that symbols of any price compare. It grows with the horizon and exceeds 1 without anything being wrong.",
            "zh": "平均绝对标度误差：预测路径中位数的绝对误差除以回看窗口内相邻两根 K 线收盘价的平均变动幅度，因此不同价位的标的可以直接比较。"
            "预测步数越多数值越大，超过 1 属正常现象。",
        },
        False,
    ),
    "r2": MetricLabel(
        {"en": "R²", "zh": "R²"},
        {
            "en": "1 minus the squared error relative to that of the truths' own mean, which is known only afterwards. Of prices "
            "of various levels it is close to 1 for any forecast near the last close, and says nothing about skill; of returns it is usually near 0.",
            "zh": "决定系数：1 减去预测平方误差与“以真实值的事后均值作预测”的平方误差之比。对价格而言，任何接近最新收盘价的预测都会使它接近 1，"
            "不代表有预测能力；对收益率而言通常接近 0。",
        },
        True,
    ),
    "r2_os": MetricLabel(
        {"en": "Out-of-sample R²", "zh": "样本外 R²"},
        {
            "en": "1 minus the squared error relative to forecasting no move at all. Below 0, doing nothing was better.",
            "zh": "1 减去预测平方误差与“预测零收益”的平方误差之比。小于 0 表示还不如预测价格不动。",
        },
        True,
    ),
    "direction": MetricLabel(
        {"en": "Direction", "zh": "方向准确率"},
        {
            "en": "How often the median path lies on that side of the last known close where the truth came to lie. A coin gives 50 %.",
            "zh": "预测路径中位数相对最新收盘价的涨跌方向与真实方向一致的比例。抛硬币为 50%。",
        },
        True,
        percent=True,
    ),
    "ic": MetricLabel(
        {"en": "IC", "zh": "IC"},
        {
            "en": "Pearson correlation of forecast and realised returns over all origins taken together, at each time of the horizon, "
            "then their mean; not the mean of daily cross-sections. 0 is no skill.",
            "zh": "信息系数：在每个预测步上，把全部起点合并成一个样本，计算预测收益率与实际收益率的 Pearson 相关系数，再对各步取平均；"
            "不是逐日横截面 IC 的均值。0 表示没有预测能力。",
        },
        True,
    ),
    "rank_ic": MetricLabel(
        {"en": "Rank IC", "zh": "Rank IC"},
        {
            "en": "As the IC, with Spearman's rank correlation, which a few extreme returns do not dominate.",
            "zh": "与 IC 相同，但用 Spearman 秩相关，不受少数极端收益率左右。",
        },
        True,
    ),
    "crps": MetricLabel(
        {"en": "CRPS", "zh": "CRPS"},
        {
            "en": "Distance of the whole forecast distribution from the truth: lowest for one that is both calibrated and narrow. "
            "Where all paths agree it is the absolute error.",
            "zh": "连续分级概率评分：衡量整个预测分布与真实值的差距：既校准又集中的分布得分最低。若所有路径取值相同，它就等于绝对误差。",
        },
        False,
        in_units=True,
    ),
    "wql": MetricLabel(
        {"en": "WQL", "zh": "WQL"},
        {
            "en": "Mean loss of the quantiles 0.1 to 0.9, relative to the mean size of the truths. Of returns, 1 is what the certain "
            "forecast that nothing moves has.",
            "zh": "加权分位数损失：0.1 至 0.9 各分位数损失的平均，再除以真实值绝对值的平均。对收益率而言，确定性地预测“价格不动”时恰为 1。",
        },
        False,
    ),
    **{f"coverage_{level}": _label_coverage(level) for level in LEVELS},
    **{f"width_{level}": _label_width(level) for level in LEVELS},
}
